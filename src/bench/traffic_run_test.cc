#include "bench/traffic_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/model_source.h"
#include "bench/random_adapters.h"
#include "bench/testing/tiny_config.h"
#include "bench/traffic_engine.h"
#include "bench/traffic_report.h"
#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

constexpr auto kSilent = [](std::uint64_t, std::uint64_t) {};

struct TestClock final : Clock {
  [[nodiscard]] Timestamp now() const override { return time; }
  Timestamp time = std::chrono::seconds(1);
};

// Answers each request with a token every millisecond, and records the requests.
class ScriptedTarget final : public TrafficTarget {
 public:
  explicit ScriptedTarget(std::int32_t adapter_count) : adapter_count_(adapter_count) {}

  Result<std::vector<std::string>> adapter_names() override {
    std::vector<std::string> names;
    for (std::int32_t i = 0; i < adapter_count_; ++i) names.push_back(fmt::format("a{:03}", i));
    return names;
  }
  [[nodiscard]] std::optional<Timestamp> silence_max() const override { return std::chrono::seconds(300); }
  Status send(std::size_t request, const TrafficRequest& content) override {
    running_.push_back({request, content.output_tokens});
    sent.push_back(content);
    running_max = std::max(running_max, running_.size());
    return {};
  }
  Status wait(std::vector<TrafficEvent>& events, Timestamp until) override {
    wait_max = std::max(wait_max, until - clock.now());
    if (sent.size() > silent_after) {
      is_silent = true;
      clock.time = until;
      return {};
    }
    clock.time += std::chrono::milliseconds(1);
    for (Running& running : running_) {
      TrafficEvent& event = events.emplace_back();
      event.request = running.request;
      event.at = clock.now();
      event.token_count = 1;
      event.ended = --running.tokens_left == 0;
      if (event.ended && running.request == failing) event.error = "no luck";
    }
    std::erase_if(running_, [](const Running& running) { return running.tokens_left == 0; });
    return {};
  }

  TestClock clock;
  std::vector<TrafficRequest> sent;
  std::size_t running_max = 0;
  Timestamp wait_max{};
  std::optional<std::size_t> failing;
  std::size_t silent_after = SIZE_MAX;  // after this many requests no event arrives any more
  std::atomic<bool> is_silent = false;

 private:
  struct Running {
    std::size_t request;
    std::int32_t tokens_left;
  };
  const std::int32_t adapter_count_;
  std::vector<Running> running_;
};

TrafficOptions small_options() {
  TrafficOptions options;
  options.streams = 3;
  options.requests = 10;
  options.input_tokens = 5;
  options.output_tokens = 4;
  options.adapter_count = 4;
  options.vocabulary = 320;
  return options;
}

const std::atomic<bool> kGoOn = false;

TEST(TrafficRun, SendsAllRequestsAsManyAtATimeAsThereAreStreams) {
  ScriptedTarget target(4);
  const Result<TrafficRun> run = run_traffic(target, small_options(), target.clock, kSilent, kGoOn);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->records.size(), 10u);
  EXPECT_EQ(target.running_max, 3u);
  for (std::size_t i = 0; i < target.sent.size(); ++i) {
    EXPECT_EQ(target.sent[i].adapter, fmt::format("a{:03}", (10 + i) % 4));
    EXPECT_EQ(target.sent[i].prompt.size(), 5u);
  }
  const TrafficReport report = report_of(small_options(), *run);
  EXPECT_EQ(report.output_tokens, 40);
  EXPECT_EQ(report.first_token.count, 10u);
  EXPECT_EQ(report.next_token.count, 30u);
  EXPECT_EQ(report.error_count, 0u);
}

TEST(TrafficRun, MakesEqualRequestsOfEqualOptionsAndOthersOfAnotherSeed) {
  ScriptedTarget one(4), same(4), other(4);
  TrafficOptions options = small_options();
  ASSERT_TRUE(run_traffic(one, options, one.clock, kSilent, kGoOn));
  ASSERT_TRUE(run_traffic(same, options, same.clock, kSilent, kGoOn));
  options.seed = 2;
  ASSERT_TRUE(run_traffic(other, options, other.clock, kSilent, kGoOn));
  std::set<std::vector<TokenId>> prompts;
  for (std::size_t i = 0; i < one.sent.size(); ++i) {
    EXPECT_EQ(one.sent[i].prompt, same.sent[i].prompt);
    prompts.insert(one.sent[i].prompt);
    prompts.insert(other.sent[i].prompt);
  }
  EXPECT_EQ(prompts.size(), 20u);
}

