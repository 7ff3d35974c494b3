#pragma once
#include <string>
#include <string_view>

namespace slora {

// Unicode grows every year, and our libraries know an older one than the tokenizers we must agree with: to them a new letter
// is no letter. Before they look, a character that Unicode 15, 15.1 or 16 added is replaced by an old one of the same
// category and the same length in UTF-8. Where the libraries know the new ones this changes nothing.

// The character that stands in for `code_point`; itself when it is old enough.
[[nodiscard]] char32_t older_character(char32_t code_point);
[[nodiscard]] bool has_newer_characters(std::string_view text);
// `text` with stand-ins, byte for byte as long.
[[nodiscard]] std::string with_older_characters(std::string_view text);

}  // namespace slora
