#include "bench/workload/trace_file.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "bench/workload/json_lines.h"
#include "bench/workload/workload.h"

namespace slora::bench {
namespace {

constexpr std::int64_t kFormat = 1;

Result<std::int32_t> number_at(const Json& object, std::string_view key, std::int64_t min, std::int64_t max) {
  const Result<std::int64_t> number = integer_at(object, key);
  if (!number) return tl::unexpected(number.error());
  if (*number >= min && *number <= max) return static_cast<std::int32_t>(*number);
  return error("E_TRACE", "{}: expected an integer from {} to {}, found {}", key, min, max, *number);
}

Result<double> time_at(const Json& object, std::string_view key, double min) {
  const Result<std::optional<double>> time = optional_number_at(object, key);
  if (!time) return tl::unexpected(time.error());
  if (*time && **time >= min) return **time;
  return error("E_TRACE", "{}: expected a number of seconds from {}, found {}", key, min, *time ? fmt::format("{}", **time) : "none");
}

Status take_head(Trace& trace, const Json& object) {
  const Result<std::int32_t> format = number_at(object, "trace", kFormat, kFormat);
  if (!format)
    return error("E_TRACE", R"(expected {{"trace": {}, "adapters": N, "seconds": S}} first, found: {})", kFormat, format.error().message);
  const Result<std::int32_t> adapters = number_at(object, "adapters", 0, kTraceAdaptersMax);
  if (!adapters) return tl::unexpected(adapters.error());
  const Result<double> seconds = time_at(object, "seconds", 0);
  if (!seconds) return tl::unexpected(seconds.error());
  trace.adapter_count = *adapters;
  trace.seconds = *seconds;
  return {};
}

Status take_request(Trace& trace, const Json& object) {
  TraceRequest request;
  const Result<double> arrival = time_at(object, "arrival", trace.requests.empty() ? 0 : trace.requests.back().arrival);
  if (!arrival) return tl::unexpected(arrival.error());
  if (*arrival > trace.seconds) {
    return error("E_TRACE", "arrival: expected at most the trace's {} seconds, found {}", trace.seconds, *arrival);
  }
  request.arrival = *arrival;
  struct Field {
    std::string_view key;
    std::int32_t& value;
    std::int64_t min, max;
  };
  const Field fields[] = {{"adapter", request.adapter, -1, trace.adapter_count - 1},
                          {"client", request.client, 0, kTraceAdaptersMax},
                          {"input_tokens", request.input_tokens, 1, kTraceTokensMax},
                          {"output_tokens", request.output_tokens, 1, kTraceTokensMax}};
  for (const Field& field : fields) {
    const Result<std::int32_t> value = number_at(object, field.key, field.min, field.max);
    if (!value) return tl::unexpected(value.error());
    field.value = *value;
  }
  if (static_cast<double>(trace.requests.size()) >= kTraceRequestsMax) {
    return error("E_TRACE", "expected at most {} requests", kTraceRequestsMax);
  }
  trace.requests.push_back(request);
  return {};
}

}  // namespace

Status write_trace(const std::string& path, const Trace& trace) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) return error("E_WRITE", "{} can't be written", path);
  file << Json{{"trace", kFormat}, {"adapters", trace.adapter_count}, {"seconds", trace.seconds}}.dump() << '\n';
  for (const TraceRequest& request : trace.requests) {
    file << Json{{"arrival", request.arrival},
                 {"adapter", request.adapter},
                 {"client", request.client},
                 {"input_tokens", request.input_tokens},
                 {"output_tokens", request.output_tokens}}
                .dump()
         << '\n';
  }
  file.close();
  if (!file) return error("E_WRITE", "{} could not be written to its end", path);
  return {};
}

Result<Trace> read_trace(const std::string& path) {
  Trace trace;
  bool has_head = false;
  Status read = read_json_lines(path, [&](const Json& object) {
    if (has_head) return take_request(trace, object);
    has_head = true;
    return take_head(trace, object);
  });
  if (!read) return forward_error(read);
  if (!has_head) return error("E_TRACE", "{}: expected a trace, found an empty file", path);
  return trace;
}

}  // namespace slora::bench
