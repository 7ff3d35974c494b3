#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "metrics/metrics.h"
#include "traces/collector_url.h"
#include "traces/otlp_json.h"
#include "traces/span_exporter.h"
#include "traces/testing/trace_collector.h"
#include "traces/trace_context.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kParent = "b7ad6b7169203331";

std::string header_value(std::string_view version, std::string_view flags, std::string_view rest = "") {
  return fmt::format("{}-{}-{}-{}{}", version, kTrace, kParent, flags, rest);
}

TEST(TraceContext, IsTakenFromTraceparent) {
  const std::optional<TraceContext> context = parse_trace_context(header_value("00", "01"), "a=1, b=2");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id, kTrace);
  EXPECT_EQ(context->parent_id, kParent);
  EXPECT_TRUE(context->is_sampled);
  EXPECT_EQ(context->state, "a=1, b=2");
  EXPECT_FALSE(parse_trace_context(header_value("00", "00"), "")->is_sampled);
  EXPECT_TRUE(parse_trace_context(header_value("00", "0b"), "")->is_sampled) << "other flags";
  EXPECT_TRUE(parse_trace_context(header_value("cc", "01", "-what-a-later-version-adds"), ""));
}

TEST(TraceContext, OtherFormsAreIgnored) {
  const std::string right = header_value("00", "01");
  for (const std::string& wrong :
       {std::string(), right.substr(1), right + "-x", right + "x", right + "," + right, header_value("ff", "01"), header_value("0G", "01"),
        header_value("00", "0x"), header_value("cc", "01", "x"), fmt::format("00-{}-{}-01", std::string(32, '0'), kParent),
        fmt::format("00-{}-{}-01", kTrace, std::string(16, '0')),
        fmt::format("00-{}-{}-01", "0AF7651916CD43DD8448EB211C80319C", kParent)}) {
    EXPECT_FALSE(parse_trace_context(wrong, "a=1")) << wrong;
  }
  for (const std::string& wrong : {std::string("a=\xff"), std::string("a=\n"), std::string(513, 'a')}) {
    EXPECT_EQ(parse_trace_context(right, wrong)->state, "") << wrong;
  }
  EXPECT_EQ(hex_id(0xabc), "0000000000000abc");
  EXPECT_NE(hex_id(0), std::string(16, '0')) << "which is no id";
}

TEST(CollectorUrl, HasThePortAndPathOfOtlpWhereNoneAreGiven) {
  const auto shown = [](const std::string& url) {
    const Result<CollectorUrl> parsed = parse_collector_url(url);
    return parsed ? parsed->host + " " + parsed->port + " " + parsed->path : parsed.error().message;
  };
  EXPECT_EQ(shown("http://collector"), "collector 4318 /v1/traces");
  EXPECT_EQ(shown("http://127.0.0.1:99/x/y"), "127.0.0.1 99 /x/y");
  EXPECT_EQ(shown("http://[::1]:99"), "::1 99 /v1/traces");
  EXPECT_EQ(shown("http://[::1]/"), "::1 4318 /");
  EXPECT_THAT(shown("https://x"), HasSubstr("no TLS"));
  for (const char* wrong :
       {"", "x:4318", "http://", "http://:1", "http://x:", "http://x:a", "http://x:123456", "http://x:0", "http://x:65536",
        "http://x:99999", "http://x:+80", "http://u@x", "http://x/a b", "http://x/\r\nHost: y", "grpc://x:4317"}) {
    EXPECT_THAT(shown(wrong), HasSubstr("--otlp-traces-endpoint: expected ")) << wrong;
  }
}

TEST(CollectorUrl, ShowsNoPassword) {
  for (const char* wrong : {"http://user:secret@x:1/y", "https://user:secret@x", "grpc://user:secret@x", "user:secret@x:4318",
                            "http://user:se/secret@x", "http://user:secret@x y", "user:secret@http://x"}) {
    const Result<CollectorUrl> refused = parse_collector_url(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr("expected "), HasSubstr("...@"), Not(HasSubstr("secret")))) << wrong;
  }
}

