#include "train/sample_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "train/micro_batch.h"
#include "train/rate_schedule.h"

namespace slora {
namespace {

std::vector<std::uint32_t> epoch_of(SampleOrder& order, std::int64_t epoch) {
  std::vector<std::uint32_t> all;
  for (std::int64_t step = 0; step < order.steps_per_epoch(); ++step) {
    const std::span<const std::uint32_t> samples = order.samples_of(epoch * order.steps_per_epoch() + step);
    all.insert(all.end(), samples.begin(), samples.end());
  }
  return all;
}

TEST(SampleOrder, HasEverySampleOnceInEveryEpochInAnOrderOfItsOwn) {
  SampleOrder order(50, 8, 3);
  ASSERT_EQ(order.steps_per_epoch(), 7);
  EXPECT_EQ(order.samples_of(6).size(), 2u);
  const std::vector<std::uint32_t> first = epoch_of(order, 0);
  std::vector<std::uint32_t> second = epoch_of(order, 1);
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch_of(order, 0), first) << "whatever was asked before";
  std::ranges::sort(second);
  for (std::uint32_t i = 0; i < 50; ++i) EXPECT_EQ(second[i], i);
  SampleOrder other(50, 8, 4);
  EXPECT_NE(epoch_of(other, 0), first);
}

TEST(MicroBatches, HoldWholeSamplesUpToTheirLastLabel) {
  const auto sample = [](std::size_t tokens, std::size_t last_label) {
    Sample out{.tokens = std::vector<TokenId>(tokens, 1), .labels = std::vector<bool>(tokens), .line = 1};
    out.labels[last_label] = true;
    return out;
  };
  const std::vector<Sample> samples = {sample(9, 4), sample(30, 20), sample(8, 7), sample(5, 1)};
  EXPECT_EQ(row_count_of(samples[0]), 4);
  EXPECT_EQ(row_count_of({.tokens = {1, 2}, .labels = {false, false}}), 0);
  std::vector<const Sample*> all;
  for (const Sample& one : samples) all.push_back(&one);
  EXPECT_EQ(next_micro_batch(all, 24, 9), 2u);
  EXPECT_EQ(next_micro_batch(all, 23, 9), 1u);
  EXPECT_EQ(next_micro_batch(std::span(all).subspan(1), 10, 9), 1u) << "at least one";
  EXPECT_EQ(next_micro_batch(all, 1000, 3), 3u);
}

TEST(RateSchedules, AreThoseOfTransformers) {
  OptimiserOptions options{.schedule = RateSchedule::linear, .warm_up_share = 0.1};
  EXPECT_EQ(rate_factor(options, 0, 20), 0);
  EXPECT_EQ(rate_factor(options, 1, 20), 0.5);
  EXPECT_EQ(rate_factor(options, 2, 20), 1);
  EXPECT_DOUBLE_EQ(rate_factor(options, 11, 20), 0.5);
  options.rate_end_share = 0.2;
  EXPECT_DOUBLE_EQ(rate_factor(options, 11, 20), 0.6);
  options.schedule = RateSchedule::constant;
  EXPECT_EQ(rate_factor(options, 19, 20), 1);
  options.schedule = RateSchedule::cosine;
  options.rate_end_share = options.warm_up_share = 0;
  EXPECT_EQ(rate_factor(options, 0, 20), 1);
  EXPECT_NEAR(rate_factor(options, 5, 20), 0.5 * (1 + std::sqrt(0.5)), 1e-12);
}

}  // namespace
}  // namespace slora
