#pragma once
#include <cstdint>
#include <string_view>

namespace slora {

// Follows bytes as UTF-8. Tokens may be part of a character, and the library takes encodings for characters that are none: surrogates and
// ones that are longer than needed. A value; one thread.
class Utf8Reader {
 public:
  // False when these bytes can't come next.
  [[nodiscard]] bool take(std::string_view bytes) {
    for (const char byte : bytes) {
      if (!take(static_cast<std::uint8_t>(byte))) return false;
    }
    return true;
  }
  [[nodiscard]] bool is_within_character() const { return left_ > 0; }

 private:
  [[nodiscard]] bool take(std::uint8_t byte) {
    if (left_ > 0) {
      const bool fits = byte >= low_ && byte <= high_;
      --left_;
      low_ = 0x80;
      high_ = 0xbf;
      return fits;
    }
    if (byte < 0x80) return true;
    if (byte < 0xc2 || byte > 0xf4) return false;
    left_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    low_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    high_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
  }

  int left_ = 0;                           // bytes of the character that has begun
  std::uint8_t low_ = 0x80, high_ = 0xbf;  // of the next of them
};

}  // namespace slora
