#include "bench/online_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/workload/serving_metrics.h"
#include "bench/workload/workload.h"

namespace slora::bench {
namespace {

constexpr auto kNoProgress = [](std::uint64_t, std::uint64_t) {};
const std::atomic<bool> kNeverStop = false;

struct ManualClock final : Clock {
  [[nodiscard]] Timestamp now() const override { return time; }
  Timestamp time = std::chrono::seconds(1000);
};

// Serves every request alone: its first token after `first_after`, the others `each_after` apart.
class TimedTarget final : public TrafficTarget {
 public:
  Result<std::vector<std::string>> adapter_names() override { return std::vector<std::string>{}; }
  [[nodiscard]] std::optional<Timestamp> silence_max() const override { return std::chrono::seconds(300); }

  Status send(std::size_t request, const TrafficRequest& content) override {
    sent.push_back(content);
    sent_at.push_back(clock.now());
    clock.time += send_takes;
    if (unsendable.contains(request)) return error(unsendable_code, "no connection");
    for (std::int32_t i = 0; i < content.output_tokens; ++i) {
      TrafficEvent event;
      event.request = request;
      event.at = clock.now() + first_after + i * each_after;
      event.token_count = 1;
      event.ended = i + 1 == content.output_tokens;
      if (event.ended) event.prompt_tokens = 10;
      if (refused_with != 0 && request % 2 == refused_parity) {
        event.token_count = 0;
        event.ended = true;
        event.status = refused_with;
        event.error = "refused";
        if (i > 0) continue;
      }
      if (!is_silent) pending_.push_back(event);
    }
    running_max = std::max(running_max, pending_.size());
    return {};
  }

  Status wait(std::vector<TrafficEvent>& events, Timestamp until) override {
    std::ranges::sort(pending_, {}, &TrafficEvent::at);
    clock.time = std::max(clock.time, pending_.empty() ? until : std::min(until, pending_.front().at));
    while (!pending_.empty() && pending_.front().at <= clock.time) {
      events.push_back(pending_.front());
      pending_.erase(pending_.begin());
    }
    if (clock.now() >= stop_at) stop = true;
    return {};
  }

  ManualClock clock;
  std::vector<TrafficRequest> sent;
  std::vector<Timestamp> sent_at;
  std::set<std::size_t> unsendable;
  std::string unsendable_code = "E_HTTP";
  std::int32_t refused_with = 0;  // the status that every second request gets
  std::size_t refused_parity = 1;
  bool is_silent = false;
  Timestamp first_after = std::chrono::milliseconds(500), each_after = std::chrono::milliseconds(100), send_takes{};
  Timestamp stop_at = Timestamp::max();
  std::atomic<bool> stop = false;
  std::size_t running_max = 0;

