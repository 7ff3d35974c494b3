#include "bench/simulation/cost_model.h"

#include <gtest/gtest.h>

#include <span>

namespace slora::bench {
namespace {

// 2 layers of hidden 8, 2 heads of 4, one KV head; q 64, k 32, v 32, o 64 numbers and 3 x 8 x 16 of the MLP in each.
constexpr ModelShape kTinyModel = {"tiny", 2, 8, 16, 2, 1, 4, 10};
constexpr double kLayerParameters = 2 * (64 + 32 + 32 + 64 + 384), kHeadParameters = 80;
constexpr double kKvBytes = 2 * 2 * 4 * 2;                   // a token's: 2 bytes x (K, V) x 4 numbers x 2 layers
constexpr double kRankParameters = 2 * (16 + 12 + 12 + 16);  // A and B of q, k, v, o of both layers, for each rank

constexpr DeviceModel kTinyDevice = {.name = "tiny",
                                     .memory_bytes = 1e6,
                                     .bytes_per_second = 1e4,
                                     .operations_per_second = 1e5,
                                     .step_seconds = 0.25,
                                     .sequence_seconds = 0.125,
                                     .adapter_step_seconds = 0.5,
                                     .copy_bytes_per_second = 1e3,
                                     .copy_seconds = 0.0625};

PlannedSpan make_span(std::int32_t position, std::int32_t count, std::uint64_t adapter, std::int32_t row) {
  return {SequenceId{1}, AdapterId{adapter}, position, 0, count, 0, 0, row};
}

StepPlan make_step(std::span<const PlannedSpan> spans) {
  StepPlan plan;
  plan.spans.assign(spans.begin(), spans.end());
  for (const PlannedSpan& span : spans) plan.output_row_count += span.output_row >= 0 ? 1 : 0;
  return plan;
}

CostModel make_cost(AdapterCompute compute) { return {kTinyModel, kTinyDevice, {2, 4}, compute}; }

TEST(CostModel, CountsWeightsHeadAndAttention) {
  CostModel cost = make_cost(AdapterCompute::gathered);
  // Three tokens of a prompt after two that are known, and one token at position 9; only the latter yields one.
  const PlannedSpan spans[] = {make_span(2, 3, 0, -1), make_span(9, 1, 0, 0)};
  const StepWork work = cost.work_of(make_step(spans));
  EXPECT_EQ(work.weight_bytes, 2 * (kLayerParameters + kHeadParameters));
  EXPECT_EQ(work.weight_operations, 2 * (4 * kLayerParameters + kHeadParameters));
  EXPECT_EQ(work.attention_bytes, (5 + 10) * kKvBytes);
  EXPECT_EQ(work.attention_operations, 4.0 * (3 + 4 + 5 + 10) * 8 * 2);  // visible keys x query width x layers
  EXPECT_EQ(work.adapter_count, 0);
  EXPECT_EQ(work.adapter_bytes, 0);
}

TEST(CostModel, ReadsEachAdapterOnceWithItsOwnRank) {
  CostModel cost = make_cost(AdapterCompute::gathered);
  const PlannedSpan spans[] = {make_span(5, 1, 1, 0), make_span(5, 1, 1, 1), make_span(0, 3, 2, 2), make_span(5, 1, 0, 3)};
  for (int step = 0; step < 2; ++step) {  // and again in the next step
    const StepWork work = cost.work_of(make_step(spans));
    EXPECT_EQ(work.adapter_count, 2);
    EXPECT_EQ(work.adapter_bytes, 2 * (2 + 4) * kRankParameters);
    EXPECT_EQ(work.adapter_operations, 2 * (2 * 2 + 3 * 4) * kRankParameters);
  }
}

TEST(CostModel, PaddedProductsCopyImagesAndComputeAtTheLargestRank) {
  CostModel cost = make_cost(AdapterCompute::padded);
  const PlannedSpan spans[] = {make_span(5, 1, 1, 0), make_span(0, 3, 2, 1), make_span(5, 1, 0, 2)};
  const StepWork work = cost.work_of(make_step(spans));
  EXPECT_EQ(work.adapter_bytes, 2 * (2 + 4 + 2 * 2 * 4) * kRankParameters);
  EXPECT_EQ(work.adapter_operations, 2 * 4 * 4 * kRankParameters);
}

TEST(CostModel, MergedAdaptersCostNothingInAStep) {
  CostModel cost = make_cost(AdapterCompute::merged);
  const PlannedSpan with[] = {make_span(5, 1, 1, 0)}, without[] = {make_span(5, 1, 0, 0)};
  EXPECT_EQ(cost.work_of(make_step(with)), cost.work_of(make_step(without)));
  EXPECT_DOUBLE_EQ(cost.merge_seconds(AdapterId{1}), (2 * 2 * 2 * 192 + 2 * 2 * kRankParameters) / 1e4);
}

TEST(CostModel, AddsTheMaximaOfTheOps) {
  const CostModel cost = make_cost(AdapterCompute::gathered);
  const StepWork work = {.weight_bytes = 100,        // 0.01 s
                         .weight_operations = 5000,  // 0.05 s
                         .attention_bytes = 300,     // 0.03 s
                         .attention_operations = 100,
                         .adapter_bytes = 20,  // 0.002 s
                         .adapter_operations = 1000,
                         .adapter_count = 1,
                         .sequence_count = 2};
  EXPECT_DOUBLE_EQ(cost.step_seconds(work), 0.25 + 2 * 0.125 + 0.5 + 0.05 + 0.03 + 0.01);
  DeviceModel device = kTinyDevice;
  device.overlap = DeviceModel::Overlap::none;
  const CostModel linear(kTinyModel, device, {}, AdapterCompute::gathered);
  EXPECT_DOUBLE_EQ(linear.step_seconds(work), 0.25 + 2 * 0.125 + 0.5 + 420 / 1e4 + 6100 / 1e5);
}

TEST(CostModel, LoadsTakeAFixedTimeAndOnePerByte) {
  const CostModel cost = make_cost(AdapterCompute::gathered);
  EXPECT_DOUBLE_EQ(cost.load_seconds(AdapterId{2}), 0.0625 + 2 * 4 * kRankParameters / 1e3);
}

}  // namespace
}  // namespace slora::bench
