#include "train/pass_plan.h"

#include <gtest/gtest.h>

#include "train/testing/training_fixture.h"

namespace slora::testing {
namespace {

class PassPlans : public ::testing::Test {
 protected:
  Result<PassPlan> plan(std::size_t bytes_max) const { return plan_passes(*base_, masters_, options_, samples_, {}, bytes_max); }
  void expect_refused(std::size_t bytes_max, const std::string& mention) const {
    const Result<PassPlan> refused = plan(bytes_max);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, "E_MEMORY");
    EXPECT_NE(refused.error().message.find(mention), std::string::npos) << refused.error().message;
  }

  const std::unique_ptr<TrainingBase> base_ = load_golden_base("gemma3_text");
  const AdapterMasters masters_ = golden_masters(*base_, {});
  const std::vector<Sample> samples_ = golden_samples(base_->config.vocab_size);
  TrainOptions options_;
};

TEST_F(PassPlans, KeepAsManyLayersAsFit) {
  const Result<PassPlan> all = plan(std::size_t{1} << 30);
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ(all->limits.kept_layers, 4);
  std::int64_t rows = 0;
  for (const Sample& sample : samples_) rows += row_count_of(sample);
  EXPECT_EQ(all->limits.rows, rows) << "no more than there are";
  EXPECT_EQ(plan(all->activation_bytes)->limits.kept_layers, 4);
  std::size_t bytes = all->activation_bytes;
  for (std::int32_t kept = 3; kept >= 0; --kept) {
    const Result<PassPlan> less = plan(bytes - 1);
    ASSERT_TRUE(less.has_value()) << less.error().message;
    EXPECT_EQ(less->limits.kept_layers, kept);
    EXPECT_LT(less->activation_bytes, bytes);
    bytes = less->activation_bytes;
  }
  expect_refused(bytes - 1, "; --micro-tokens ");
}

TEST_F(PassPlans, HaveSpaceForNoMoreThanAStepNeeds) {
  options_.batch = 2;
  EXPECT_EQ(plan(std::size_t{1} << 30)->limits.rows, 2 * 17);
  options_.micro_batch_tokens = 20;
  EXPECT_EQ(plan(std::size_t{1} << 30)->limits.rows, 20);
  options_.micro_batch_tokens = 3;
  EXPECT_EQ(plan(std::size_t{1} << 30)->limits.rows, 17) << "samples are not cut";
}

TEST_F(PassPlans, NameOptionsThatFit) {
  const Result<PassPlan> refused = plan(1 << 18);
  ASSERT_FALSE(refused.has_value());
  const std::string& message = refused.error().message;
  const std::size_t at = message.find("--micro-tokens ");
  ASSERT_NE(at, std::string::npos) << message;
  TrainOptions options = options_;
  options.micro_batch_tokens = std::stoi(message.substr(at + 15));
  ASSERT_GE(options.micro_batch_tokens, 18) << "the longest sample";
  EXPECT_TRUE(plan_passes(*base_, masters_, options, samples_, {}, 1 << 18).has_value());
  ++options.micro_batch_tokens;
  EXPECT_FALSE(plan_passes(*base_, masters_, options, samples_, {}, 1 << 18).has_value()) << "no more does";
  expect_refused(100'000, "the longest sample has 18 tokens: --max-length ");
  expect_refused(100, "even one token does not fit");
}

TEST_F(PassPlans, RefuseASampleThatTheModelWasNotMadeFor) {
  std::vector<Sample> samples = samples_;
  samples.push_back({.tokens = std::vector<TokenId>(300, 1), .labels = std::vector<bool>(300, false), .line = 77});
  samples.back().labels.back() = true;
  const Result<PassPlan> refused = plan_passes(*base_, masters_, options_, samples_, samples, std::size_t{1} << 30);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "the sample of line 77 has 300 tokens, and the model was made for 256; cut samples with --max-length");
}

TEST(TrainingBases, AreRefusedByNameBeforeTheirWeightsAreRead) {
  for (const auto& [model, what] : {std::pair("gemma2", "caps of attention scores"), std::pair("mixtral", "mixtures of experts")}) {
    const auto base = load_training_base({.folder = training_golden(model), .progress = [](std::uint64_t, std::uint64_t) { FAIL(); }});
    ASSERT_FALSE(base.has_value());
    EXPECT_EQ(base.error().code, "E_UNSUPPORTED_TRAINING");
    EXPECT_NE(base.error().message.find(what), std::string::npos) << base.error().message;
  }
}

}  // namespace
}  // namespace slora::testing