 private:
  std::vector<TrafficEvent> pending_;
};

Trace regular_trace(std::size_t count, double interval, std::int32_t output_tokens) {
  Trace trace;
  trace.adapter_count = 2;
  for (std::size_t i = 0; i < count; ++i) {
    trace.requests.push_back({interval * static_cast<double>(i), static_cast<std::int32_t>(i % 3) - 1, 0, 7, output_tokens});
  }
  trace.seconds = interval * static_cast<double>(count);
  return trace;
}

PromptOptions prompts_of(PromptForm form) { return {.form = form, .vocabulary = 50, .seed = 3, .adapters = {"one", "two"}}; }

OnlineRun run_of(TimedTarget& target, const Trace& trace) {
  Result<OnlineRun> run = run_online(target, trace, prompts_of(PromptForm::ids), target.clock, kNoProgress, target.stop);
  EXPECT_TRUE(run) << run.error().message;
  return run ? std::move(*run) : OnlineRun();
}

TEST(OnlineRun, SendsRequestsWhenTheyAreDueWhateverIsRunning) {
  TimedTarget target;
  const Trace trace = regular_trace(20, 0.25, 30);
  const Timestamp begin = target.clock.now();
  const OnlineRun run = run_of(target, trace);
  ASSERT_EQ(run.served.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(seconds(target.sent_at[i] - begin), trace.requests[i].arrival, 1e-6);
    EXPECT_NEAR(run.late_seconds[i], 0, 1e-6);
    EXPECT_EQ(run.served[i].end, ServedEnd::completed);
    EXPECT_NEAR(run.served[i].first_token - run.served[i].arrival, 0.5, 1e-6);
    EXPECT_NEAR(run.served[i].last_token - run.served[i].arrival, 3.4, 1e-6);
    EXPECT_EQ(run.served[i].output_tokens, 30);
    EXPECT_EQ(target.sent[i].adapter, (std::vector<std::string>{"", "one", "two"})[i % 3]);
    EXPECT_EQ(target.sent[i].prompt.size(), 7u);
  }
  EXPECT_GT(target.running_max, 10u * 20) << "an answer takes 3.4 s, and one is sent every 0.25 s";
  EXPECT_EQ(run.prompt_tokens, 200);
}

TEST(OnlineRun, CountsFromTheArrivalWhenTheClientIsLate) {
  TimedTarget target;
  target.send_takes = std::chrono::milliseconds(400);
  const OnlineRun run = run_of(target, regular_trace(5, 0.1, 1));
  EXPECT_NEAR(run.late_seconds[4], 4 * 0.3, 1e-6);
  EXPECT_NEAR(run.served[4].first_token - run.served[4].arrival, 4 * 0.3 + 0.4 + 0.5, 1e-6);
}

TEST(OnlineRun, TellsWhatWasAbortedFromWhatFailed) {
  for (const std::int32_t status : {429, 503, 500, 404}) {
    TimedTarget target;
    target.refused_with = status;
    target.unsendable = {2};
    const Trace trace = regular_trace(6, 0.1, 3);
    const OnlineRun run = run_of(target, trace);
    const ServingMetrics metrics = serving_metrics_of(trace, run.served, {});
    const bool is_abort = status == 429 || status == 503;
    EXPECT_EQ(metrics.completed, 2u);
    EXPECT_EQ(metrics.aborted, is_abort ? 3u : 0u) << status;
    EXPECT_EQ(metrics.failed, is_abort ? 1u : 4u) << status;
    EXPECT_EQ(run.first_abort, is_abort ? "refused" : "");
    EXPECT_EQ(run.first_failure, "no connection") << "it came before the answers";
  }
}

TEST(OnlineRun, CountsWhatTheClientCannotSendApartFromFailures) {
  TimedTarget target;
  target.unsendable = {1, 3};
  target.unsendable_code = kClientLimit;
  const Trace trace = regular_trace(6, 0.1, 3);
  const OnlineRun run = run_of(target, trace);
  const ServingMetrics metrics = serving_metrics_of(trace, run.served, {});
  EXPECT_EQ(metrics.unsent, 2u);
  EXPECT_EQ(metrics.failed, 0u);
  EXPECT_EQ(metrics.completed, 4u);
  EXPECT_EQ(metrics.slo_attainment, 1) << "of what was sent";
  EXPECT_EQ(run.first_unsent, "no connection");
  EXPECT_EQ(run.first_failure, "");
  EXPECT_EQ(lines_of(metrics).front(), "requests      6: 4 completed, 0 aborted, 0 failed, 2 not sent");
  EXPECT_EQ(to_json(metrics)["unsent"], 2);
  EXPECT_EQ(to_json(run.served[1])["end"], "unsent");
}

TEST(OnlineRun, AbandonsWhatRunsWhenStopped) {
  TimedTarget target;
  target.stop_at = target.clock.now() + std::chrono::seconds(2);
  const OnlineRun run = run_of(target, regular_trace(100, 0.5, 1000));
  EXPECT_TRUE(run.interrupted);
  EXPECT_EQ(run.served.size(), 4u) << "those due before two seconds";
  EXPECT_EQ(run.served[0].end, ServedEnd::abandoned);
  EXPECT_GT(run.served[0].output_tokens, 10);
}

TEST(OnlineRun, EndsWithAnErrorWhenNothingComesForMinutes) {
  TimedTarget target;
  target.is_silent = true;
  const Timestamp begin = target.clock.now();
  const Result<OnlineRun> run =
      run_online(target, regular_trace(3, 100, 2), prompts_of(PromptForm::ids), target.clock, kNoProgress, kNeverStop);
  ASSERT_FALSE(run);
  EXPECT_NE(run.error().message.find("nothing was received for 300 seconds"), std::string::npos);
  EXPECT_NEAR(seconds(target.clock.now() - begin), 300, 1);
}

TEST(OnlineRun, WaitsThroughLongTimesWithoutRequests) {
  TimedTarget target;
  EXPECT_EQ(run_of(target, regular_trace(3, 1000, 2)).served.back().end, ServedEnd::completed);
}

TEST(OnlinePrompt, IsDeterminedBySeedAndIndex) {
  const Trace trace = regular_trace(2, 1, 5);
  for (const PromptForm form : {PromptForm::ids, PromptForm::text}) {
    PromptOptions options = prompts_of(form);
    const TrafficRequest one = online_request(options, trace.requests[0], 0), same = online_request(options, trace.requests[0], 0),
                         next = online_request(options, trace.requests[0], 1);
    options.seed = 4;
    const TrafficRequest other = online_request(options, trace.requests[0], 0);
    EXPECT_EQ(one.prompt, same.prompt);
    EXPECT_EQ(one.text, same.text);
    EXPECT_TRUE(one.prompt != next.prompt || one.text != next.text);
    EXPECT_TRUE(one.prompt != other.prompt || one.text != other.text);
    EXPECT_EQ(one.output_tokens, 5);
  }
}

TEST(OnlinePrompt, HasAsManyIdsOrWordsAsTokens) {
  const Trace trace = regular_trace(1, 1, 5);
  const TrafficRequest ids = online_request(prompts_of(PromptForm::ids), trace.requests[0], 0);
  EXPECT_EQ(ids.prompt.size(), 7u);
  EXPECT_LT(std::ranges::max(ids.prompt), 50);
  const TrafficRequest text = online_request(prompts_of(PromptForm::text), trace.requests[0], 0);
  EXPECT_TRUE(text.prompt.empty());
  EXPECT_EQ(std::ranges::count(text.text, ' '), 6);
}

TEST(Probe, SaysWhyTheServerTakesNoSuchRequests) {
  TimedTarget good;
  EXPECT_TRUE(probe_target(good, prompts_of(PromptForm::ids), good.clock, kNeverStop));
  EXPECT_EQ(good.sent[0].prompt, std::vector<TokenId>{49});
  EXPECT_EQ(good.sent[0].adapter, "one");
  TimedTarget refusing;
  refusing.refused_with = 400;
  refusing.refused_parity = 0;
  const std::string why = probe_target(refusing, prompts_of(PromptForm::ids), refusing.clock, kNeverStop).error().message;
  EXPECT_EQ(why, "the server refused a first request: refused (its prompt was token id 49: see --vocabulary and --prompt-form)");
  TimedTarget unsendable;
  unsendable.unsendable = {0};
  EXPECT_EQ(probe_target(unsendable, prompts_of(PromptForm::ids), unsendable.clock, kNeverStop).error().message, "no connection");
  TimedTarget silent;
  silent.is_silent = true;
  EXPECT_FALSE(probe_target(silent, prompts_of(PromptForm::ids), silent.clock, kNeverStop));
}

}  // namespace
}  // namespace slora::bench
