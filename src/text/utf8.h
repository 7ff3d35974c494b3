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

// What some bytes begin with: a character; bytes that can't be one (the longest such part, as Unicode advises, so that
// every decoder puts the same number of U+FFFD); or the start of a character that the bytes end in.
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

// Moves what is certain from `pending` to `out`: characters, and U+FFFD for what can't be one. The start of a character
// stays behind.
void move_valid_utf8(std::string& pending, std::string& out);
[[nodiscard]] bool is_valid_utf8(std::string_view bytes);
// The text with U+FFFD in place of what isn't UTF-8.
[[nodiscard]] std::string to_valid_utf8(std::string_view bytes);

}  // namespace slora
