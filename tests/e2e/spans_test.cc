// What the server tells of its requests: spans to a collector, and a log of objects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "traces/testing/trace_collector.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kTraceId = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kCallerSpan = "b7ad6b7169203331";

std::vector<std::string> arguments_with(std::vector<std::string> more) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Reply ask(const ServerProcess& server, const std::string& model, const std::vector<std::string>& header_lines) {
  return post(server.port(), "/v1/chat/completions", chat_body(model, "Rosa painted a broken hat at the market."), header_lines);
}

std::string traceparent(const std::string& flags) { return std::string("traceparent: 00-") + kTraceId + "-" + kCallerSpan + "-" + flags; }

using Spans = std::vector<nlohmann::json>;

// The span of the request with this id; null where there is none.
nlohmann::json span_of_request(const Spans& spans, const std::string& id) {
  for (const nlohmann::json& span : spans) {
    if (attribute_of(span, "gen_ai.request.id") == id) return span;
  }
  return nullptr;
}

// The names of the spans below this one, which lie one after the other within its time.
std::vector<std::string> phases_of(const Spans& spans, const nlohmann::json& whole) {
  const auto time = [](const nlohmann::json& span, const char* name) { return std::stoull(span.at(name).get<std::string>()); };
  std::vector<std::string> names;
  std::uint64_t end = time(whole, "startTimeUnixNano");
  for (const nlohmann::json& span : spans) {
    if (span.value("parentSpanId", "") != whole["spanId"]) continue;
    names.push_back(span["name"]);
    EXPECT_EQ(span["traceId"], whole["traceId"]);
    EXPECT_EQ(span["kind"], 1) << "internal";
    EXPECT_EQ(time(span, "startTimeUnixNano"), end) << span;
    end = time(span, "endTimeUnixNano");
    EXPECT_LE(end, time(whole, "endTimeUnixNano"));
  }
  return names;
}

std::vector<Json> objects_in(const std::string& lines) {
  std::vector<Json> objects;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    objects.push_back(Json::parse(line, nullptr, false));
    EXPECT_TRUE(objects.back().is_object()) << line;
  }
  return objects;
}

