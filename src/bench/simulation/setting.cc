#include "bench/simulation/setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace slora::bench {
namespace {

// As S-LoRA admits them; larger than any batch that fits in a pool of its experiments.
constexpr std::int32_t kRunningMax = 1000;
// Tokens of one step, decode and prefill together. S-LoRA computes up to a sixth of the pool's tokens at once, 2,400 on an A10G.
constexpr std::int32_t kStepTokensMax = 2048;
// S-LoRA's longest request: 512 tokens of input and output each.
constexpr std::int64_t kRequestTokensMax = 1024;

struct ReleasedPool {
  std::string_view device, model;
  std::int64_t tokens;
};

// --max-total-token-num of the scripts in benchmarks/ of S-LoRA's repository.
constexpr ReleasedPool kReleasedPools[] = {
    {"A10G", "Llama-7B", 14500},     {"A100-40", "Llama-7B", 14500},  {"A100-40", "Llama-13B", 14000},
    {"A100-80", "Llama-7B", 125000}, {"A100-80", "Llama-13B", 65000},
};

template <class List>
std::string names_of(const List& list) {
  std::string names;
  for (const auto& entry : list) names.append(names.empty() ? "" : ", ").append(entry.name);
  return names;
}

}  // namespace

std::span<const Setting> settings() {
  static const std::array kSettings = {
      Setting{"S1", "Llama-7B", {8}},
      Setting{"S2", "Llama-7B", {64, 32, 16, 8}},
      Setting{"S4", "Llama-13B", {64, 32, 16}},
      Setting{"Q2", "Qwen2.5-0.5B", {64, 32, 16, 8}},
      Setting{"L3", "Llama-3-8B", {64, 32, 16, 8}},
  };
  return kSettings;
}

std::int64_t pool_tokens_of(const Setting& setting, const DeviceModel& device) {
  for (const ReleasedPool& pool : kReleasedPools)
    if (pool.device == device.name && pool.model == setting.model) return pool.tokens;
  return pool_tokens_of(*find_model_shape(setting.model), device);
}

Result<SimulationSetup> make_setup(std::string_view device, std::string_view setting, std::int64_t pool_tokens) {
  const std::optional<DeviceModel> found_device = find_device_model(device);
  if (!found_device) return error("bad_option", "device: expected one of {}, found \"{}\"", names_of(device_models()), device);
  const auto found = std::ranges::find(settings(), setting, &Setting::name);
  if (found == settings().end()) return error("bad_option", "setting: expected one of {}, found \"{}\"", names_of(settings()), setting);
  SimulationSetup setup;
  setup.model = *find_model_shape(found->model);
  setup.device = *found_device;
  setup.ranks = found->ranks;
  if (pool_tokens == 0) pool_tokens = pool_tokens_of(*found, *found_device);
  if (pool_tokens < kRequestTokensMax) {
    return error("bad_option", "device: {} has memory for {} tokens next to {}; expected at least {}", device, pool_tokens, found->model,
                 kRequestTokensMax);
  }
  setup.scheduler.page_tokens = setup.model.page_tokens();
  setup.scheduler.page_count = pages_of_tokens(setup.model, pool_tokens);
  setup.scheduler.step_tokens_max = kStepTokensMax;
  setup.scheduler.running_max = kRunningMax;
  setup.scheduler.waiting_max = std::size_t{1} << 24;
  setup.scheduler.waiting_tokens_max = std::size_t{1} << 40;
  setup.policy.name = "fcfs";
  return setup;
}

void use_released(SimulationSetup& setup, ReleasedOrder order, std::int32_t cluster_adapters) {
  const std::int64_t pool_tokens = std::int64_t{setup.scheduler.page_count} * setup.scheduler.page_tokens;
  setup.released = {.order = order,
                    .cluster_adapters = cluster_adapters,
                    .pool_tokens = pool_tokens,
                    .admission_tokens_max = std::max(pool_tokens / 6, kRequestTokensMax),
                    .running_max = kRunningMax,
                    .slo_seconds = setup.slo_seconds};
  setup.scheduler.eviction = EvictionPolicy::evict_when_idle;
  setup.scheduler.prefetched_sequences = 0;
  if (order == ReleasedOrder::merged) setup.compute = AdapterCompute::merged;
}

}  // namespace slora::bench
