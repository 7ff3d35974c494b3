#include "text/byte_level.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::size_t kCharacterCount = 0x144;  // one more than the last character in use

constexpr bool stands_for_itself(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Tables {
  std::array<char32_t, 256> character_of_byte{};
  std::array<std::int16_t, kCharacterCount> byte_of_character{};  // -1: none
};

constexpr Tables make_tables() {
  Tables tables;
  for (auto& byte : tables.byte_of_character) byte = -1;
  char32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const char32_t character = stands_for_itself(byte) ? byte : next++;
    tables.character_of_byte[byte] = character;
    tables.byte_of_character[character] = static_cast<std::int16_t>(byte);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) append_utf8(out, kTables.character_of_byte[static_cast<unsigned char>(byte)]);
  return out;
}

std::optional<std::string> from_byte_level(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    if (next.value >= kCharacterCount || kTables.byte_of_character[next.value] < 0) return std::nullopt;
    out.push_back(static_cast<char>(kTables.byte_of_character[next.value]));
    text.remove_prefix(next.bytes);
  }
  return out;
}

}  // namespace slora
