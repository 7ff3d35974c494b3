#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// The trace that a span belongs to, and the span that caused it: what the W3C headers `traceparent` and `tracestate` say.
struct TraceContext {
  std::string trace_id;   // 32 hexadecimal digits in lower case
  std::string parent_id;  // 16, or empty: the span is its trace's first
  bool is_sampled = true;
  std::string state{};  // the vendors' fields of `tracestate`; may be empty
};

// The context of these headers' values. Nothing where `traceparent` is not of the standard's form: both are to be ignored then. A
// `tracestate` that is too long or not printable is left out.
[[nodiscard]] std::optional<TraceContext> parse_trace_context(std::string_view traceparent, std::string_view tracestate);

// 16 hexadecimal digits of a random word. Never all zeros, which the standard forbids as an id.
[[nodiscard]] std::string hex_id(std::uint64_t word);

}  // namespace slora
