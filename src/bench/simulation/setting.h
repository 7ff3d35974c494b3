#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/simulation/simulation.h"

namespace slora::bench {

// A setting of S-LoRA's evaluation: a model, and the ranks of its adapters in rotation.
struct Setting {
  std::string_view name;
  std::string_view model;
  std::vector<std::int32_t> ranks;
};

// S1, S2 and S4 (S5 and S6 are models on several devices); and with the ranks of S2, models that S-LoRA can't serve: Llama-3-8B (L3) and
// Qwen2.5-0.5B (Q2), the shape of this project's measurements on a CPU.
[[nodiscard]] std::span<const Setting> settings();

// Tokens that fit in the pool. On the devices of S-LoRA's experiments, the number that their scripts state; else pool_tokens_of().
[[nodiscard]] std::int64_t pool_tokens_of(const Setting& setting, const DeviceModel& device);

// With a pool of `pool_tokens`; 0: pool_tokens_of(). Errors name the device or the setting that is unknown.
[[nodiscard]] Result<SimulationSetup> make_setup(std::string_view device, std::string_view setting, std::int64_t pool_tokens = 0);

// Puts a router of the released S-LoRA in front of the scheduler, with as much of its memory management as the scheduler can be set to:
// adapters are dropped with their last sequence, and none is loaded ahead. Requires: the setup has its pool.
void use_released(SimulationSetup& setup, ReleasedOrder order, std::int32_t cluster_adapters = 8);

}  // namespace slora::bench
