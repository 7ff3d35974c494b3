#include "bench/workload/request_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

RequestLog log_of(std::size_t count) {
  RequestLog log;
  log.models = {"a", "b", "c"};
  for (std::size_t i = 0; i < count; ++i) {
    const auto number = static_cast<std::int32_t>(i);
    log.requests.push_back({1000.0 + 7 * number, number % 3, 1 + number, 5});
  }
  return log;
}

TEST(RequestLog, ReadsTokenCountsConversationsAndTexts) {
  const TemporaryFolder folder;
  const Result<RequestLog> log =
      read_request_log(folder.write("log.jsonl", R"({"tstamp":5.5,"model":"rare","input_tokens":3,"output_tokens":0}
{"timestamp":7,"model_a":"often","conversation_a":[{"role":"user","content":"12345"},{"role":"assistant","content":""}]}
{"tstamp":8,"model":"often","conversation":[{"content":"a"},{"content":"b"},{"content":"c"},{"content":"d"}]}
{"tstamp":9,"model":"often","prompt":"12345678","response":"123456789"}
)"));
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ(log->models, (std::vector<std::string>{"often", "rare"}));
  ASSERT_EQ(log->requests.size(), 3u);
  EXPECT_EQ(log->multi_turn_count, 1u);
  EXPECT_EQ(log->estimated_count, 2u);
  EXPECT_EQ(log->requests[0].time, 5.5);
  EXPECT_EQ(log->requests[0].model, 1);
  EXPECT_EQ(log->requests[0].input_tokens, 3);
  EXPECT_EQ(log->requests[0].output_tokens, 1) << "at least one";
  EXPECT_EQ(log->requests[1].model, 0);
  EXPECT_EQ(log->requests[1].input_tokens, 2);
  EXPECT_EQ(log->requests[1].output_tokens, 1);
  EXPECT_EQ(log->requests[2].input_tokens, 2);
  EXPECT_EQ(log->requests[2].output_tokens, 3);
}

TEST(RequestLog, SaysWhichLineAndFieldIsWrong) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& line) {
    const std::string good = R"({"tstamp":1,"model":"m","input_tokens":3,"output_tokens":4})";
    const Result<RequestLog> log = read_request_log(folder.write("log.jsonl", good + "\n" + line));
    return log ? "none" : log.error().message;
  };
  EXPECT_EQ(refusal(""), "none");
  EXPECT_EQ(refusal(R"({"model":"m"})"), "log.jsonl, line 2: tstamp: missing, as is timestamp");
  EXPECT_EQ(refusal(R"({"tstamp":"now","model":"m"})"), "log.jsonl, line 2: tstamp: expected a number, found a string");
  EXPECT_EQ(refusal(R"({"tstamp":1})"), "log.jsonl, line 2: model: missing, as is model_a");
  EXPECT_EQ(refusal(R"({"timestamp":1,"model":3})"), "log.jsonl, line 2: model: expected a name, found an integer");
  EXPECT_TRUE(refusal(R"({"tstamp":1,"model":"m"})").starts_with("log.jsonl, line 2: expected input_tokens and output_tokens, "));
  EXPECT_TRUE(refusal(R"({"tstamp":1,"model":"m","input_tokens":-1,"output_tokens":4})").starts_with("log.jsonl, line 2: input_tokens: "));
  EXPECT_NE(refusal(R"({"tstamp":1,"model":"m","input_tokens":1})").find("output_tokens"), std::string::npos);
  EXPECT_TRUE(refusal(R"({"tstamp":1,"model":"m","conversation":"hi"})").starts_with("log.jsonl, line 2: conversation: expected a list"));
  EXPECT_NE(refusal(R"({"tstamp":1,"model":"m","conversation":[{"content":"a"},{}]})").find("conversation[1]: "), std::string::npos);
  EXPECT_NE(refusal(R"({"tstamp":1,"model":"m","prompt":"a"})").find("response"), std::string::npos);
}

TEST(RequestLog, OfLongConversationsOnlyHasNoRequests) {
  const TemporaryFolder folder;
  const Result<RequestLog> log = read_request_log(folder.write("log.jsonl", R"({"tstamp":8,"model":"m","conversation":[]})"));
  ASSERT_FALSE(log);
  EXPECT_TRUE(log.error().message.ends_with("no requests of one turn"));
}

TEST(Replay, DrawsAsManyRequestsAsTheRateSaysAndStretchesThemOverTheTime) {
  const Result<Trace> trace = replay_log(log_of(500), {.rate = 2.5, .seconds = 100});
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->requests.size(), 250u);
  EXPECT_EQ(trace->adapter_count, 3);
  EXPECT_EQ(trace->seconds, 100);
  EXPECT_EQ(trace->requests.front().arrival, 0);
  EXPECT_EQ(trace->requests.back().arrival, 100);
  std::set<std::int32_t> inputs;
  const double first = trace->requests.front().input_tokens, last = trace->requests.back().input_tokens;
  for (const TraceRequest& request : trace->requests) {
    EXPECT_TRUE(inputs.insert(request.input_tokens).second) << "without replacement";
    EXPECT_EQ(request.adapter, (request.input_tokens - 1) % 3);
    EXPECT_NEAR(request.arrival, 100 * (request.input_tokens - first) / (last - first), 1e-9) << "times are mapped linearly";
  }
}

// How many of the chosen lie in the first half of the log: hypergeometric, 100 of 1000 with a standard deviation of 4.7.
TEST(Replay, DrawsFromAllOfTheLog) {
  RequestLog log = log_of(1000);
  for (LoggedRequest& request : log.requests) request.output_tokens = std::exchange(request.input_tokens, 1);
  const Result<Trace> trace = replay_log(log, {.rate = 1, .seconds = 100, .tokens_max = 2000});
  ASSERT_TRUE(trace);
  const auto early = std::ranges::count_if(trace->requests, [](const TraceRequest& request) { return request.output_tokens <= 500; });
  EXPECT_NEAR(static_cast<double>(early), 50, 5 * 4.7);
  EXPECT_NE(replay_log(log, {.rate = 1, .seconds = 100, .tokens_max = 2000, .seed = 1})->requests[50].output_tokens,
            trace->requests[50].output_tokens);
}

TEST(Replay, LeavesOutLongRequestsAndSharesAdapters) {
  const Result<Trace> trace = replay_log(log_of(500), {.rate = 1, .seconds = 90, .adapter_count = 2, .tokens_max = 100});
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->adapter_count, 2);
  for (const TraceRequest& request : trace->requests) {
    EXPECT_LE(request.input_tokens, 100);
    EXPECT_EQ(request.adapter, (request.input_tokens - 1) % 3 % 2);
  }
}

TEST(Replay, SaysWhatTheLogLacks) {
  EXPECT_EQ(replay_log(log_of(5), {.rate = 1, .seconds = 6}).error().message,
            "the log: expected at least 6 requests of up to 511 tokens, for 1 a second over 6 seconds; found 5");
  RequestLog log = log_of(5);
  for (LoggedRequest& request : log.requests) request.time = 3;
  EXPECT_EQ(replay_log(log, {.rate = 1, .seconds = 5}).error().message, "the log: expected requests at different times, found all 5 at 3");
  EXPECT_FALSE(replay_log(log, {.rate = -1, .seconds = 5}));
  EXPECT_FALSE(replay_log(log, {.rate = 1e9, .seconds = 1e9}));
}

}  // namespace
}  // namespace slora::bench
