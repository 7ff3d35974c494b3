#include "constraint/checks/format_patterns.h"

#include <fmt/format.h>

#include <array>

namespace slora {
namespace {

constexpr std::array<std::string_view, 14> kFormats = {
    "email",    "date", "time", "date-time",     "duration",     "ipv4",         "ipv6",
    "hostname", "uuid", "uri",  "uri-reference", "uri-template", "json-pointer", "relative-json-pointer"};
constexpr std::string_view kDate =
    "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))";
constexpr std::string_view kTime = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
constexpr std::string_view kLabel = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";

}  // namespace

std::span<const std::string_view> known_formats() { return kFormats; }

std::string pattern_of_format(std::string_view format) {
  constexpr std::string_view byte = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  if (format == "date") return fmt::format("^{}$", kDate);
  if (format == "time") return fmt::format("^{}$", kTime);
  if (format == "date-time") return fmt::format("^{}T{}$", kDate, kTime);
  if (format == "ipv4") return fmt::format("^{0}\\.{0}\\.{0}\\.{0}$", byte);
  if (format == "hostname") return fmt::format("^{0}(\\.{0}){{0,2}}$", kLabel);
  return {};
}

}  // namespace slora
