#include "http/request_reports.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/caught.h"
#include "base/log_record.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr int kClientLeftStatus = 499;  // as nginx has it: nobody receives it
constexpr std::string_view kClientLeft = "client_left";

int status_of_report(const RequestReport& report) {
  if (report.client_left) return kClientLeftStatus;
  return report.failure == nullptr ? 200 : error_response(*report.failure).status;
}

// What its client saw: the head of a stream is sent before it can fail.
int sent_status(const RequestReport& report, int status) {
  const bool has_begun = report.answer.request.spec.output.stream && report.times.first_token != Timestamp{};
  return has_begun ? 200 : status;
}

bool is_understood(const RequestReport& report) { return !report.answer.request.model_name.empty(); }

std::string_view error_of(const RequestReport& report) {
  if (report.failure != nullptr) return report.failure->code;  // its message may quote what the client sent
  return report.client_left ? kClientLeft : std::string_view();
}

std::vector<std::string> finish_reasons(const RequestReport& report) {
  std::vector<std::string> reasons;
  for (const AnsweredChoice& choice : report.answer.choices) {
    if (!choice.finish_reason.empty()) reasons.emplace_back(choice.finish_reason);
  }
  return reasons;
}

// The seconds between two points that were both reached.
std::optional<double> seconds_between(Timestamp begin, Timestamp end) {
  if (begin == Timestamp{} || end == Timestamp{}) return std::nullopt;
  return seconds(end - begin);
}

void log_report(const ReportedRequest& request, const RequestReport& report, int status) {
  const RequestMetrics::Times& times = report.times;
  std::vector<LogField> fields = {{"request_id", std::string_view(request.id)},
                                  {"path", std::string_view(request.path)},
                                  {"status", std::int64_t{sent_status(report, status)}}};
  if (request.context) fields.push_back({"trace_id", std::string_view(request.context->trace_id)});
  if (is_understood(report)) {
    const Usage usage = report.answer.usage();
    fields.push_back({"model", std::string_view(report.answer.request.model_name)});
    fields.push_back({"prompt_tokens", usage.prompt_tokens});
    fields.push_back({"completion_tokens", usage.completion_tokens});
  }
  fields.push_back({"total_ms", 1000 * seconds(report.ended - times.arrival)});
  const auto add_ms = [&](std::string_view name, std::optional<double> value) {
    if (value) fields.push_back({name, 1000 * *value});
  };
  add_ms("queue_ms", seconds_between(times.arrival, times.started));
  add_ms("first_token_ms", seconds_between(times.arrival, times.first_token));
  add_ms("adapter_load_ms", report.adapter_load_seconds);
  const std::string reasons = fmt::format("{}", fmt::join(finish_reasons(report), ","));
  if (!reasons.empty()) fields.push_back({"finish_reason", std::string_view(reasons)});
  if (const std::string_view error = error_of(report); !error.empty()) fields.push_back({"error", error});
  log_record(LogLevel::info, "request", fields);
}

// OpenTelemetry's word where it has one. Also the name of the span: the convention adds the model, of which there may be thousands, while
// programs that count spans keep a figure for each name.
std::string_view operation_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::chat:
    case Endpoint::responses:
      return "chat";
    case Endpoint::embeddings:
      return "embeddings";
    case Endpoint::score:
      return "score";
    case Endpoint::rerank:
      return "rerank";
    case Endpoint::completions:
    case Endpoint::sglang:
    case Endpoint::slora:
    case Endpoint::tgi:
      break;
  }
  return "text_completion";
}

