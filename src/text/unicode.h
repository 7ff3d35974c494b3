#pragma once
#include <string>
#include <string_view>

namespace slora {

// Character properties as in Rust's standard library and its regex crate.
[[nodiscard]] bool is_white_space(char32_t code_point);  // White_Space: char::is_whitespace, \s
[[nodiscard]] bool is_word(char32_t code_point);         // \w
[[nodiscard]] bool is_numeric(char32_t code_point);      // general category N
[[nodiscard]] bool is_punctuation(char32_t code_point);  // ASCII punctuation and general category P

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
// Requires: `text` is valid UTF-8. O(n log n), also for long runs of combining marks.
[[nodiscard]] std::string to_unicode_form(std::string_view text, UnicodeForm form);

// The number of bytes of white space at the start or the end. Requires: `text` is valid UTF-8.
[[nodiscard]] std::size_t leading_white_space(std::string_view text);
[[nodiscard]] std::size_t trailing_white_space(std::string_view text);

// Converts each character on its own, without context-dependent rules.
[[nodiscard]] std::string to_lower_case(std::string_view text);

}  // namespace slora