TEST(TrafficRun, CountsWhatFailedAndNothingElseOfIt) {
  ScriptedTarget target(4);
  target.failing = 3;
  const Result<TrafficRun> run = run_traffic(target, small_options(), target.clock, kSilent, kGoOn);
  ASSERT_TRUE(run);
  const TrafficReport report = report_of(small_options(), *run);
  EXPECT_EQ(report.error_count, 1u);
  EXPECT_EQ(report.first_error, "no luck");
  EXPECT_EQ(report.output_tokens, 36);
}

TEST(TrafficRun, RefusesToRunWithFewerAdaptersThanTakeTurns) {
  ScriptedTarget target(3);
  EXPECT_FALSE(run_traffic(target, small_options(), target.clock, kSilent, kGoOn));
}

TEST(TrafficRun, SendsNothingMoreWhenStopped) {
  ScriptedTarget target(4);
  const std::atomic<bool> stop = true;
  const Result<TrafficRun> run = run_traffic(target, small_options(), target.clock, kSilent, stop);
  ASSERT_TRUE(run);
  EXPECT_TRUE(run->records.empty());
}

TEST(TrafficRun, GivesUpWhatRunsWhenStopped) {
  ScriptedTarget target(4);
  target.silent_after = 3;
  const Result<TrafficRun> run = run_traffic(target, small_options(), target.clock, kSilent, target.is_silent);
  ASSERT_TRUE(run);
  EXPECT_TRUE(run->interrupted);
  const TrafficReport report = report_of(small_options(), *run);
  EXPECT_EQ(report.ended_count, 3u);
  EXPECT_EQ(report.given_up_count, 3u);
}

TEST(TrafficRun, EndsWithAnErrorWhenNothingComesForMinutes) {
  ScriptedTarget target(4);
  target.silent_after = 5;
  const Timestamp begin = target.clock.now();
  const Result<TrafficRun> run = run_traffic(target, small_options(), target.clock, kSilent, kGoOn);
  ASSERT_FALSE(run);
  EXPECT_NE(run.error().message.find("nothing was received for 300 seconds"), std::string::npos) << run.error().message;
  EXPECT_LT(target.clock.now() - begin, std::chrono::seconds(302));
}

TEST(TrafficRun, TakesWhatItSendsForNoSignOfLife) {
  ScriptedTarget target(1000);
  target.silent_after = 5;
  TrafficOptions options = small_options();
  options.cold_per_second = 2;
  options.phase_seconds = 1;
  const Timestamp begin = target.clock.now();
  const Result<TrafficRun> run = run_traffic(target, options, target.clock, kSilent, kGoOn);
  ASSERT_FALSE(run);
  EXPECT_GT(target.sent.size(), 100u) << "cold requests were sent all the while";
  EXPECT_LT(target.clock.now() - begin, std::chrono::seconds(302));
}

TEST(TrafficRun, NamesEachColdAdapterOnceAndInSecondPhasesOnly) {
  ScriptedTarget target(14);
  TrafficOptions options = small_options();
  options.output_tokens = 9000;
  options.requests = 3;
  options.cold_per_second = 5;
  options.phase_seconds = 1;
  const Result<TrafficRun> run = run_traffic(target, options, target.clock, kSilent, kGoOn);
  ASSERT_TRUE(run);
  std::set<std::string> named;
  for (std::size_t i = 0; i < run->records.size(); ++i) {
    if (!run->records[i].is_cold) continue;
    EXPECT_EQ(phase_of(options, run->records[i].sent - run->begin) % 2, 1);
    EXPECT_TRUE(named.insert(target.sent[i].adapter).second);
    EXPECT_GE(target.sent[i].adapter, "a004");
  }
  EXPECT_EQ(named.size(), 10u);
  EXPECT_EQ(run->cold_count, 10);
  EXPECT_TRUE(run->ran_out_of_adapters);
}

TEST(TrafficRun, LooksAtWhetherToStopHoweverRareColdRequestsAre) {
  ScriptedTarget target(5);
  TrafficOptions options = small_options();
  options.cold_per_second = 0.01;
  ASSERT_TRUE(run_traffic(target, options, target.clock, kSilent, kGoOn));
  EXPECT_LE(target.wait_max, std::chrono::seconds(1));
}

