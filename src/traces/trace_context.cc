#include "traces/trace_context.h"

#include <fmt/format.h>

#include <algorithm>

namespace slora {
namespace {

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) { return is_lower_hex(text) && text.find_first_not_of('0') != std::string_view::npos; }

// Longer ones need not be passed on.
constexpr std::size_t kStateBytesMax = 512;

bool is_state(std::string_view text) {
  return text.size() <= kStateBytesMax && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

// version "-" trace-id "-" parent-id "-" flags; a version after 00 may have more fields, and ff is none.
std::optional<TraceContext> parse_trace_context(std::string_view value, std::string_view tracestate) {
  constexpr std::size_t size = 55;
  if (value.size() < size || value[2] != '-' || value[35] != '-' || value[52] != '-') return std::nullopt;
  const std::string_view version = value.substr(0, 2), trace = value.substr(3, 32), parent = value.substr(36, 16),
                         flags = value.substr(53, 2);
  if (!is_lower_hex(version) || version == "ff" || !is_lower_hex(flags)) return std::nullopt;
  if (value.size() > size && (version == "00" || value[size] != '-')) return std::nullopt;
  if (!is_id(trace) || !is_id(parent)) return std::nullopt;
  const char last = flags[1];
  const int low_digit = last <= '9' ? last - '0' : last - 'a' + 10;
  TraceContext context{std::string(trace), std::string(parent), (low_digit & 1) != 0};
  if (is_state(tracestate)) context.state = tracestate;
  return context;
}

std::string hex_id(std::uint64_t word) { return fmt::format("{:016x}", word == 0 ? 1 : word); }

}  // namespace slora
