#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace slora {

constexpr std::int64_t kFormatWidthMax = 100'000;
constexpr std::int64_t kFormatPrecisionMax = 1'000;

// How one value is to be written: [[fill]align][sign][#][0][width][grouping][.precision][type].
struct FormatStyle {
  std::string fill = " ";
  char align = '\0';
  char sign = '-';
  bool is_alternate = false;
  bool pads_zeros = false;
  std::int64_t width = 0;
  char grouping = '\0';
  std::int64_t precision = -1;
  char type = '\0';
};

// Digits at the start of `text`, taken from it; -1 when there are none, more than any limit when they are too many.
[[nodiscard]] std::int64_t take_digits(std::string_view& text);

// A value as Python's formatting writes it. Requires: width and precision within the limits.
[[nodiscard]] std::string format_text(const FormatStyle& style, std::string_view text);
[[nodiscard]] std::string format_integer(const FormatStyle& style, std::int64_t value);  // types d, x, X, o, b and none
[[nodiscard]] std::string format_float(const FormatStyle& style, double value);          // types e, E, f, F, g, G, % and none

}  // namespace slora