TEST(Spans, StandInTheTraceOfTheirCallers) {
  const TraceCollector collector;
  {
    ServerProcess server(arguments_with({"--otlp-traces-endpoint", collector.url()}));
    EXPECT_EQ(ask(server, "shout", {traceparent("01"), "tracestate: a=1", "tracestate: b=2", "x-request-id: cold"}).status, 200);
    EXPECT_EQ(ask(server, "shout", {traceparent("01"), "x-request-id: warm"}).status, 200);
    EXPECT_EQ(ask(server, "demo", {traceparent("0x"), "x-request-id: wrong-parent"}).status, 200);
    EXPECT_EQ(ask(server, "demo", {traceparent("00"), "x-request-id: not-sampled"}).status, 200);
    EXPECT_EQ(ask(server, "nobody", {traceparent("01"), "x-request-id: refused"}).status, 404);
    const std::string body = R"({"prompt":"Rosa","n":2,"max_tokens":3,"temperature":0.7,"top_k":5,"stream":true,"ignore_eos":true})";
    const Reply streamed = post(server.port(), "/v1/completions", Json::parse(body), {"x-request-id: streamed"});
    EXPECT_TRUE(streamed.is_whole);
    server.signal(SIGTERM);
    EXPECT_EQ(server.exit_code(), 0);
  }
  const Spans spans = collector.wait_for_spans(17);
  ASSERT_EQ(spans.size(), 17u) << "four of each but the refused request, and the server's end sent all";
  EXPECT_TRUE(span_of_request(spans, "not-sampled").is_null());

  const nlohmann::json cold = span_of_request(spans, "cold");
  ASSERT_TRUE(cold.is_object());
  EXPECT_EQ(cold["name"], "chat");
  EXPECT_EQ(cold["kind"], 2) << "a server";
  EXPECT_EQ(cold["traceState"], "a=1,b=2");
  EXPECT_THAT(phases_of(spans, cold), ElementsAre("queue", "prefill", "decode"));
  EXPECT_EQ(cold["traceId"], kTraceId);
  EXPECT_EQ(cold["parentSpanId"], kCallerSpan);
  EXPECT_EQ(cold["spanId"].get<std::string>().size(), 16u);
  EXPECT_LT(cold["startTimeUnixNano"].get<std::string>(), cold["endTimeUnixNano"].get<std::string>());
  EXPECT_EQ(attribute_of(cold, "gen_ai.response.model"), "shout");
  EXPECT_EQ(attribute_of(cold, "gen_ai.request.max_tokens"), "48");
  EXPECT_EQ(attribute_of(cold, "gen_ai.request.temperature"), 0.0);
  EXPECT_EQ(attribute_of(cold, "gen_ai.request.top_p"), 1.0);
  EXPECT_TRUE(attribute_of(cold, "gen_ai.request.choice.count").is_null()) << "one";
  EXPECT_TRUE(attribute_of(cold, "gen_ai.request.stream").is_null());
  EXPECT_EQ(attribute_of(cold, "gen_ai.operation.name"), "chat");
  EXPECT_EQ(attribute_of(cold, "gen_ai.provider.name"), "slora");
  EXPECT_EQ(attribute_of(cold, "http.route"), "/v1/chat/completions");
  EXPECT_EQ(attribute_of(cold, "http.response.status_code"), "200");
  EXPECT_EQ(attribute_of(cold, "gen_ai.response.finish_reasons")["values"][0]["stringValue"], "stop");
  EXPECT_GT(std::stoi(attribute_of(cold, "gen_ai.usage.input_tokens").get<std::string>()), 5);
  EXPECT_GT(std::stoi(attribute_of(cold, "gen_ai.usage.output_tokens").get<std::string>()), 3);
  for (const char* name : {"time_in_queue", "time_to_first_token", "e2e"}) {
    EXPECT_GE(attribute_of(cold, std::string("gen_ai.latency.") + name).get<double>(), 0.0) << name;
  }
  EXPECT_EQ(attribute_of(cold, "slora.adapter.name"), "shout");
  EXPECT_EQ(attribute_of(cold, "slora.adapter.cold"), true);
  EXPECT_GT(attribute_of(cold, "slora.adapter.load_ms").get<double>(), 0.0);

  const nlohmann::json warm = span_of_request(spans, "warm");
  EXPECT_EQ(warm["parentSpanId"], kCallerSpan);
  EXPECT_NE(warm["spanId"], cold["spanId"]);
  EXPECT_EQ(attribute_of(warm, "slora.adapter.cold"), false);
  EXPECT_TRUE(attribute_of(warm, "slora.adapter.load_ms").is_null());

  const nlohmann::json wrong = span_of_request(spans, "wrong-parent");
  EXPECT_NE(wrong["traceId"], kTraceId);
  EXPECT_FALSE(wrong.contains("parentSpanId"));
  EXPECT_TRUE(attribute_of(wrong, "slora.adapter.name").is_null());

  const nlohmann::json refused = span_of_request(spans, "refused");
  EXPECT_EQ(refused["parentSpanId"], kCallerSpan);
  EXPECT_FALSE(refused.contains("status")) << "the client's mistake";
  EXPECT_THAT(phases_of(spans, refused), IsEmpty());
  EXPECT_EQ(attribute_of(refused, "error.type"), "model_not_found");
  EXPECT_EQ(attribute_of(refused, "http.response.status_code"), "404");
  EXPECT_TRUE(attribute_of(refused, "gen_ai.request.model").is_null()) << "it may be the name of what the client may not know";

  const nlohmann::json streamed = span_of_request(spans, "streamed");
  EXPECT_EQ(streamed["name"], "text_completion");
  EXPECT_FALSE(streamed.contains("parentSpanId"));
  EXPECT_THAT(phases_of(spans, streamed), ElementsAre("queue", "prefill", "decode"));
  EXPECT_EQ(attribute_of(streamed, "gen_ai.request.choice.count"), "2");
  EXPECT_EQ(attribute_of(streamed, "gen_ai.request.stream"), true);
  EXPECT_EQ(attribute_of(streamed, "gen_ai.request.temperature"), 0.7);
  EXPECT_EQ(attribute_of(streamed, "gen_ai.request.top_k"), "5");
  EXPECT_EQ(attribute_of(streamed, "gen_ai.usage.output_tokens"), "6");
  EXPECT_EQ(attribute_of(streamed, "gen_ai.response.finish_reasons")["values"].size(), 2u);
  for (const nlohmann::json& span : spans) EXPECT_THAT(span.dump(), Not(HasSubstr("Rosa"))) << "no texts";
}

