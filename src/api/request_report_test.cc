#include "api/request_report.h"

#include <gtest/gtest.h>

#include <chrono>

#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

// What a report said, without what it borrows.
struct KeptReport {
  std::string model, finish_reason, error_code;
  std::int64_t prompt_tokens = 0, completion_tokens = 0;
  bool client_left = false;
  RequestMetrics::Times times;
  Timestamp ended{};
  std::optional<float> adapter_load_seconds;
};

class RequestReportTest : public GenerationJobFixture {
 protected:
  std::shared_ptr<GenerationJob> start_reported(const std::string& body) {
    sink = std::make_shared<RecordingSink>();
    JobOrigin origin{.tenant = {}, .client = {}, .report = [this](const RequestReport& report) {
                       const Usage usage = report.answer.usage();
                       const std::vector<AnsweredChoice>& choices = report.answer.choices;
                       kept.push_back({report.answer.request.model_name, choices.empty() ? "" : std::string(choices[0].finish_reason),
                                       report.failure == nullptr ? "" : report.failure->code, usage.prompt_tokens, usage.completion_tokens,
                                       report.client_left, report.times, report.ended, report.adapter_load_seconds});
                     }};
    auto job = std::make_shared<GenerationJob>(sink, services(), std::move(origin));
    job->start(preparer->prepare(Endpoint::completions, body));
    return job;
  }
  // At `clock`, of a sequence that began to run at `started`.
  void deliver_at(std::size_t sequence, Timestamp started, std::optional<EndReason> end, std::optional<float> load_seconds = {}) {
    std::vector<TokenEvent> events(1);
    events[0].sequence = generator.submitted.at(sequence).id;
    events[0].token.id = 10;
    events[0].end = end;
    events[0].started = started;
    events[0].adapter_load_seconds = load_seconds;
    jobs.deliver(std::move(events));
  }

  std::vector<KeptReport> kept;
};

TEST_F(RequestReportTest, HasTokensAndTheTimesOfTheFirstSequenceThatGotSoFar) {
  using std::chrono::milliseconds;
  const Timestamp arrival = clock.time;
  const auto job = start_reported(R"({"model":"base","prompt":["Hello","Hello you"]})");
  clock.time = arrival + milliseconds(50);
  deliver_at(1, arrival + milliseconds(20), std::nullopt, 0.25F);
  clock.time = arrival + milliseconds(80);
  deliver_at(0, arrival + milliseconds(30), EndReason::stop);
  EXPECT_TRUE(kept.empty()) << "one of the two still runs";
  clock.time = arrival + milliseconds(90);
  deliver_at(1, arrival + milliseconds(20), EndReason::length);
  ASSERT_EQ(kept.size(), 1u);
  const KeptReport& report = kept[0];
  EXPECT_EQ(report.model, "base");
  EXPECT_EQ(report.finish_reason, "stop");
  EXPECT_EQ(report.error_code, "");
  EXPECT_FALSE(report.client_left);
  const std::size_t prompt_tokens = generator.submitted[0].prompt.size() + generator.submitted[1].prompt.size();
  EXPECT_EQ(report.prompt_tokens, static_cast<std::int64_t>(prompt_tokens));
  EXPECT_EQ(report.completion_tokens, 3);
  EXPECT_EQ(report.times.arrival, arrival);
  EXPECT_EQ(report.times.started, arrival + milliseconds(20));
  EXPECT_EQ(report.times.first_token, arrival + milliseconds(50));
  EXPECT_EQ(report.times.last_token, arrival + milliseconds(90));
  EXPECT_EQ(report.ended, arrival + milliseconds(90));
  EXPECT_EQ(report.adapter_load_seconds, 0.25F);
  job->cancel();  // as the end of its connection does
  EXPECT_EQ(kept.size(), 1u) << "a request ends once";
}

TEST_F(RequestReportTest, SaysHowARequestWasRefusedOrLeft) {
  start_reported(R"({"model":"base","prompt":"Hello","max_tokens":-1})");
  start_reported(R"({"model":"nobody","prompt":"Hello"})");
  const auto left = start_reported(R"({"model":"base","prompt":"Hello"})");
  left->cancel();
  left->cancel();
  start_reported(R"({"model":"base","prompt":"Hello"})")->fail({"queue_full", "Later.", {}});
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_NE(kept[0].error_code, "");
  EXPECT_EQ(kept[0].model, "") << "it was not understood";
  EXPECT_EQ(kept[1].error_code, "model_not_found");
  EXPECT_TRUE(kept[2].client_left);
  EXPECT_EQ(kept[2].error_code, "");
  EXPECT_EQ(kept[2].finish_reason, "abort");
  EXPECT_FALSE(kept[3].client_left);
  EXPECT_EQ(kept[3].error_code, "queue_full");
}

}  // namespace
}  // namespace slora
