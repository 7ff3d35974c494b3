#pragma once
#include <string>
#include <string_view>

namespace slora {

// PCRE2 and utf8proc implement an older Unicode version than the `tokenizers` package, so they do not classify newer letters as
// letters. Before matching, each character that Unicode 15, 15.1 or 16 added is replaced by an older one of the same category and
// the same length in UTF-8. With libraries that implement Unicode 16 the result is the same.

// The replacement for `code_point`; the code point itself if it is in Unicode 14.
[[nodiscard]] char32_t older_character(char32_t code_point);
[[nodiscard]] bool has_newer_characters(std::string_view text);
// `text` with newer characters replaced; all byte offsets stay the same.
[[nodiscard]] std::string with_older_characters(std::string_view text);

}  // namespace slora
