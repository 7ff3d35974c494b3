#include "bench/simulation/cost_model.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora::bench {

CostModel::CostModel(const ModelShape& model, const DeviceModel& device, std::vector<std::int32_t> adapter_ranks, AdapterCompute compute)
    : model_(model), device_(device), adapter_ranks_(std::move(adapter_ranks)), compute_(compute), seen_(adapter_ranks_.size()) {
  check(device_.bytes_per_second > 0 && device_.operations_per_second > 0 && device_.copy_bytes_per_second > 0,
        "expected a device with positive rates");
}

StepWork CostModel::work_of(const StepPlan& plan) {
  StepWork work;
  work.sequence_count = static_cast<std::int32_t>(plan.spans.size());
  double tokens = 0, visible = 0, held = 0;
  for (const PlannedSpan& span : plan.spans) {
    const double begin = span.position_begin, count = span.token_count;
    tokens += count;
    held += begin + count;
    visible += count * begin + count * (count + 1) / 2;  // the i-th token of the span sees those before it, and itself
  }
  work.weight_bytes = ModelShape::kNumberBytes * (model_.layer_parameters() + model_.head_parameters());
  work.weight_operations = 2 * (tokens * model_.layer_parameters() + plan.output_row_count * model_.head_parameters());
  work.attention_bytes = held * model_.kv_bytes_per_token();
  work.attention_operations = 4 * visible * model_.q_width() * model_.layer_count;  // scores and their sum over values
  if (compute_ != AdapterCompute::merged) add_adapters(plan, work);
  return work;
}

void CostModel::add_adapters(const StepPlan& plan, StepWork& work) {
  ++step_;
  double rows = 0, rows_by_rank = 0, ranks = 0;
  std::int32_t rank_max = 0;
  for (const PlannedSpan& span : plan.spans) {
    if (span.adapter == kNoAdapter) continue;
    const std::int32_t rank = rank_of(span.adapter);
    rows += span.token_count;
    rows_by_rank += static_cast<double>(span.token_count) * rank;
    if (std::exchange(seen_[span.adapter.value - 1], step_) == step_) continue;
    ++work.adapter_count;
    ranks += rank;
    rank_max = std::max(rank_max, rank);
  }
  const double rank_bytes = model_.adapter_bytes(1), rank_parameters = model_.adapter_parameters(1);
  if (compute_ == AdapterCompute::gathered) {
    work.adapter_bytes = ranks * rank_bytes;
    work.adapter_operations = 2 * rows_by_rank * rank_parameters;
  } else {  // read the images, write the padded copies, read those
    work.adapter_bytes = (ranks + 2.0 * work.adapter_count * rank_max) * rank_bytes;
    work.adapter_operations = 2 * rows * rank_max * rank_parameters;
  }
}

double CostModel::step_seconds(const StepWork& work) const {
  const auto op_seconds = [&](double bytes, double operations) {
    const double reading = bytes / device_.bytes_per_second, computing = operations / device_.operations_per_second;
    return device_.overlap == DeviceModel::Overlap::none ? reading + computing : std::max(reading, computing);
  };
  return device_.step_seconds + work.sequence_count * device_.sequence_seconds +
         (work.adapter_count > 0 ? device_.adapter_step_seconds : 0) + op_seconds(work.weight_bytes, work.weight_operations) +
         op_seconds(work.attention_bytes, work.attention_operations) + op_seconds(work.adapter_bytes, work.adapter_operations);
}

double CostModel::load_seconds(AdapterId adapter) const {
  return device_.copy_seconds + load_bytes(adapter) / device_.copy_bytes_per_second;
}

double CostModel::merge_seconds(AdapterId adapter) const {
  const double weights = 2 * ModelShape::kNumberBytes * model_.attention_parameters();
  return (weights + load_bytes(adapter)) / device_.bytes_per_second;
}

}  // namespace slora::bench
