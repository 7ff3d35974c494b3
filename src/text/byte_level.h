#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// GPT-2's encoding of bytes as visible characters: printable Latin-1 characters represent themselves, the other 68 bytes become U+0100
// to U+0143 ("Ġ" is a space).

// Encodes each byte as its character.
[[nodiscard]] std::string to_byte_level(std::string_view bytes);
// Decodes the characters to bytes; nothing when one of them represents no byte.
[[nodiscard]] std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace slora
