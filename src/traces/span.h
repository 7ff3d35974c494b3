#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "traces/trace_context.h"

namespace slora {

using SpanValue = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

// As OTLP numbers them.
enum class SpanKind : std::uint8_t { internal = 1, server = 2 };

// One piece of work with its times, and attributes that describe it.
struct Span {
  TraceContext context;
  std::string id;  // 16 hexadecimal digits
  std::string_view name;
  SpanKind kind = SpanKind::server;
  std::chrono::nanoseconds begin{}, end{};  // since 1970
  std::vector<std::pair<std::string_view, SpanValue>> attributes = {};
  std::string failure = {};  // a stable word; empty: it did not fail
};

}  // namespace slora
