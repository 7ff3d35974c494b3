#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/engine_runner.h"
#include "bench/machine_limits.h"
#include "bench/model_source.h"
#include "bench/offline_options.h"
#include "bench/offline_row.h"
#include "bench/random_adapters.h"

namespace slora::bench {

// What the rows are measured with.
struct OfflineSetup {
  ModelSource model;
  std::string backend = "auto";
  int threads = 0;
  Instructions instructions = Instructions::best;
  WeightStorage weights = WeightStorage::bf16;
  CudaProducts cuda_products = CudaProducts::own;
  std::optional<std::uint64_t> pool_bytes;  // none: what the rows need
  PoolUse pool_use;
  std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)> wrap_backend;  // as RuntimeOptions
  std::filesystem::path scratch;                                                   // folder for adapters
  std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)> progress;
};

// Measures a whole engine from the times of its events. One thread in addition to the engine's.
class OfflineBench {
 public:
  [[nodiscard]] static Result<std::unique_ptr<OfflineBench>> create(const OfflineSetup& setup, const OfflineOptions& options);

  // Measures the rows in order and reports each. Returns early, without an error, when `stop` has become true.
  [[nodiscard]] Status run(const std::function<void(const OfflineRow&)>& on_row, const std::atomic<bool>& stop);

  // Lines to print: model, backend, pool, load time.
  [[nodiscard]] std::vector<std::string> summary() const;
  [[nodiscard]] const MachineProbe& probe() const { return probe_; }

 private:
  OfflineBench(const OfflineSetup& setup, const OfflineOptions& options, std::unique_ptr<EngineRunner> runner, double load_seconds);

  [[nodiscard]] Result<OfflineRow> measure(const PlannedRow& plan);
  [[nodiscard]] Status provide_adapters(const std::vector<PlannedRow>& rows);
  [[nodiscard]] Status measure_prefill(OfflineRow& row);
  [[nodiscard]] Status measure_decode(OfflineRow& row);
  [[nodiscard]] Status measure_requests(OfflineRow& row);
  void count_work(OfflineRow& row) const;
  [[nodiscard]] std::vector<SequenceToRun> sequences_of(const PlannedRow& plan, std::int32_t prompt_tokens, std::int32_t output_tokens,
                                                        std::int64_t count);

  const OfflineSetup setup_;
  const OfflineOptions options_;
  const std::unique_ptr<EngineRunner> runner_;
  const double load_seconds_;
  RandomAdapters adapters_;
  MachineProbe probe_;
  std::uint64_t next_seed_ = 0;    // of prompts that must not be in the prefix cache
  std::int64_t next_adapter_ = 0;  // which adapter is next in lists
};

}  // namespace slora::bench
