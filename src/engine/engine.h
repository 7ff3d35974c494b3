#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "backend/page_arena.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/generation.h"
#include "metrics/metrics.h"
#include "model/model.h"
#include "scheduler/policy.h"
#include "scheduler/scheduler.h"

namespace slora {

struct EngineOptions {
  SchedulerOptions scheduler;
  std::int32_t max_model_len = 0;   // prompt and output of one sequence, at most
  std::int32_t loader_threads = 4;  // adapters that are loaded at once
  std::string model_name;           // label of the metrics
};

class EngineLoop;

// What others may see of the engine: a snapshot taken after each step.
struct EngineStats {
  SchedulerStats scheduler;
  std::uint64_t steps = 0;
  std::size_t adapters_resident = 0, adapters_loading = 0;
};

// Plans to tokens. Owns the loop's thread, which owns scheduler, batch and model activations; loader threads write adapter
// images into pages that the scheduler gave them. submit, cancel, stats and heartbeat: any thread.
class Engine {
 public:
  // Called on the engine thread once per step with everything that happened in it; must not block. Events of one sequence
  // come in order. It takes them, or reads them where they are: room that it leaves in the vector, the same or another, is used for the
  // next step's.
  using EventSink = std::function<void(std::vector<TokenEvent>&&)>;

  // `model`, `arena`, `adapters` and `metrics` outlive the engine. Starts the threads.
  Engine(const EngineOptions& options, Model& model, PageArena& arena, AdapterStore& adapters, MetricsRegistry& metrics,
         std::unique_ptr<Policy> policy, EventSink sink);
  // Cancels what is left and joins the threads.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] SequenceId next_sequence_id() { return SequenceId{next_id_.fetch_add(1)}; }

  // Refused with code "queue_full" or "draining" (try later), "never_fits" or "bad_token". Accepted means: exactly one event with `end`
  // will come.
  [[nodiscard]] Status submit(GenerationRequest request);
  // The client has left. Unknown ids are ignored.
  void cancel(SequenceId id);

  // Drops all cached prefixes and idle adapters unless a sequence runs or waits. `told`, on the engine thread, hears whether it was done
  // and must not block.
  void clear_caches(std::function<void(bool)> told);

  // Refuses new sequences from now on; those that were accepted go on.
  void begin_drain();

  // Output tokens a prompt of this length may be given, with this adapter: limited by max_model_len and by the empty pool. 0 or
  // less: the prompt itself is too long.
  [[nodiscard]] std::int32_t output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const;

  [[nodiscard]] EngineStats stats() const;
  // Time since the loop last turned; grows when a step hangs. An idle loop turns several times a second.
  [[nodiscard]] Timestamp heartbeat_age() const;
  [[nodiscard]] const EngineOptions& options() const { return options_; }

 private:
  const EngineOptions options_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<bool> draining_{false};
  std::unique_ptr<EngineLoop> loop_;
};

}  // namespace slora
