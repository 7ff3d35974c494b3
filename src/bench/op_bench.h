#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "bench/machine_limits.h"
#include "bench/onednn_product.h"
#include "bench/op_row.h"
#include "bench/workload/random_numbers.h"
#include "formats/model_config.h"
#include "model/kv_geometry.h"

namespace slora::bench {

enum class OpGroup : std::uint8_t { products, adapters, attention, rows, sampling };

// Limit of the tokens that the sequences of a call hold together.
constexpr std::int32_t kAttendTokensMax = 32768;

struct OpOptions {
  std::vector<OpGroup> groups = {OpGroup::products, OpGroup::adapters, OpGroup::attention, OpGroup::rows, OpGroup::sampling};
  std::vector<std::int32_t> rows = {1, 2, 4, 8, 16, 32, 64, 128, 512};
  std::vector<std::int32_t> ranks = {8, 16, 64};
  std::vector<std::int32_t> contexts = {128, 1024, 8192};
  std::string backend = "auto";
  BackendOptions backend_options;
  int repeats = 5;
  std::size_t cold_bytes = std::size_t{192} << 20;  // that an op reads before it reuses the same copy: more than the caches hold
};

// Measures single ops of a backend at a model's shapes. What a step would read from memory is read from memory here too: each op uses
// enough copies of its weights, adapters or pages in rotation to exceed the caches. One thread in addition to the backend's.
class OpBench {
 public:
  using OnRow = std::function<void(const OpRow&)>;

  [[nodiscard]] static Result<std::unique_ptr<OpBench>> create(const ModelConfig& config, const OpOptions& options);

  // Measures the rows in order and reports each; ends early when `stop` has become true.
  void run(const OnRow& on_row, const std::atomic<bool>& stop);

  [[nodiscard]] std::string description() const { return backend_->description(); }
  [[nodiscard]] const MachineProbe& probe() const { return probe_; }

 private:
  OpBench(const ModelConfig& config, const OpOptions& options, std::unique_ptr<Backend> backend);

  // Calls the op on copy `index` of its inputs.
  using Call = std::function<void(std::size_t index)>;
  // Number of copies of this size with which each is out of the caches when it is used again. Requires: bytes > 0.
  [[nodiscard]] std::size_t copies_for(double bytes) const;
  [[nodiscard]] std::vector<double> time_calls(std::size_t copy_count, const Call& call) const;
  [[nodiscard]] std::optional<double> baseline_seconds(const OneDnnShape& shape);
  void measure(OpRow row, std::size_t copy_count, const Call& call);
  [[nodiscard]] bool stopped() const { return stop_->load(); }

  void run_products();
  void run_product(const std::string& name, std::int64_t out, std::int64_t in, std::int32_t rows_max);
  void run_adapters();
  void run_adapters_of(std::int32_t rank, std::int64_t rows, std::int64_t adapter_count);
  void run_attention();
  void run_attend(const std::string& name, std::int32_t sequences, std::int32_t tokens, std::int32_t context);
  void run_rows();
  void run_sampling();

  [[nodiscard]] LinearWeight random_product(std::int64_t out, std::int64_t in, bool is_table = false);
  // Tensors [rows, cols] of the current op, valid until the next call.
  [[nodiscard]] Tensor product_input(std::int64_t rows, std::int64_t cols);
  [[nodiscard]] Tensor product_output(std::int64_t rows, std::int64_t cols);
  [[nodiscard]] Tensor float_output(std::int64_t rows, std::int64_t cols);
  [[nodiscard]] Arithmetic arithmetic() const {
    return options_.backend_options.weights != WeightStorage::bf16 ? Arithmetic::int8 : Arithmetic::bf16;
  }

  const ModelConfig config_;
  const OpOptions options_;
  const std::unique_ptr<Backend> backend_;
  Buffer read_memory_;  // which the bandwidth measurement reads
  MachineProbe probe_;
  MachineLimits limits_;  // the latest
  RandomNumbers random_{1};
  Buffer input_, product_output_, float_output_;
  const OnRow* on_row_ = nullptr;
  const std::atomic<bool>* stop_ = nullptr;
};

}  // namespace slora::bench
