#include "engine/loaded_weights.h"

#include <thread>

#include "base/caught.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/pool_size.h"
#include "model/input_squares.h"
#include "model/random_weights.h"
#include "model/weight_plan.h"

namespace slora {
namespace {

// Files in four bits may be kept as they are.
void log_int4_count(std::span<const std::unique_ptr<Backend>> backends) {
  Int4Count sum;
  for (const std::unique_ptr<Backend>& backend : backends) {
    const Int4Count count = backend->int4_count();
    sum.all += count.all;
    sum.kept += count.kept;
  }
  if (sum.all == 0) return;
  log_info("model: of {} weights in int4, {:.1f} % are the numbers of the files to the bit; the others are rounded", sum.all,
           100.0 * static_cast<double>(sum.kept) / static_cast<double>(sum.all));
}

// What rounding to four bits goes by, where it loses something: read from the model in bf16, which therefore must fit in memory for a
// while.
Result<std::optional<InputSquares>> observe(const RuntimeOptions& options, const ModelConfig& config, const ModelFiles* files,
                                            std::span<const ShardShape> shapes, const Backend& backend) {
  if (files == nullptr || shapes.size() > 1 || !WeightPlan(config, files, shapes[0]).rounds_to_four_bits(backend)) return std::nullopt;
  Result<std::unique_ptr<Backend>> observing = create_backend("cpu", {.threads = options.threads, .instructions = options.instructions});
  if (!observing) return forward_error(observing);
  const std::uint64_t bytes = packed_bytes(config, files, shapes[0], **observing);
  if (!check_weight_bytes(bytes, free_memory(**observing))) {
    log_warning("model: rounded to four bits without looking at its inputs, which takes {} of memory for a while", shown_bytes(bytes));
    return std::nullopt;
  }
  Result<InputSquares> squares = observe_inputs(*files, config, std::move(*observing));
  if (!squares) return forward_error(squares);
  log_info("model: rounding to four bits goes by the inputs that {} random tokens give", kObservedTokens);
  return std::optional(std::move(*squares));
}

}  // namespace

Result<LoadedWeights> make_weights(const RuntimeOptions& options, const ModelConfig& config, const ModelFiles* files,
                                   std::span<const ShardShape> shapes, std::span<const std::unique_ptr<Backend>> backends) {
  const Timestamp start = SteadyClock().now();
  LoadedWeights loaded;
  for (std::size_t i = 0; i < shapes.size(); ++i) loaded.packed_bytes += packed_bytes(config, files, shapes[i], *backends[i]);
  if (Status fits = check_weight_bytes(loaded.packed_bytes, free_memory(*backends[0])); !fits) return forward_error(fits);
  if (files != nullptr) loaded.file_bytes = files->total_bytes();
  Result<std::optional<InputSquares>> squares = observe(options, config, files, shapes, *backends[0]);
  if (!squares) return forward_error(squares);
  const auto load = [&](std::size_t i, const LoadProgress& progress) -> Result<ModelWeights> {
    if (files != nullptr) return load_weights(*files, config, shapes[i], *backends[i], progress, *squares ? &**squares : nullptr);
    return random_weights(config, shapes[i], *backends[i], *options.random_weights_seed, progress);
  };
  std::vector<Result<ModelWeights>> results(shapes.size());
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < shapes.size(); ++i) others.emplace_back([&, i] { results[i] = run_caught([&] { return load(i, {}); }); });
    results[0] = load(0, [&](std::uint64_t done, std::uint64_t total) {
      if (options.progress) options.progress("Loading weights", done, total);
    });
  }
  for (Result<ModelWeights>& result : results) {
    if (!result) return forward_error(result);
    loaded.shards.push_back(std::move(*result));
  }
  if (files != nullptr) log_int4_count(backends);
  loaded.seconds = seconds(SteadyClock().now() - start);
  return loaded;
}

}  // namespace slora
