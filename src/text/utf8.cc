#include "text/utf8.h"

#include <cstdint>

namespace slora {
namespace {

std::uint8_t byte_at(std::string_view bytes, std::size_t index) { return static_cast<std::uint8_t>(bytes[index]); }

bool is_continuation(std::uint8_t byte) { return (byte & 0xC0) == 0x80; }

// The length of a character with this first byte, and its valid second bytes (no overlong forms, surrogates or
// values beyond U+10FFFF). Length 0: not a valid first byte.
struct Lead {
  std::size_t bytes;
  std::uint8_t second_min;
  std::uint8_t second_max;
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Unit first_utf8_unit(std::string_view bytes) {
  const Lead lead = lead_of(byte_at(bytes, 0));
  if (lead.bytes == 0) return {Utf8Kind::invalid, 1};
  for (std::size_t i = 1; i < lead.bytes; ++i) {
    if (i == bytes.size()) return {Utf8Kind::incomplete, i};
    const std::uint8_t byte = byte_at(bytes, i);
    const bool fits = i == 1 ? byte >= lead.second_min && byte <= lead.second_max : is_continuation(byte);
    if (!fits) return {Utf8Kind::invalid, i};
  }
  return {Utf8Kind::character, lead.bytes};
}

CodePoint first_code_point(std::string_view text) {
  const std::uint8_t lead = byte_at(text, 0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t value = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) value = (value << 6) | (byte_at(text, i) & 0x3FU);
  return {value, bytes};
}

CodePoint last_code_point(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (is_continuation(byte_at(text, begin))) --begin;
  return first_code_point(text.substr(begin));
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

void move_valid_utf8(std::string& pending, std::string& out) {
  std::string_view rest = pending;
  while (!rest.empty()) {
    const Utf8Unit unit = first_utf8_unit(rest);
    if (unit.kind == Utf8Kind::incomplete) break;
    out += unit.kind == Utf8Kind::character ? rest.substr(0, unit.bytes) : kReplacementCharacter;
    rest.remove_prefix(unit.bytes);
  }
  pending.erase(0, pending.size() - rest.size());
}

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Unit unit = first_utf8_unit(bytes);
    if (unit.kind != Utf8Kind::character) return false;
    bytes.remove_prefix(unit.bytes);
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string pending(bytes);
  std::string out;
  out.reserve(bytes.size());
  move_valid_utf8(pending, out);
  if (!pending.empty()) out += kReplacementCharacter;
  return out;
}

}  // namespace slora
