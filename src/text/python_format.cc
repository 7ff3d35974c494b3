#include "text/python_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/result.h"
#include "text/python_text.h"

namespace slora {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// `text` behind `sign`, as wide as the style asks for.
std::string padded(const FormatStyle& style, char default_align, std::string_view sign, std::string_view text) {
  const std::int64_t missing = style.width - count_code_points(text) - std::ssize(sign);
  std::string out;
  const auto fill = [&](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) out += style.fill;
  };
  const char align = style.align == '\0' ? default_align : style.align;
  const std::int64_t left = align == '<' ? 0 : align == '^' ? std::max<std::int64_t>(missing, 0) / 2 : missing;
  if (align == '=') out += sign;
  fill(left);
  if (align != '=') out += sign;
  out += text;
  fill(std::max<std::int64_t>(missing, 0) - std::max<std::int64_t>(left, 0));
  return out;
}

std::string padded_number(FormatStyle style, bool is_negative, std::string_view prefix, std::string digits) {
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  const std::size_t group = style.type == 'x' || style.type == 'X' || style.type == 'o' || style.type == 'b' ? 4 : 3;
  if (style.grouping != '\0') {
    for (std::size_t at = whole; at > group; at -= group) digits.insert(at - group, 1, style.grouping);
  }
  if (style.pads_zeros && style.align == '\0') {
    style.align = '=';
    style.fill = "0";
  }
  const std::string sign = is_negative ? "-" : style.sign == '-' ? "" : std::string(1, style.sign);
  return padded(style, '>', sign + std::string(prefix), digits);
}

}  // namespace

std::int64_t take_digits(std::string_view& text) {
  std::int64_t number = -1;
  while (!text.empty() && is_digit(text.front())) {
    number = std::min<std::int64_t>(std::max<std::int64_t>(number, 0) * 10 + (text.front() - '0'), kFormatWidthMax * 10);
    text.remove_prefix(1);
  }
  return number;
}

std::string format_text(const FormatStyle& style, std::string_view text) {
  if (style.precision >= 0) {
    const std::vector<std::size_t> offsets = code_point_offsets(text);
    const auto last = static_cast<std::size_t>(std::min<std::int64_t>(style.precision, std::ssize(offsets) - 1));
    text = text.substr(0, offsets[last]);
  }
  return padded(style, '<', "", text);
}

std::string format_integer(const FormatStyle& style, std::int64_t value) {
  const int base = style.type == 'x' || style.type == 'X' ? 16 : style.type == 'o' ? 8 : style.type == 'b' ? 2 : 10;
  std::array<char, 72> buffer{};
  const auto size = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const std::to_chars_result end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), size, base);
  std::string digits(buffer.data(), end.ptr);
  if (std::ssize(digits) < style.precision) digits.insert(0, static_cast<std::size_t>(style.precision - std::ssize(digits)), '0');
  std::string prefix = style.is_alternate && base != 10 ? fmt::format("0{}", style.type) : "";
  if (style.type == 'X') std::transform(digits.begin(), digits.end(), digits.begin(), [](char c) { return c >= 'a' ? c - 'a' + 'A' : c; });
  return padded_number(style, value < 0, prefix, std::move(digits));
}

std::string format_float(const FormatStyle& style, double value) {
  const bool is_percent = style.type == '%';
  const bool is_upper = style.type == 'E' || style.type == 'F' || style.type == 'G';
  const double size = std::fabs(value) * (is_percent ? 100 : 1);
  std::string digits;
  if (!std::isfinite(size)) {
    digits = std::isnan(size) ? (is_upper ? "NAN" : "nan") : (is_upper ? "INF" : "inf");
  } else if (style.type == '\0') {
    digits = repr_of(size);
  } else {
    const char type = static_cast<char>(style.type | 0x20);
    const std::chars_format format = type == 'e'   ? std::chars_format::scientific
                                     : type == 'g' ? std::chars_format::general
                                                   : std::chars_format::fixed;
    std::array<char, kFormatPrecisionMax + 400> buffer{};
    const int precision = static_cast<int>(style.precision < 0 ? 6 : style.precision);
    digits.assign(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), size, format, precision).ptr);
    if (style.type == 'E' || style.type == 'G') std::replace(digits.begin(), digits.end(), 'e', 'E');
  }
  if (is_percent) digits += '%';
  return padded_number(style, std::signbit(value) && !std::isnan(value), "", std::move(digits));
}

}  // namespace slora
