#include "http/request_reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "traces/testing/trace_collector.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";

std::vector<std::string> names_of(const std::vector<Span>& spans) {
  std::vector<std::string> names;
  for (const Span& span : spans) names.emplace_back(span.name);
  return names;
}

std::optional<SpanValue> attribute(const Span& span, std::string_view name) {
  for (const auto& [key, value] : span.attributes) {
    if (key == name) return value;
  }
  return std::nullopt;
}

class RequestReportsTest : public ::testing::Test {
 protected:
  RequestReportsTest() {
    answer.request.model_name = "m";
    answer.request.spec.output.stream = true;
    report.times = {.arrival = second(1), .started = second(2), .first_token = second(4), .last_token = second(7)};
    report.ended = second(8);
  }
  static Timestamp second(int count) { return std::chrono::seconds(count); }
  std::vector<Span> spans(int status) { return spans_of(request, report, status, random); }

  ReportedRequest request{Endpoint::chat, "/p", "id", parse_trace_context(std::string(kParent) + "01", {})};
  Answer answer;
  RequestReport report{.answer = answer, .times = {}, .adapter_load_seconds = {}};
  std::mt19937_64 random{1};
};

TEST_F(RequestReportsTest, PhasesAreSpansBelowTheRequests) {
  const std::vector<Span> made = spans(200);
  ASSERT_THAT(names_of(made), ElementsAre("chat", "queue", "prefill", "decode"));
  EXPECT_EQ(made[0].context.parent_id, "b7ad6b7169203331");
  EXPECT_EQ(made[0].end - made[0].begin, second(7));
  for (std::size_t i = 1; i < made.size(); ++i) {
    EXPECT_EQ(made[i].context.parent_id, made[0].id);
    EXPECT_EQ(made[i].context.trace_id, made[0].context.trace_id);
    EXPECT_EQ(made[i].end - made[i].begin, second(static_cast<int>(i)));
  }
  EXPECT_EQ(made[1].begin, made[0].begin);
  EXPECT_EQ(made[3].end, made[0].end - second(1));
}

TEST_F(RequestReportsTest, OfARequestThatDidNotGetFarThereAreNoPhases) {
  report.times = {.arrival = second(1)};
  EXPECT_THAT(names_of(spans(503)), ElementsAre("chat"));
}

TEST_F(RequestReportsTest, OnlyTheServersFailuresAreErrors) {
  ApiError failure{ErrorKind::rate_limit, "queue_full", "said \"secret\"", {}};
  report.failure = &failure;
  report.times = {.arrival = second(1)};
  Span span = spans(429)[0];
  EXPECT_EQ(span.failure, "");
  EXPECT_EQ(attribute(span, "error.type"), SpanValue("queue_full"));
  EXPECT_EQ(attribute(span, "http.response.status_code"), SpanValue(std::int64_t{429}));
  failure.code = "internal_error";
  span = spans(500)[0];
  EXPECT_EQ(span.failure, "internal_error");
  report.times.first_token = second(2);
  span = spans(500)[0];
  EXPECT_EQ(span.failure, "internal_error");
  EXPECT_EQ(attribute(span, "http.response.status_code"), SpanValue(std::int64_t{200})) << "the stream had begun";
}

TEST_F(RequestReportsTest, AClientThatLeftIsNoFailure) {
  report.client_left = true;
  answer.request.spec.output.stream = false;
  const Span span = spans(499)[0];
  EXPECT_EQ(span.failure, "");
  EXPECT_EQ(attribute(span, "error.type"), SpanValue("client_left"));
  EXPECT_EQ(attribute(span, "http.response.status_code"), SpanValue(std::int64_t{499}));
}

TEST_F(RequestReportsTest, SamplingIsTheCallersDecision) {
  const TraceCollector collector;
  MetricsRegistry registry;
  {
    SpanExporter exporter({.collector = *parse_collector_url(collector.url()), .service_version = "1"}, registry);
    RequestReports reports({.exporter = &exporter});
    HttpRequest http;
    http.path = "/p";
    for (const char* parent : {"00", "01", "xx"}) {
      http.traceparent = std::string(kParent) + parent;
      reports.make(Endpoint::chat, http, 1)(report);
    }
    reports.report_refused(Endpoint::rerank, http, "queue_full", 429);
  }
  std::vector<std::string> seen;
  for (const nlohmann::json& span : collector.wait_for_spans(9)) {
    if (span["kind"] == 2) seen.push_back(span["name"].get<std::string>() + " " + span.value("parentSpanId", "-"));
  }
  EXPECT_THAT(seen, ElementsAre("chat b7ad6b7169203331", "chat -", "rerank -"));
}

TEST_F(RequestReportsTest, WritesALineOfTheLogForEach) {
  HttpRequest http;
  http.path = "/p";
  http.request_id = "mine";
  http.traceparent = std::string(kParent) + "00";
  testing::internal::CaptureStderr();
  RequestReports reports({.log = true});
  reports.make(Endpoint::chat, http, 1)(report);
  ApiError failure{ErrorKind::invalid_request, "bad", "said \"secret\"", {}};
  report.failure = &failure;
  reports.make(Endpoint::chat, http, 1)(report);
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_THAT(lines,
              HasSubstr("request request_id=mine path=/p status=200 trace_id=0af7651916cd43dd8448eb211c80319c model=m prompt_tokens=0 "
                        "completion_tokens=0 total_ms=7000 queue_ms=1000 first_token_ms=3000\n"));
  EXPECT_THAT(lines, HasSubstr("first_token_ms=3000 error=bad\n"));
  EXPECT_THAT(lines, Not(HasSubstr("secret")));
}

TEST_F(RequestReportsTest, AreEmptyWhereNobodyWantsThem) { EXPECT_FALSE(RequestReports({}).make(Endpoint::chat, {}, 1)); }

}  // namespace
}  // namespace slora