TEST(TrafficReport, CountsWhatWasGivenUpNeitherAsAnAnswerNorAsAnError) {
  TrafficRun run;
  run.begin = std::chrono::seconds(1);
  run.interrupted = true;
  const auto at = [&](std::int64_t milliseconds) { return run.begin + Timestamp(std::chrono::milliseconds(milliseconds)); };
  run.records = {
      {false, at(0), {at(10), at(20)}, at(20), 0, {}}, {false, at(0), {at(500), at(900)}, {}, 0, {}}, {false, at(20), {}, {}, 0, {}}};
  const TrafficReport report = report_of(small_options(), run);
  EXPECT_EQ(report.output_tokens, 2);
  EXPECT_EQ(report.first_token.count, 1u);
  EXPECT_EQ(report.next_token.count, 1u);
  EXPECT_EQ(report.error_count, 0u);
  EXPECT_EQ(report.ended_count, 1u);
  EXPECT_EQ(report.given_up_count, 2u);
  EXPECT_DOUBLE_EQ(report.seconds, 0.02);
  EXPECT_EQ(to_json(report)["interrupted"], true);
  const std::vector<std::string> lines = lines_of(report);
  EXPECT_TRUE(std::ranges::any_of(lines, [](const std::string& line) { return line.starts_with("interrupted"); }));
}

TEST(TrafficReport, HasNoSteadyRateWhereNoStreamSendsTwice) {
  TrafficOptions options = small_options();
  for (const bool sends_twice : {true, false}) {
    options.requests = sends_twice ? 10 : options.streams;
    ScriptedTarget target(4);
    const Result<TrafficRun> run = run_traffic(target, options, target.clock, kSilent, kGoOn);
    ASSERT_TRUE(run);
    const TrafficReport report = report_of(options, *run);
    EXPECT_EQ(report.steady_tokens_per_second > 0, sends_twice);
    const std::vector<std::string> lines = lines_of(report);
    EXPECT_EQ(std::ranges::count_if(lines, [](const std::string& line) { return line.starts_with("steady"); }), sends_twice ? 1 : 0);
  }
}

TEST(TrafficReport, SortsTimesBetweenTokensByPhase) {
  TrafficOptions options;
  options.cold_per_second = 1;
  options.phase_seconds = 2;
  TrafficRun run;
  TrafficRecord& record = run.records.emplace_back();
  const auto at = [](int milliseconds) { return Timestamp(std::chrono::milliseconds(milliseconds)); };
  // Without; across the change; settling; with; with.
  record.tokens = {at(100), at(110), at(2100), at(2130), at(3000), at(3020), at(3045)};
  record.ended = at(3045);
  const TrafficReport report = report_of(options, run);
  EXPECT_EQ(report.next_token_without.count, 1u);
  EXPECT_DOUBLE_EQ(report.next_token_without.p50, 0.01);
  EXPECT_EQ(report.next_token_with_cold.count, 2u);
  EXPECT_DOUBLE_EQ(report.next_token_with_cold.p50, 0.02);
  EXPECT_FALSE(to_json(report).dump().empty());
}

TEST(TrafficEngine, AnswersEveryRequestWithItsAdapter) {
  const TemporaryFolder folder;
  const Result<ModelSource> model = find_model(folder.write("tiny/config.json", testing::kTinyConfig), folder.path());
  ASSERT_TRUE(model);
  const Result<ModelConfig> config = read_model_config(model->folder.string());
  ASSERT_TRUE(config);
  const RandomAdapters adapters(folder.file("adapters"), *config);
  for (std::int32_t i = 0; i < 5; ++i) ASSERT_TRUE(adapters.write({8, AdapterTargets::qv}, i));
  RuntimeOptions runtime;
  runtime.model_folder = model->folder;
  runtime.random_weights_seed = 1;
  runtime.threads = 1;
  runtime.pool_bytes = std::uint64_t{16} << 20;
  runtime.adapter_folders = {folder.file("adapters")};
  Result<std::unique_ptr<TrafficEngine>> engine = TrafficEngine::create(std::move(runtime));
  ASSERT_TRUE(engine) << engine.error().message;
  const Result<TrafficRun> run = run_traffic(**engine, small_options(), SteadyClock(), kSilent, kGoOn);
  ASSERT_TRUE(run) << run.error().message;
  const TrafficReport report = report_of(small_options(), *run);
  EXPECT_EQ(report.error_count, 0u) << report.first_error;
  EXPECT_EQ(report.output_tokens, 40);
  EXPECT_EQ((*engine)->runtime().summary().empty(), false);
}

}  // namespace
}  // namespace slora::bench
