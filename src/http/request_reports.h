#pragma once
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "api/request_report.h"
#include "http/types.h"
#include "traces/span_exporter.h"

namespace slora {

// Who wants to know how requests ended.
struct ReportTargets {
  bool log = false;                  // a line for each
  SpanExporter* exporter = nullptr;  // spans of each that its caller samples; may be null
};

// A request as its spans and its line of the log name it.
struct ReportedRequest {
  Endpoint endpoint{};
  std::string path;  // of its route
  std::string id;
  std::optional<TraceContext> context;  // none: its client sent none, and nobody wants spans
};

// Reports requests that generate to the log and to a collector of traces. I/O thread; the targets outlive it, and it outlives the jobs.
class RequestReports {
 public:
  explicit RequestReports(ReportTargets targets) : targets_(targets) {}

  // For one request, whose answer's id ends with `random`. Empty where nobody wants a report.
  [[nodiscard]] ReportRequest make(Endpoint endpoint, const HttpRequest& request, std::uint64_t random);
  // One that has no job, since it was refused before its body was read.
  void report_refused(Endpoint endpoint, const HttpRequest& request, std::string_view code, int status);

 private:
  [[nodiscard]] bool are_wanted() const { return targets_.log || targets_.exporter != nullptr; }
  [[nodiscard]] ReportedRequest describe(Endpoint endpoint, const HttpRequest& request, std::uint64_t random);
  void report(const ReportedRequest& request, const RequestReport& report, int status);

  const ReportTargets targets_;
  std::mt19937_64 random_{std::random_device{}()};
};

// The span of an ended request, and below it those of its phases, as far as it got. `status` is the answer's, or that of the error which
// ended a stream. Requires: the request has a context.
[[nodiscard]] std::vector<Span> spans_of(const ReportedRequest& request, const RequestReport& report, int status, std::mt19937_64& random);

}  // namespace slora
