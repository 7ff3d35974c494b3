#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "bench/simulation/device_model.h"
#include "bench/simulation/model_shape.h"
#include "scheduler/step_plan.h"

namespace slora::bench {

// How the adapters of a batch are applied, and at what cost.
enum class AdapterCompute : std::uint8_t {
  gathered,  // x W + x A B from where the images lie, each with its own rank; an adapter is read once per step (slora)
  padded,    // a batched product: the images of the batch are first copied next to each other, all as large as its largest rank
  merged,    // x (W + A B): nothing to compute, but the weights are rewritten when the adapter changes, and a step has only one adapter
};

// Bytes that a step moves and operations that it computes, by kind of op.
struct StepWork {
  double weight_bytes = 0, weight_operations = 0;        // products of the layers, and the head for rows that yield a token
  double attention_bytes = 0, attention_operations = 0;  // K and V that its tokens see
  double adapter_bytes = 0, adapter_operations = 0;
  std::int32_t adapter_count = 0;  // distinct ones
  std::int32_t sequence_count = 0;

  [[nodiscard]] double bytes() const { return weight_bytes + attention_bytes + adapter_bytes; }
  [[nodiscard]] double operations() const { return weight_operations + attention_operations + adapter_operations; }
  bool operator==(const StepWork&) const = default;
};

// The time of steps, adapter loads and merges of one model on one device:
//     step   = step_seconds + sequences x sequence_seconds + [adapter_step_seconds, if it has adapters]
//              + sum over weights, attention, adapters of
//              max(bytes / bytes_per_second, operations / operations_per_second)            (Overlap::none: their sum)
//     load   = copy_seconds + bytes / copy_bytes_per_second
//     merge  = 2 x bytes of q, k, v, o / bytes_per_second + bytes of the adapter / bytes_per_second   (read, add, write)
// Used by one thread; remembers only which adapters it has seen in a step.
class CostModel {
 public:
  // `adapter_ranks`: by AdapterId - 1.
  CostModel(const ModelShape& model, const DeviceModel& device, std::vector<std::int32_t> adapter_ranks, AdapterCompute compute);

  [[nodiscard]] StepWork work_of(const StepPlan& plan);
  [[nodiscard]] double step_seconds(const StepWork& work) const;
  // Requires: not kNoAdapter.
  [[nodiscard]] double load_seconds(AdapterId adapter) const;
  [[nodiscard]] double load_bytes(AdapterId adapter) const { return model_.adapter_bytes(rank_of(adapter)); }
  // To add an adapter to the weights, or to subtract it.
  [[nodiscard]] double merge_seconds(AdapterId adapter) const;

 private:
  [[nodiscard]] std::int32_t rank_of(AdapterId adapter) const { return adapter_ranks_[adapter.value - 1]; }
  void add_adapters(const StepPlan& plan, StepWork& work);

  const ModelShape model_;
  const DeviceModel device_;
  const std::vector<std::int32_t> adapter_ranks_;
  const AdapterCompute compute_;
  std::vector<std::uint64_t> seen_;  // [adapters] the step in which each was seen last
  std::uint64_t step_ = 0;
};

}  // namespace slora::bench
