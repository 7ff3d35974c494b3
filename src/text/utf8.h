#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace slora {

// Part of a text: bytes [begin, end).
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// What a byte sequence begins with: a character; invalid bytes (the longest such part, as Unicode recommends, so that every
// decoder writes the same number of U+FFFD); or an incomplete character at its end.
enum class Utf8Kind { character, invalid, incomplete };
struct Utf8Unit {
  Utf8Kind kind;
  std::size_t bytes;
};
// Requires: `bytes` is not empty.
[[nodiscard]] Utf8Unit first_utf8_unit(std::string_view bytes);

struct CodePoint {
  char32_t value;
  std::size_t bytes;
};
// Requires: `text` is valid UTF-8 and not empty.
[[nodiscard]] CodePoint first_code_point(std::string_view text);
[[nodiscard]] CodePoint last_code_point(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// Moves complete characters from `pending` to `out`, and U+FFFD for invalid bytes. An incomplete character at the end stays in
// `pending`.
void move_valid_utf8(std::string& pending, std::string& out);
[[nodiscard]] bool is_valid_utf8(std::string_view bytes);
// The text with U+FFFD instead of invalid bytes.
[[nodiscard]] std::string to_valid_utf8(std::string_view bytes);

}  // namespace slora