Span a_span(const std::string& text = "a") {
  return {{kTrace, kParent},
          "00000000000000aa",
          "chat",
          SpanKind::server,
          std::chrono::nanoseconds(1),
          std::chrono::nanoseconds(1'700'000'000'123'456'789),
          {{"text", text}, {"whole", std::int64_t{1} << 60}, {"real", 0.5}, {"truth", true}, {"list", std::vector<std::string>{"x", text}}},
          {}};
}

TEST(OtlpJson, HasTheFormOfTheProtocol) {
  std::vector<Span> spans = {a_span(), a_span("\xff")};
  spans[1].context.parent_id.clear();
  spans[1].failure = "no space";
  spans[1].kind = SpanKind::internal;
  spans[0].context.state = "a=1";
  const nlohmann::json body = nlohmann::json::parse(otlp_body(spans, "1.2"));
  const nlohmann::json& resource = body["resourceSpans"][0];
  EXPECT_EQ(resource["resource"]["attributes"][0], nlohmann::json::parse(R"({"key":"service.name","value":{"stringValue":"slora"}})"));
  const nlohmann::json& first = resource["scopeSpans"][0]["spans"][0];
  EXPECT_EQ(first["traceId"], kTrace);
  EXPECT_EQ(first["parentSpanId"], kParent);
  EXPECT_EQ(first["endTimeUnixNano"], "1700000000123456789") << "64 bits are text";
  EXPECT_EQ(first["attributes"][1]["value"]["intValue"], "1152921504606846976");
  EXPECT_EQ(first["attributes"][3]["value"]["boolValue"], true);
  EXPECT_EQ(first["attributes"][4]["value"],
            nlohmann::json::parse(R"({"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"a"}]}})"));
  EXPECT_EQ(first["kind"], 2);
  EXPECT_EQ(first["traceState"], "a=1");
  EXPECT_FALSE(first.contains("status"));
  const nlohmann::json& second = resource["scopeSpans"][0]["spans"][1];
  EXPECT_FALSE(second.contains("parentSpanId"));
  EXPECT_FALSE(second.contains("traceState"));
  EXPECT_EQ(second["kind"], 1);
  EXPECT_EQ(second["status"]["code"], 2);
  EXPECT_EQ(second["attributes"][0]["value"]["stringValue"], "\xef\xbf\xbd");
}

using std::chrono::milliseconds;

SpanExporterOptions to_url(const std::string& url) {
  return {.collector = *parse_collector_url(url),
          .service_version = "1",
          .waiting_max = 100,
          .pause = milliseconds(5),
          .export_time = std::chrono::seconds(30),
          .retry_pause = milliseconds(5),
          .retry_time = milliseconds(500)};
}

std::uint64_t dropped_count(MetricsRegistry& registry, const char* reason) {
  return registry.counter("slora_trace_spans_dropped_total", "Spans that did not reach the collector.", {{"reason", reason}}).value();
}

std::uint64_t exported_count(MetricsRegistry& registry) {
  return registry.counter("slora_trace_spans_exported_total", "Spans that the collector has taken.").value();
}

