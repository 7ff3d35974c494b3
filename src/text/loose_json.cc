#include "text/loose_json.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

#include "text/json_characters.h"
#include "text/utf8.h"

namespace slora {
namespace {

bool is_word(char c) { return c == '_' || static_cast<unsigned char>(c) >= 0x80 || std::isalnum(static_cast<unsigned char>(c)) != 0; }

char escaped_character(char kind) {
  switch (kind) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    default:
      return kind == '"' || kind == '\\' || kind == '/' ? kind : '\0';
  }
}

}  // namespace

void JsonTextReader::push(char c, std::string& out) {
  if (escape_.empty()) {
    if (c == '\\') {
      escape_ = c;
      return;
    }
    if (std::exchange(high_, 0) != 0) out += kReplacementCharacter;
    out += c;
    return;
  }
  escape_ += c;
  const bool is_code = escape_[1] == 'u';
  if (!is_code || escape_.size() == 6 || (escape_.size() > 2 && std::isxdigit(static_cast<unsigned char>(c)) == 0)) end_escape(out);
}

void JsonTextReader::end_escape(std::string& out) {
  const std::string escape = std::exchange(escape_, {});
  const bool is_code = escape.size() == 6 && escape[1] == 'u' && std::isxdigit(static_cast<unsigned char>(escape[5])) != 0;
  const char32_t code = is_code ? static_cast<char32_t>(std::stoul(escape.substr(2), nullptr, 16)) : 0;
  const bool is_low = code >= 0xDC00 && code < 0xE000;
  const char32_t high = std::exchange(high_, 0);
  if (high != 0 && is_low) return append_utf8(out, 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00));
  if (high != 0) out += kReplacementCharacter;
  if (code >= 0xD800 && code < 0xDC00) {
    high_ = code;
  } else if (is_low) {
    out += kReplacementCharacter;
  } else if (is_code) {
    append_utf8(out, code);
  } else if (const char character = escaped_character(escape[1]); character != '\0' && escape.size() == 2) {
    out += character;
  } else {
    out += escape;
  }
}

std::string LooseJson::push(std::string_view piece) {
  if (dialect_.is_standard()) return std::string(piece);
  held_ += piece;
  return run(End::open);
}

std::string LooseJson::finish() { return run(End::final); }

std::string LooseJson::run(End end) {
  std::string out;
  std::size_t at = 0;
  while (at < held_.size()) {
    if (!(close_.empty() ? take_outside(out, at, end) : take_inside(out, at, end))) break;
  }
  held_.erase(0, at);
  return out;
}

bool LooseJson::take_outside(std::string& out, std::size_t& at, End end) {
  const std::string_view rest = std::string_view(held_).substr(at);
  for (const auto& [open, close] : dialect_.string_delims) {
    if (rest.starts_with(open)) {
      close_ = close;
      out += '"';
      at += open.size();
      return true;
    }
    if (end == End::open && std::string_view(open).starts_with(rest)) return false;
  }
  if (rest[0] == '"') {
    close_ = "\"";
    key_may_follow_ = false;
  } else if (dialect_.unquoted_keys && key_may_follow_ && is_word(rest[0])) {
    std::size_t word = 1;
    while (word < rest.size() && is_word(rest[word])) ++word;
    std::size_t colon = word;
    while (colon < rest.size() && is_json_space(rest[colon])) ++colon;
    if (colon == rest.size() && end == End::open) return false;
    const bool is_key = colon < rest.size() && rest[colon] == ':';
    out += is_key ? fmt::format("\"{}\"", rest.substr(0, word)) : std::string(rest.substr(0, word));
    at += word;
    key_may_follow_ = false;
    return true;
  } else if (!is_json_space(rest[0])) {
    key_may_follow_ = rest[0] == '{' || rest[0] == ',';
  }
  out += rest[0];
  ++at;
  return true;
}

bool LooseJson::take_inside(std::string& out, std::size_t& at, End end) {
  const std::string_view rest = std::string_view(held_).substr(at);
  const bool in_quotes = close_ == "\"";
  if (!escaped_ && rest.starts_with(close_)) {
    out += '"';
    at += close_.size();
    close_.clear();
    return true;
  }
  if (!in_quotes && end == End::open && std::string_view(close_).starts_with(rest)) return false;
  if (in_quotes) {
    escaped_ = !escaped_ && rest[0] == '\\';
    out += rest[0];
  } else {
    append_json_text(out, rest.substr(0, 1));
  }
  ++at;
  return true;
}

}  // namespace slora
