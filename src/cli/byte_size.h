#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

// "4GiB", "512MB", "1.5G", "1073741824": powers of 1024 with an i or a letter alone, powers of 1000 with a B.
[[nodiscard]] Result<std::uint64_t> parse_byte_size(std::string_view text);
// "4.00 GiB", "512 bytes".
[[nodiscard]] std::string shown_byte_size(std::uint64_t bytes);

}  // namespace slora
