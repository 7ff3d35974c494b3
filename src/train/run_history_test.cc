#include "train/run_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

StepReport report_of(std::int64_t step, double loss) {
  return {.step = step,
          .step_count = 100,
          .epoch = static_cast<double>(step) / 50,
          .loss = loss,
          .accuracy = 0.5,
          .gradient_norm = 1.25,
          .rate = 2e-4,
          .label_count = 40,
          .token_count = 200};
}

TEST(RunHistory, TellsAStepsPaceAndTheTimeLeft) {
  RunHistory history;
  history.add(report_of(1, 3), 1, 0);
  const StepRecord& step = history.add(report_of(2, 2), 3, std::uint64_t{3} << 29);
  EXPECT_EQ(step_line(step),
            "step 2/100  epoch 0.04  loss 2.0000 (smoothed 2.4872)  norm 1.250  rate 0.0002  accuracy 0.500  13 labels/s  67 tokens/s  "
            "1.50 GiB  3m16s left");
  EXPECT_EQ(*step.seconds_left, 2.0 * 98);
  const Json line = Json::parse(step_json(step));
  EXPECT_EQ(line["tokens_per_second"], 200.0 / 3);
  EXPECT_EQ(line["learning_rate"], 2e-4);
  EXPECT_TRUE(line["loss_deviation"].is_null());
}

TEST(RunHistory, SaysHowFarALossIsFromThoseBefore) {
  RunHistory history;
  for (int i = 0; i < 128; ++i) {
    const StepRecord& step = history.add(report_of(i + 1, i % 2 == 0 ? 1 : 3), 1, 0);
    EXPECT_EQ(step.loss_deviation.has_value(), i >= 8);
    EXPECT_FALSE(step.norm_deviation) << "they are all equal";
  }
  EXPECT_DOUBLE_EQ(*history.add(report_of(129, 7), 1, 0).loss_deviation, 5);
  EXPECT_LT(*history.add(report_of(130, 2), 1, 0).loss_deviation, 0) << "the large one is among the latest";
  for (int i = 0; i < 128; ++i) history.add(report_of(131 + i, i % 2 == 0 ? 1 : 3), 1, 0);
  EXPECT_DOUBLE_EQ(*history.add(report_of(259, 2), 1, 0).loss_deviation, 0) << "no more";
}

TEST(RunHistory, WritesWhatTransformersWrites) {
  RunHistory history;
  history.add(report_of(1, 3), 1, 0);
  history.add(EvaluationReport{.step = 1, .epoch = 0.02, .loss = 2.5, .accuracy = 0.25});
  history.add(report_of(2, 2), 1, 0);
  history.add(EvaluationReport{.step = 2, .epoch = 0.04, .loss = 2.75, .accuracy = 0.25});
  const Json state = Json::parse(history.trainer_state());
  EXPECT_EQ(state["global_step"], 2);
  EXPECT_EQ(state["max_steps"], 100);
  EXPECT_EQ(state["best_metric"], 2.5);
  ASSERT_EQ(state["log_history"].size(), 4U);
  EXPECT_EQ(
      state["log_history"][0],
      Json::parse(R"({"epoch": 0.02, "grad_norm": 1.25, "learning_rate": 2e-4, "loss": 3.0, "mean_token_accuracy": 0.5, "step": 1})"));
  EXPECT_EQ(state["log_history"][1], Json::parse(R"({"epoch": 0.02, "eval_loss": 2.5, "eval_mean_token_accuracy": 0.25, "step": 1})"));
}

TEST(RunHistory, GoesOnWithWhatWasWrittenUpToAStep) {
  RunHistory whole, continued;
  for (int step = 1; step <= 7; ++step) {
    whole.add(report_of(step, 10.0 / step), 1, 0);
    if (step == 5) whole.add(EvaluationReport{.step = 5, .loss = 2});
  }
  ASSERT_TRUE(continued.restore(Json::parse(whole.trainer_state()), 5));
  continued.add(report_of(6, 10.0 / 6), 1, 0);
  continued.add(report_of(7, 10.0 / 7), 1, 0);
  EXPECT_EQ(continued.trainer_state(), whole.trainer_state());
  EXPECT_EQ(continued.loss_chart(), whole.loss_chart());
}

TEST(RunHistory, RefusesAFileThatIsNone) {
  RunHistory history;
  EXPECT_EQ(history.restore(Json::parse("{}"), 1).error().code, "E_BAD_JSON");
  EXPECT_EQ(history.restore(Json::parse(R"({"log_history": [7]})"), 1).error().code, "E_BAD_JSON");
  EXPECT_EQ(history.restore(Json::parse(R"({"log_history": [{"loss": 1}]})"), 1).error().code, "E_BAD_JSON");
}

TEST(RunHistory, DrawsLossesAndNorms) {
  RunHistory history;
  for (int step = 1; step <= 10000; ++step) history.add(report_of(step, 2), 1, 0);
  EXPECT_THAT(history.loss_chart(), AllOf(HasSubstr("Loss"), HasSubstr("training, smoothed"), Not(HasSubstr("evaluation"))));
  EXPECT_LT(history.loss_chart().size(), 200'000U) << "a long run's chart has no more points than can be seen";
  history.add(EvaluationReport{.step = 7, .loss = 2});
  EXPECT_THAT(history.loss_chart(), HasSubstr("evaluation"));
}

}  // namespace
}  // namespace slora
