#include "http/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace slora {

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || failed != std::errc() || end != digits.data() + 2) return std::nullopt;
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

Result<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view part = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (part.size() <= name.size() || !part.starts_with(name) || part[name.size()] != '=') continue;
    std::optional<std::string> value = percent_decoded(part.substr(name.size() + 1));
    if (value) return *std::move(value);
    return tl::unexpected(
        Error{"bad_query", fmt::format("{}: expected two hexadecimal digits after each '%', found {}", name, part), std::string(name)});
  }
  return std::string();
}

}  // namespace slora
