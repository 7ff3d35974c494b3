#pragma once
#include <span>
#include <string>

namespace slora {

// The words of a command, as they were typed but for keys, for records that others read.
[[nodiscard]] std::string shown_command_line(std::span<const char* const> words);

}  // namespace slora
