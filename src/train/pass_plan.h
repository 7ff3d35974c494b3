#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "train/pass_memory.h"
#include "train/sample.h"
#include "train/train_options.h"
#include "train/training_base.h"

namespace slora {

// What a run takes of memory, decided before it starts.
struct PassPlan {
  PassLimits limits;
  std::size_t weight_bytes = 0;
  std::size_t adapter_bytes = 0;     // masters, gradients, moments, and as the ops read it
  std::size_t activation_bytes = 0;  // of PassMemory
  std::int32_t trained_layers = 0;
};

// Limits for these samples, which hold their longest, with as many layers' values kept as `activation_bytes_max` allows. E_MEMORY when it
// does not suffice, with the options that would. E_TOO_LONG for a sample beyond the positions that the model was made for.
[[nodiscard]] Result<PassPlan> plan_passes(const TrainingBase& base, const AdapterMasters& masters, const TrainOptions& options,
                                           std::span<const Sample> samples, std::span<const Sample> eval_samples,
                                           std::size_t activation_bytes_max);
// What activations may take unless the operator says: four fifths of what is free next to the adapter.
[[nodiscard]] std::size_t default_activation_bytes(const TrainingBase& base, const AdapterMasters& masters);

// For people: "memory: weights 256.6 MiB, ..."
[[nodiscard]] std::string shown_plan(const PassPlan& plan);

}  // namespace slora
