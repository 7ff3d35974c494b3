#include "api/request_timeout.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

namespace slora {
namespace {

constexpr std::string_view kQuotedName = R"("timeout")";
constexpr std::string_view kSpace = " \t\r\n";

// Of the string whose contents start at `begin`: where its closing quote is; npos without one.
std::size_t closing_quote(std::string_view json, std::size_t begin) {
  for (std::size_t at = json.find('"', begin); at != std::string_view::npos; at = json.find('"', at + 1)) {
    std::size_t backslashes = 0;
    while (at - backslashes > begin && json[at - backslashes - 1] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at;
  }
  return std::string_view::npos;
}

// After a member's name.
std::optional<float> seconds_after(std::string_view json) {
  const auto skip_space = [&] { json.remove_prefix(std::min(json.find_first_not_of(kSpace), json.size())); };
  skip_space();
  if (!json.starts_with(':')) return std::nullopt;  // it was a value
  json.remove_prefix(1);
  skip_space();
  double seconds = 0;
  const auto [end, failure] = std::from_chars(json.data(), json.data() + json.size(), seconds);
  const bool is_number = failure == std::errc() && seconds >= kTimeoutSecondsMin && seconds <= kTimeoutSecondsMax;
  return is_number ? std::optional(static_cast<float>(seconds)) : std::nullopt;
}

}  // namespace

std::optional<float> peek_timeout(std::string_view body) {
  if (body.find(kQuotedName) == std::string_view::npos) return std::nullopt;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && depth-- == 0) return std::nullopt;
    if (c != '"') continue;
    const std::size_t end = closing_quote(body, i + 1);
    if (end == std::string_view::npos) return std::nullopt;
    const bool is_name = depth == 1 && body.substr(i, end + 1 - i) == kQuotedName;
    i = end;
    if (!is_name) continue;
    if (const std::optional<float> seconds = seconds_after(body.substr(end + 1))) return seconds;
  }
  return std::nullopt;
}

}  // namespace slora