// The double that looks like it: 0.7, not 0.699999988.
double readable(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

// What a request asked for, except its texts. Names are those of OpenTelemetry's conventions for generative AI.
void add_request(Span& span, const PreparedRequest& request) {
  const auto add = [&](std::string_view name, SpanValue value) { span.attributes.emplace_back(name, std::move(value)); };
  const RequestSpec& spec = request.spec;
  add("gen_ai.request.model", request.model_name);
  add("gen_ai.response.model", request.model_name);
  if (is_embedding(spec.endpoint)) return;
  if (const std::optional<std::int32_t> limit = spec.output.token_limit()) add("gen_ai.request.max_tokens", std::int64_t{*limit});
  add("gen_ai.request.temperature", readable(spec.sampling.temperature));
  add("gen_ai.request.top_p", readable(spec.sampling.top_p));
  if (spec.sampling.top_k > 0) add("gen_ai.request.top_k", std::int64_t{spec.sampling.top_k});
  if (spec.output.n > 1) add("gen_ai.request.choice.count", std::int64_t{spec.output.n});
  if (spec.output.stream) add("gen_ai.request.stream", true);
}

void add_usage(Span& span, const RequestReport& report) {
  const Usage usage = report.answer.usage();
  span.attributes.emplace_back("gen_ai.usage.input_tokens", usage.prompt_tokens);
  span.attributes.emplace_back("gen_ai.usage.output_tokens", usage.completion_tokens);
  if (usage.cached_tokens > 0) span.attributes.emplace_back("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens);
  if (std::vector<std::string> reasons = finish_reasons(report); !reasons.empty()) {
    span.attributes.emplace_back("gen_ai.response.finish_reasons", std::move(reasons));
  }
}

// OpenTelemetry has no names for these in spans; vLLM's are known to its users' dashboards.
void add_latency(Span& span, const RequestReport& report) {
  const RequestMetrics::Times& times = report.times;
  const auto add_seconds = [&](std::string_view name, std::optional<double> value) {
    if (value) span.attributes.emplace_back(name, *value);
  };
  add_seconds("gen_ai.latency.time_in_queue", seconds_between(times.arrival, times.started));
  add_seconds("gen_ai.latency.time_to_first_token", seconds_between(times.arrival, times.first_token));
  add_seconds("gen_ai.latency.e2e", seconds(report.ended - times.arrival));
}

void add_adapter(Span& span, const RequestReport& report) {
  const AdapterVersion* const adapter = report.answer.request.adapter.get();
  if (adapter == nullptr) return;
  span.attributes.emplace_back("slora.adapter.name", adapter->name());
  if (report.times.first_token != Timestamp{}) span.attributes.emplace_back("slora.adapter.cold", report.adapter_load_seconds.has_value());
  if (report.adapter_load_seconds) span.attributes.emplace_back("slora.adapter.load_ms", 1000.0 * *report.adapter_load_seconds);
}

}  // namespace

ReportRequest RequestReports::make(Endpoint endpoint, const HttpRequest& request, std::uint64_t random) {
  if (!are_wanted()) return {};
  return [this, described = describe(endpoint, request, random)](const RequestReport& ended) {
    report(described, ended, status_of_report(ended));
  };
}

void RequestReports::report_refused(Endpoint endpoint, const HttpRequest& request, std::string_view code, int status) try {
  if (!are_wanted()) return;
  const Timestamp now = SteadyClock().now();
  const ApiError failure{.code = std::string(code), .message = {}, .param = {}};
  const Answer none;
  report(describe(endpoint, request, random_()),
         {.answer = none, .failure = &failure, .client_left = false, .times = {.arrival = now}, .ended = now, .adapter_load_seconds = {}},
         status);
} catch (...) {
  log_exception("the end of a request could not be reported");
}

ReportedRequest RequestReports::describe(Endpoint endpoint, const HttpRequest& request, std::uint64_t random) {
  ReportedRequest described{endpoint, request.path, request.request_id, parse_trace_context(request.traceparent, request.tracestate)};
  if (described.id.empty()) described.id = fmt::format("{:016x}", random);
  if (!described.context && targets_.exporter != nullptr) described.context = TraceContext{hex_id(random_()) + hex_id(random_()), {}};
  return described;
}

void RequestReports::report(const ReportedRequest& request, const RequestReport& report, int status) {
  if (targets_.log) log_report(request, report, status);
  if (targets_.exporter != nullptr && request.context->is_sampled) targets_.exporter->add(spans_of(request, report, status, random_));
}

std::vector<Span> spans_of(const ReportedRequest& request, const RequestReport& report, int status, std::mt19937_64& random) {
  const RequestMetrics::Times& times = report.times;
  // The steady clock gives spans their length, the system's their place in time.
  const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  const auto when = [&](Timestamp time) { return now - (report.ended - time); };

  std::vector<Span> spans;
  spans.reserve(4);
  Span& whole = spans.emplace_back(Span{.context = *request.context, .id = hex_id(random()), .name = operation_of(request.endpoint)});
  whole.begin = when(times.arrival);
  whole.end = now;
  whole.attributes = {{"gen_ai.operation.name", std::string(whole.name)},
                      {"gen_ai.provider.name", "slora"},
                      {"gen_ai.request.id", request.id},
                      {"http.request.method", "POST"},
                      {"http.route", request.path},
                      {"http.response.status_code", std::int64_t{sent_status(report, status)}}};
  if (is_understood(report)) {
    add_request(whole, report.answer.request);
    add_usage(whole, report);
  }
  add_latency(whole, report);
  add_adapter(whole, report);
  if (const std::string_view error = error_of(report); !error.empty()) {
    whole.attributes.emplace_back("error.type", std::string(error));
    // A client's own mistake is no failure of the server, by OpenTelemetry's conventions for HTTP.
    if (status >= 500) whole.failure = error;
  }
  const auto add_phase = [&](std::string_view name, Timestamp begin, Timestamp end) {
    if (begin == Timestamp{} || end <= begin) return;
    spans.push_back({.context = {.trace_id = whole.context.trace_id, .parent_id = whole.id, .state = whole.context.state},
                     .id = hex_id(random()),
                     .name = name,
                     .kind = SpanKind::internal,
                     .begin = when(begin),
                     .end = when(end)});
  };
  add_phase("queue", times.arrival, times.started);
  add_phase("prefill", times.started, times.first_token);
  add_phase("decode", times.first_token, times.last_token);
  return spans;
}

}  // namespace slora
