#include "text/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/result.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr char32_t kSharpS = 0xDF;  // its upper case is the two letters "SS"

bool is_stripped(char32_t code_point, const std::optional<std::string_view>& characters) {
  if (!characters) return is_python_space(code_point);
  std::string_view rest = *characters;
  while (!rest.empty()) {
    const CodePoint next = first_code_point(rest);
    if (next.value == code_point) return true;
    rest.remove_prefix(next.bytes);
  }
  return false;
}

char32_t upper_of(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }

void append_title(std::string& out, char32_t c) {
  if (c == kSharpS) {
    out += "Ss";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

// str.isprintable: no controls, unassigned code points or separators but the space.
bool is_printable(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::vector<std::string_view> split_at_white_space(std::string_view text, std::int64_t splits_max) {
  std::vector<std::string_view> words;
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    if (splits_max >= 0 && std::ssize(words) == splits_max) {
      words.push_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const CodePoint next = first_code_point(text.substr(end));
      if (is_python_space(next.value)) break;
      end += next.bytes;
    }
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

}  // namespace

bool is_python_space(char32_t code_point) { return is_white_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F); }

std::string_view strip_left(std::string_view text, std::optional<std::string_view> characters) {
  while (!text.empty()) {
    const CodePoint first = first_code_point(text);
    if (!is_stripped(first.value, characters)) break;
    text.remove_prefix(first.bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::optional<std::string_view> characters) {
  while (!text.empty()) {
    const CodePoint last = last_code_point(text);
    if (!is_stripped(last.value, characters)) break;
    text.remove_suffix(last.bytes);
  }
  return text;
}

std::int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::vector<std::size_t> code_point_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

std::size_t find_first(std::string_view text, std::string_view wanted) {
  const void* found = memmem(text.data(), text.size(), wanted.data(), wanted.size());
  return found == nullptr ? std::string_view::npos : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::vector<std::string_view> split_left(std::string_view text, std::optional<std::string_view> separator, std::int64_t splits_max) {
  if (!separator) return split_at_white_space(text, splits_max);
  std::vector<std::string_view> parts;
  while (splits_max < 0 || std::ssize(parts) < splits_max) {
    const std::size_t at = find_first(text, *separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_right(std::string_view text, std::string_view separator, std::int64_t splits_max) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  std::vector<std::string_view> parts;
  for (const std::string_view part : split_left(reversed_text, reversed_separator, splits_max)) {
    const auto begin = reversed_text.size() - static_cast<std::size_t>(part.data() - reversed_text.data()) - part.size();
    parts.push_back(text.substr(begin, part.size()));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, LineEnds ends) {
  constexpr std::u32string_view kBreaks = U"\n\r\v\f\x1C\x1D\x1E\u0085\u2028\u2029";
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint next = first_code_point(text.substr(at));
    const std::size_t end = at;
    at += next.bytes;
    if (kBreaks.find(next.value) == std::u32string_view::npos) continue;
    if (next.value == U'\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (ends == LineEnds::keep ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to, std::int64_t count_max) {
  std::string out;
  std::int64_t count = 0;
  if (from.empty()) {  // an empty string is found between all characters, and at both ends
    for (; (count_max < 0 || count < count_max) && !text.empty(); ++count) {
      const std::size_t bytes = first_code_point(text).bytes;
      out.append(to).append(text.substr(0, bytes));
      text.remove_prefix(bytes);
    }
    if (count_max < 0 || count < count_max) out += to;
    return out.append(text);
  }
  for (; count_max < 0 || count < count_max; ++count) {
    const std::size_t at = find_first(text, from);
    if (at == std::string_view::npos) break;
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

std::string to_upper_case(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    if (next.value == kSharpS) {
      out += "SS";
    } else {
      append_utf8(out, upper_of(next.value));
    }
    text.remove_prefix(next.bytes);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  if (text.empty()) return {};
  const CodePoint first = first_code_point(text);
  std::string out;
  append_title(out, first.value);
  return out + to_lower_case(text.substr(first.bytes));
}

std::string to_title_case(std::string_view text) {
  std::string out;
  bool after_letter = false;
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    if (after_letter) {
      out += to_lower_case(text.substr(0, next.bytes));
    } else {
      append_title(out, next.value);
    }
    after_letter = is_cased(next.value);
    text.remove_prefix(next.bytes);
  }
  return out;
}

std::string repr_of(std::string_view text) {
  const bool doubles = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubles ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    const char32_t c = next.value;
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(0, next.bytes);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<std::uint32_t>(c));
    }
    text.remove_prefix(next.bytes);
  }
  out += quote;
  return out;
}

std::string repr_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 400> buffer{};
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const std::to_chars_result end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace slora
