#include "train/pass_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/memory_limits.h"
#include "engine/pool_size.h"
#include "train/micro_batch.h"

namespace slora {
namespace {

constexpr std::int64_t kHeadRows = 256;

// Sizes of PassMemory for numbers of rows.
class PassSizes {
 public:
  PassSizes(const TrainingBase& base, const AdapterMasters& masters, std::int64_t samples)
      : backend_(*base.backend),
        shape_(pass_shape_of(base.config, base.weights.shape, masters)),
        kv_(pass_kv_geometry(base)),
        samples_(samples) {}

  [[nodiscard]] PassLimits limits(std::int64_t rows, std::int32_t kept_layers) const {
    return {.rows = rows, .samples = std::min(samples_, rows), .head_rows = std::min(kHeadRows, rows), .kept_layers = kept_layers};
  }
  [[nodiscard]] std::size_t bytes(const PassLimits& limits) const { return PassMemory::bytes_for(shape_, kv_, limits, backend_); }
  [[nodiscard]] std::int32_t trained_layers() const { return shape_.trained_layers(); }
  // The most rows that fit when nothing is kept; 0: none do.
  [[nodiscard]] std::int64_t rows_that_fit(std::size_t bytes_max, std::int64_t rows_max) const {
    std::int64_t low = 0, high = rows_max;
    while (low < high) {
      const std::int64_t middle = (low + high + 1) / 2;
      if (bytes(limits(middle, 0)) <= bytes_max) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

 private:
  const Backend& backend_;
  const PassShape shape_;
  const KvGeometry kv_;
  const std::int64_t samples_;
};

struct SampleSizes {
  std::int64_t longest = 0;  // rows
  std::int64_t line = 0;     // of that sample
  std::int64_t rows = 0;     // of all
};

SampleSizes sizes_of(std::span<const Sample> samples, std::span<const Sample> eval_samples) {
  SampleSizes sizes;
  for (const std::span<const Sample> part : {samples, eval_samples}) {
    for (const Sample& sample : part) {
      const std::int64_t rows = row_count_of(sample);
      if (rows > sizes.longest) sizes = {rows, sample.line, sizes.rows};
      sizes.rows += rows;
    }
  }
  return sizes;
}

}  // namespace

Result<PassPlan> plan_passes(const TrainingBase& base, const AdapterMasters& masters, const TrainOptions& options,
                             std::span<const Sample> samples, std::span<const Sample> eval_samples, std::size_t activation_bytes_max) {
  const SampleSizes sizes = sizes_of(samples, eval_samples);
  if (const std::int64_t positions = trained_positions(base.config); sizes.longest > positions)
    return error("E_TOO_LONG", "the sample of line {} has {} tokens, and the model was made for {}; cut samples with --max-length",
                 sizes.line, sizes.longest + 1, positions);
  const PassSizes memory(base, masters, options.batch);
  const std::int64_t step_rows = std::min(options.batch * sizes.longest, sizes.rows);  // at most
  const std::int64_t rows = std::max(sizes.longest, std::min<std::int64_t>(options.micro_batch_tokens, step_rows));
  PassPlan plan{.limits = memory.limits(rows, memory.trained_layers()),
                .weight_bytes = base.weight_bytes,
                .adapter_bytes = TrainedAdapter::bytes_for(masters, *base.backend),
                .trained_layers = memory.trained_layers()};
  while (plan.limits.kept_layers > 0 && memory.bytes(plan.limits) > activation_bytes_max) --plan.limits.kept_layers;
  plan.activation_bytes = memory.bytes(plan.limits);
  if (plan.activation_bytes <= activation_bytes_max) return plan;
  const std::int64_t fitting = memory.rows_that_fit(activation_bytes_max, rows);
  const std::string needed = fmt::format("memory: {} tokens at once need {} at least, and {} may be used", rows,
                                         shown_bytes(plan.activation_bytes), shown_bytes(activation_bytes_max));
  if (fitting >= sizes.longest) return error("E_MEMORY", "{}; --micro-tokens {} fits", needed, fitting);
  if (fitting > 0)
    return error("E_MEMORY", "{}; the longest sample has {} tokens: --max-length {} --micro-tokens {} fits", needed, sizes.longest + 1,
                 fitting + 1, fitting);
  return error("E_MEMORY", "{}; even one token does not fit: give --memory more than {}", needed,
               shown_bytes(memory.bytes(memory.limits(1, 0))));
}

std::size_t default_activation_bytes(const TrainingBase& base, const AdapterMasters& masters) {
  const FreeMemory memory = free_memory(*base.backend);
  if (memory.bytes == 0) return std::numeric_limits<std::size_t>::max();
  const std::uint64_t adapter = TrainedAdapter::bytes_for(masters, *base.backend);
  return static_cast<std::size_t>((memory.bytes - std::min(memory.bytes, adapter)) / 5 * 4);
}

std::string shown_plan(const PassPlan& plan) {
  return fmt::format("memory: weights {}, adapter {}, activations {} ({} tokens at once; values of {} of {} layers are kept)",
                     shown_bytes(plan.weight_bytes), shown_bytes(plan.adapter_bytes), shown_bytes(plan.activation_bytes), plan.limits.rows,
                     plan.limits.kept_layers, plan.trained_layers);
}

}  // namespace slora