// Until the count is reached; half a minute at most.
void wait_for_dropped(MetricsRegistry& registry, const char* reason, std::uint64_t count) {
  for (int i = 0; i < 3000 && dropped_count(registry, reason) < count; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(dropped_count(registry, reason), count);
}

TEST(SpanExporter, SendsWhatIsAddedAndTheRestAtItsEnd) {
  const TraceCollector collector;
  MetricsRegistry registry;
  {
    SpanExporter exporter(to_url(collector.url()), registry);
    for (int i = 0; i < 3; ++i) exporter.add({a_span(), a_span()});
    EXPECT_EQ(collector.wait_for_spans(6).size(), 6u);
    EXPECT_THAT(collector.head(), AllOf(HasSubstr("POST /v1/traces HTTP/1.1"), HasSubstr("Content-Type: application/json")));
    exporter.add({a_span()});
  }
  EXPECT_EQ(collector.wait_for_spans(7).size(), 7u);
  EXPECT_EQ(exported_count(registry), 7u);
}

TEST(SpanExporter, RepeatsWhatACollectorWillTakeLater) {
  for (const char* status : {"429", "502", "503", "504"}) {
    const TraceCollector collector({std::string(status) + "\r\nRetry-After: 0", std::string(status)});
    MetricsRegistry registry;
    SpanExporterOptions options = to_url(collector.url());
    options.retry_time = std::chrono::seconds(60);  // also on a machine with other work
    SpanExporter exporter(options, registry);
    exporter.add({a_span()});
    EXPECT_EQ(collector.wait_for_spans(1).size(), 1u) << status;
    EXPECT_EQ(collector.export_count(), 3u) << status;
    EXPECT_EQ(dropped_count(registry, "export_failed"), 0u);
  }
}

TEST(SpanExporter, DropsWhatACollectorRefuses) {
  for (const char* status : {"400", "404", "500", "307"}) {
    const TraceCollector collector({status});
    MetricsRegistry registry;
    SpanExporter exporter(to_url(collector.url()), registry);
    exporter.add({a_span(), a_span()});
    wait_for_dropped(registry, "export_failed", 2);
    EXPECT_EQ(collector.export_count(), 1u) << status;
    exporter.add({a_span()});
    EXPECT_EQ(collector.wait_for_spans(1).size(), 1u) << "it goes on";
  }
}

TEST(SpanExporter, CountsWhatACollectorRejectsOfAnExport) {
  for (const char* rejected :
       {R"({"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}})", R"({"partialSuccess":{"rejectedSpans":2}})"}) {
    const TraceCollector collector({}, rejected);
    MetricsRegistry registry;
    SpanExporter exporter(to_url(collector.url()), registry);
    exporter.add({a_span(), a_span(), a_span()});
    wait_for_dropped(registry, "rejected", 2);
    EXPECT_EQ(exported_count(registry), 1u);
  }
}

TEST(SpanExporter, RepeatsNothingThatWasTaken) {
  for (const char* odd : {"", "x", "[]", R"({"partialSuccess":[]})", R"({"partialSuccess":null})", R"({"partialSuccess":{}})",
                          R"({"partialSuccess":{"rejectedSpans":{}}})", R"({"partialSuccess":{"rejectedSpans":-1}})",
                          R"({"partialSuccess":{"rejectedSpans":"x"}})"}) {
    const TraceCollector collector({}, odd);
    MetricsRegistry registry;
    {
      SpanExporter exporter(to_url(collector.url()), registry);
      exporter.add({a_span()});
    }
    EXPECT_EQ(collector.export_count(), 1u) << odd;
    EXPECT_EQ(exported_count(registry), 1u) << odd;
  }
}

TEST(SpanExporter, GivesABatchUpAfterATime) {
  MetricsRegistry registry;
  SpanExporter exporter(to_url("http://127.0.0.1:1"), registry);  // nobody listens
  exporter.add({a_span()});
  wait_for_dropped(registry, "export_failed", 1);
}

TEST(SpanExporter, EndsAnExportToACollectorThatHangs) {
  const TraceCollector collector({"hang"});
  MetricsRegistry registry;
  {
    SpanExporterOptions options = to_url(collector.url());
    options.export_time = milliseconds(20);
    SpanExporter exporter(options, registry);
    exporter.add({a_span()});
    while (collector.export_count() == 0) std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(exported_count(registry) + dropped_count(registry, "export_failed"), 1u);
}

TEST(SpanExporter, GivesItsLastExportLittleTime) {
  const TraceCollector collector({"hang"});
  MetricsRegistry registry;
  {
    SpanExporterOptions options = to_url(collector.url());
    options.pause = options.export_time = std::chrono::hours(1);  // only the end sends, and it may take a second
    SpanExporter exporter(options, registry);
    exporter.add({a_span()});
  }
  EXPECT_EQ(collector.export_count(), 1u);
  EXPECT_EQ(dropped_count(registry, "export_failed"), 1u);
}

TEST(SpanExporter, DropsWhatDoesNotFitInsteadOfWaiting) {
  MetricsRegistry registry;
  {
    SpanExporterOptions options = to_url("http://127.0.0.1:1");
    options.pause = std::chrono::hours(1);  // only the end sends
    SpanExporter exporter(options, registry);
    for (int i = 0; i < 50; ++i) exporter.add({a_span(), a_span(), a_span()});
    EXPECT_EQ(dropped_count(registry, "queue_full"), 51u) << "a request's spans are kept together";
  }
  EXPECT_EQ(dropped_count(registry, "export_failed"), 99u);
}

}  // namespace
}  // namespace slora
