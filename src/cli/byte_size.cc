#include "cli/byte_size.h"

#include <array>
#include <charconv>
#include <utility>

namespace slora {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 13> kByteUnits = {{{"", 1},
                                                                             {"B", 1},
                                                                             {"K", 1024.0},
                                                                             {"KB", 1e3},
                                                                             {"KiB", 1024.0},
                                                                             {"M", 1024.0 * 1024},
                                                                             {"MB", 1e6},
                                                                             {"MiB", 1024.0 * 1024},
                                                                             {"G", 1024.0 * 1024 * 1024},
                                                                             {"GB", 1e9},
                                                                             {"GiB", 1024.0 * 1024 * 1024},
                                                                             {"TB", 1e12},
                                                                             {"TiB", 1024.0 * 1024 * 1024 * 1024}}};
constexpr double kBytesMax = 1e18;

}  // namespace

Result<std::uint64_t> parse_byte_size(std::string_view text) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : kByteUnits) {
    if (failure == std::errc() && name == unit && number >= 0 && number * factor < kBytesMax)
      return static_cast<std::uint64_t>(number * factor);
  }
  return error("bad_size", "expected a size such as 4GiB, 512MB or 1073741824, found \"{}\"", text);
}

std::string shown_byte_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> names = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < names.size(); ++unit) value /= 1024;
  return fmt::format("{:.2f} {}", value, names[unit]);
}

}  // namespace slora
