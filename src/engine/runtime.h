#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_store.h"
#include "engine/engine.h"
#include "formats/adapter_config.h"
#include "formats/model_config.h"
#include "formats/model_folder.h"
#include "scheduler/policies/policy_table.h"

namespace slora {

// Largest rank that an adapter may have: bounds the scratch for shrink results.
inline constexpr std::int32_t kShardsMax = 64;

// When the system allocates the pool's physical memory.
enum class PoolMemory : std::uint8_t { at_first_use, at_start };

// How the pool is used; see SchedulerOptions.
struct PoolUse {
  EvictionPolicy eviction = EvictionPolicy::cost_aware;
  std::size_t prefetched_sequences = SchedulerOptions().prefetched_sequences;
  std::uint64_t separate_adapter_bytes = 0;  // set aside for adapters; 0: they share the pool with the KV cache
  std::uint64_t host_adapter_bytes = 0;      // of the host's memory, for images between disk and pool; 0: none
};

struct RuntimeOptions {
  std::filesystem::path model_folder;
  std::string model_name;                            // --served-model-name: label of the metrics
  std::optional<std::uint64_t> random_weights_seed;  // weights are drawn, and the folder needs a config.json only
  std::string backend = "auto";
  // Wraps each backend that is made, for tests of what happens when one fails. May be empty.
  std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)> wrap_backend;
  int threads = 0;               // of all shards together; 0: as many as there are cores for this process
  std::int32_t shard_count = 1;  // into how many the model is cut, each with its own backend, thread and arena
  Instructions instructions = Instructions::best;
  WeightStorage weights = WeightStorage::bf16;
  WeightRounding weight_rounding = WeightRounding::none;
  CudaProducts cuda_products = CudaProducts::own;
  std::optional<std::uint64_t> pool_bytes;  // of all shards together; none: chosen from what is free
  PoolMemory pool_memory = PoolMemory::at_first_use;
  std::optional<std::int32_t> page_tokens;    // none: chosen from the model's shape
  std::optional<std::int32_t> max_model_len;  // none: what the model and the pool allow
  // Of adapters that extend the context; 0: they are refused. None: what the pool allows, but on a device, where its RoPE tables take
  // memory, 0.
  std::optional<std::int32_t> max_adapter_len;
  std::vector<std::filesystem::path> adapter_folders;                         // --adapters: folders of adapter folders, or adapter folders
  std::vector<std::pair<std::string, std::filesystem::path>> named_adapters;  // --lora-modules
  std::optional<Pooling> pooling;                                             // none: as the model's folder says
  std::optional<std::int32_t> step_tokens_max;                                // none: chosen by the backend
  std::int32_t running_max = 256;
  std::size_t waiting_max = 1024;
  std::optional<std::size_t> waiting_per_client_max;  // see LiveLimits::Options
  PolicyOptions policy;
  PoolUse pool_use;
  std::optional<std::uint64_t> adapter_group_bytes;  // sets policy.adapter_group.pages_max, on all shards together
  std::uint64_t other_bytes = 0;                     // of memory, that the process may take besides: left out of the pool's default
  Timestamp adapter_idle_time{0};                    // see SchedulerOptions
  Timestamp adapter_look_interval = AdapterStoreOptions().look_interval;
  std::vector<std::string> pinned_adapters;  // names
  // Reports the progress of long work: what, done, total. May be empty.
  std::function<void(std::string_view, std::uint64_t, std::uint64_t)> progress;
};

// Everything that serves one model, created in the right order: config, shards (backend, weights, pool), adapters, engine. Made once by an
// entry point; its parts are used from the threads that their classes name.
class Runtime {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Runtime>> create(RuntimeOptions options, Engine::EventSink sink);
  ~Runtime();

  [[nodiscard]] const ModelConfig& model_config() const;
  [[nodiscard]] const Model& model() const;  // of shard 0
  [[nodiscard]] Engine& engine();
  [[nodiscard]] AdapterStore& adapters();
  [[nodiscard]] MetricsRegistry& metrics();
  [[nodiscard]] std::int32_t max_model_len() const;
  [[nodiscard]] std::int32_t shard_count() const;
  [[nodiscard]] const std::string& policy_name() const;
  // Waits until no thread reads adapters' files; false when twice `limit` has passed before. The destructor waits for these threads for as
  // long as their reads hang.
  [[nodiscard]] bool wait_for_reads(std::chrono::milliseconds limit);
  // For the start-up log: model, backend, pool, context, adapters; one line each.
  [[nodiscard]] std::vector<std::string> summary() const;

 private:
  Runtime() = default;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace slora