TEST(Spans, AreDroppedAndCountedWhereTheyAreRefused) {
  const TraceCollector refusing({"400"});
  const ServerProcess server(arguments_with({"--otlp-traces-endpoint", refusing.url()}));
  const char* const dropped = "slora_trace_spans_dropped_total{reason=\"export_failed\"}";
  EXPECT_EQ(metric(server.port(), dropped), 0.0);
  EXPECT_EQ(ask(server, "demo", {}).status, 200);
  for (int i = 0; i < 600 && metric(server.port(), dropped) == 0.0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(metric(server.port(), dropped), 4.0);
  EXPECT_EQ(metric(server.port(), "slora_trace_spans_exported_total"), 0.0);
}

TEST(Spans, AWrongCollectorIsRefusedByName) {
  for (const char* url : {"https://collector:4318/v1/traces", "collector:4318", "http://collector:port", "grpc://collector:4317"}) {
    const Finished refused = run_slora({"serve", source_path("demo/model"), "--port", "0", "--otlp-traces-endpoint", url});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_THAT(refused.output, HasSubstr(std::string("--otlp-traces-endpoint: expected ")));
    EXPECT_THAT(refused.output, HasSubstr(url));
  }
}

TEST(JsonLog, IsAnObjectInEachLineAndOneOfThemForEachRequest) {
  ServerProcess server(arguments_with({"--log-format", "json"}));
  EXPECT_EQ(ask(server, "shout", {"x-request-id: first"}).status, 200);
  EXPECT_EQ(ask(server, "nobody", {"x-request-id: second"}).status, 404);
  EXPECT_EQ(get(server.port(), "/health").status, 200);
  server.signal(SIGTERM);
  std::string rest;
  EXPECT_EQ(server.exit_code(&rest), 0);
  EXPECT_THAT(rest, Not(HasSubstr("Rosa"))) << "no texts";
  std::vector<Json> requests;
  for (const Json& object : objects_in(server.first_output() + rest)) {
    for (const char* name : {"ts", "level", "msg"}) EXPECT_TRUE(object.contains(name)) << object;
    if (object.value("msg", "") == "request") requests.push_back(object);
  }
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0]["request_id"], "first");
  EXPECT_EQ(requests[0]["status"], 200);
  EXPECT_EQ(requests[0]["model"], "shout");
  EXPECT_EQ(requests[0]["finish_reason"], "stop");
  for (const char* name : {"prompt_tokens", "completion_tokens", "total_ms", "first_token_ms", "adapter_load_ms"}) {
    EXPECT_GT(requests[0].value(name, 0.0), 0.0) << name;
  }
  EXPECT_GE(requests[0].value("queue_ms", -1.0), 0.0);
  EXPECT_EQ(requests[1]["request_id"], "second");
  EXPECT_EQ(requests[1]["status"], 404);
  EXPECT_EQ(requests[1]["error"], "model_not_found");
  EXPECT_FALSE(requests[1].contains("model"));
}

TEST(JsonLog, HasNoLinesForRequestsWhereTheyAreUnwanted) {
  ServerProcess server(arguments_with({"--log-format", "json", "--disable-uvicorn-access-log"}));
  EXPECT_EQ(ask(server, "demo", {}).status, 200);
  server.signal(SIGTERM);
  std::string rest;
  EXPECT_EQ(server.exit_code(&rest), 0);
  for (const Json& object : objects_in(server.first_output() + rest)) EXPECT_NE(object.value("msg", ""), "request");
}

}  // namespace
}  // namespace slora
