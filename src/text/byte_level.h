#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// GPT-2's writing of bytes as visible characters: printable Latin-1 stands for itself, the other 68 bytes become U+0100
// to U+0143 ("Ġ" is a space).

// Each byte of `bytes` as its character.
[[nodiscard]] std::string to_byte_level(std::string_view bytes);
// The bytes that `text` writes, or nothing when one of its characters stands for no byte.
[[nodiscard]] std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace slora
