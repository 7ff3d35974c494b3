#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/generation.h"
#include "engine/model_shards.h"
#include "metrics/metrics.h"
#include "scheduler/policy.h"
#include "scheduler/scheduler.h"

namespace slora {

struct EngineOptions {
  SchedulerOptions scheduler;
  std::int32_t max_model_len = 0;                     // tokens of prompt and output of one sequence, at most; see context_of()
  std::optional<std::size_t> waiting_per_client_max;  // sequences of one client that run or wait; see LiveLimits::Options
  std::int32_t loader_threads = 4;                    // adapters of one device or root that are loaded in parallel
  std::string model_name;                             // label of the metrics
  Pooling pooling = Pooling::last;                    // by which the model makes embeddings; none: it was made for a way that isn't served
  std::vector<std::string> pinned_adapters;           // names
};

class EngineLoop;

// What the engine can make embeddings of.
struct EmbeddingSupport {
  bool is_served = false;           // by the backend
  Pooling pooling = Pooling::none;  // unless a request says otherwise; none: it has to
  std::int32_t size = 0;
};

// The state of the engine as other threads see it: a snapshot taken after each iteration of its loop.
struct EngineStats {
  SchedulerStats scheduler;
  std::uint64_t steps = 0;
  std::size_t adapters_resident = 0, adapters_loading = 0;
  bool is_paused = false;
};

// Turns requests into tokens: schedules, runs the model and samples, step by step. Owns the thread of its loop, which owns scheduler, batch
// and model activations. Loader threads write adapter images into pages that the scheduler reserved for them. All public functions: any
// thread.
class Engine {
 public:
  // Called on the engine thread once per step with everything that happened in it; must not block. Events of one sequence come in order.
  // The sink may move the vector away or read it in place; capacity that it leaves in the vector and its events is reused in the next step.
  // When it throws, for lack of memory, it has left the events as they were and is called again.
  using EventSink = std::function<void(std::vector<TokenEvent>&&)>;

  // Makes the policy: once at first, and again whenever the scheduler begins anew.
  using PolicyMaker = std::function<std::unique_ptr<Policy>()>;

  // `model`, `adapters` and `metrics` outlive the engine. Starts the threads.
  Engine(const EngineOptions& options, ModelShards& model, AdapterStore& adapters, MetricsRegistry& metrics, PolicyMaker make_policy,
         EventSink sink);
  // Cancels the remaining sequences and joins the threads.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] SequenceId next_sequence_id() { return SequenceId{next_id_.fetch_add(1)}; }

  // Refused with code "queue_full", "client_queue_full" or "draining" (try later), "never_fits", "too_many_prompt_tokens", "bad_token",
  // "too_many_logprobs" or "no_embeddings". Accepted means: exactly one event with `end` will come.
  [[nodiscard]] Status submit(GenerationRequest request);
  // Whether submit() would find places for all sequences of a client's request now: "queue_full" or "client_queue_full" if it would not,
  // and "too_many_sequences" or "too_many_prompt_tokens" if it never would (LiveLimits).
  [[nodiscard]] Status check_queue(ClientId client, const QueueDemand& demand) const;
  // The client has left. Unknown ids are ignored.
  void cancel(SequenceId id);

  // Drops all cached prefixes and idle adapters, unless a sequence is running or waiting. `on_done` is called on the engine thread with
  // whether it was done, and must not block.
  void clear_caches(std::function<void(bool)> on_done);

  // Loads the adapter that this name means and keeps it in the pool, whatever content the name gets; or ends that. `on_done` is called on
  // the engine thread and must not block: with "not_found", another error of AdapterStore::find_version(), "pin_does_not_fit", or
  // "not_pinned" for who is not.
  void pin_adapter(std::string name, std::function<void(Status)> on_done);
  void unpin_adapter(std::string name, std::function<void(Status)> on_done);

  // AdapterAccount::idle_time() of this name has changed. `on_done` is called on the engine thread and must not block.
  void note_idle_time(std::string name, std::function<void(Status)> on_done);

  // Calls `look` on the engine thread between two steps, with null when the engine begins anew. It must neither block nor throw; a failed
  // engine never calls it.
  void look_at_pages(std::function<void(const PagePool*)> look);

  // Plans no steps until resume(). Sequences stay where they are, and new ones wait. `on_done` is called on the engine thread, once nothing
  // is computed any more, and must not block.
  void pause(std::function<void(Status)> on_done);
  void resume(std::function<void(Status)> on_done);

  // Refuses new sequences from now on; accepted ones continue, also if they were paused.
  void begin_drain();

  // Waits until no thread reads an adapter's weights or computes which tokens a constraint allows; false when `limit` has passed before for
  // either. The destructor waits for these threads for as long as their calls hang.
  [[nodiscard]] bool wait_for_threads(std::chrono::milliseconds limit);

  // How many output tokens fit after a prompt of this length with this adapter; limited by context_of() and by the size of the pool. 0 or
  // less: the prompt itself is too long.
  [[nodiscard]] std::int32_t output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const;

  // Tokens of prompt and output of one sequence, at most: max_model_len, or the adapter's own limit if it extends the context.
  [[nodiscard]] std::int32_t context_of(const AdapterVersion* adapter) const;

  [[nodiscard]] EmbeddingSupport embeddings() const;

  // Whether GenerationRequest::priority matters to the policy.
  [[nodiscard]] bool follows_priority() const { return follows_priority_; }

  [[nodiscard]] EngineStats stats() const;
  // A sign of life: it changes while the engine works, and several times a second while it is idle. One that stays the same for seconds
  // belongs to a step that hangs.
  [[nodiscard]] std::uint64_t progress() const;
  // Why the engine will never compute again; nothing while it may. Its sequences get no further events, and new ones are refused.
  [[nodiscard]] std::optional<Error> failure() const;
  [[nodiscard]] const EngineOptions& options() const { return options_; }

 private:
  const EngineOptions options_;
  const bool follows_priority_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<bool> draining_{false};
  std::unique_ptr<EngineLoop> loop_;
};

}  // namespace slora
