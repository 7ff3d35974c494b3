#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/adapter_loader.h"
#include "engine/adapter_pins.h"
#include "engine/adapter_use.h"
#include "engine/engine.h"
#include "engine/engine_metrics.h"
#include "engine/inbox.h"
#include "engine/live_limits.h"
#include "engine/live_sequence.h"
#include "engine/mask_threads.h"
#include "engine/page_poison.h"
#include "engine/shared_images.h"
#include "engine/snapshot.h"
#include "engine/spare_tops.h"
#include "engine/step_slot.h"

namespace slora {

// The engine's thread and all state that only it uses. Each iteration takes the inbox, schedules a step and submits it, collects the oldest
// step if as many as the backend's depth are under way, or if there is nothing else to do, and publishes the events. Owned by the Engine.
class EngineLoop {
 public:
  EngineLoop(const EngineOptions& options, ModelShards& model, AdapterStore& adapters, MetricsRegistry& metrics,
             Engine::PolicyMaker make_policy, Engine::EventSink sink);
  ~EngineLoop();

  Inbox& inbox() { return inbox_; }
  // Any thread.
  [[nodiscard]] EngineStats stats() const { return published_stats_.read(); }
  // Any thread.
  [[nodiscard]] LiveLimits& limits() { return limits_; }
  [[nodiscard]] std::uint64_t progress() const { return beats_.load(std::memory_order_relaxed) + model_.progress(); }
  [[nodiscard]] bool has_failed() const { return has_failed_.load(); }
  [[nodiscard]] std::optional<Error> failure() const;
  // Any thread.
  [[nodiscard]] bool wait_for_threads(std::chrono::milliseconds limit) {
    return loader_.wait_until_idle(limit) && masks_.wait_until_idle(limit);
  }
  // Any thread.
  [[nodiscard]] MaskThreads& masks() { return masks_; }
  // As ModelShards::gives_hidden. Any thread.
  [[nodiscard]] bool gives_hidden() const { return model_.gives_hidden(); }
  [[nodiscard]] const ModelConfig& model_config() const { return model_.first_model().config(); }
  [[nodiscard]] std::int32_t vocab_size() const { return model_.first_model().config().vocab_size; }

 private:
  void run(const std::stop_token& stop);
  void run_until_failure(const std::stop_token& stop);
  void beat() { beats_.store(beats_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }  // nobody else writes it
  void run_iteration();
  void take_inbox();
  [[nodiscard]] Status obey(const EngineCommand& command);
  void add(Submission submission);
  void try_add(Submission submission);
  void refuse(SequenceId id, const Error& why) noexcept;
  void take_outcome(LoadOutcome outcome);
  void start_loads(const StepPlan& plan);
  // Starts those that need not wait for others.
  void start_ready_loads(Timestamp now);
  void drop_evicted_views();
  [[nodiscard]] bool plan_step();
  void submit(StepSlot& slot);
  void find_sequences(const StepPlan& plan, Timestamp now);
  void collect(StepSlot& slot);
  void pool_hidden(const StepSlot& slot);
  void wait_for_results(StepSlot& slot);
  void drain_steps();
  void take_scores(const StepSlot& slot);
  void take_tokens(const StepSlot& slot);
  void take_token(LiveSequence& sequence, const TokenResult& drawn, TokenEvent& event, std::size_t row);
  [[nodiscard]] StepSlot& slot_of(std::uint64_t step) { return *slots_[step % slots_.size()]; }
  void publish();
  void hand_over_events();
  void end_sequence(const SequenceEnd& end);
  TokenEvent& event_of(LiveSequence& sequence);
  void publish_stats();
  void end_all();

  // In engine_constraints.cc:
  void ask_for_masks(const StepPlan& plan);
  void follow(LiveSequence& sequence, std::size_t row, TokenId token);
  void follow_tokens();
  [[nodiscard]] RowOutcome outcome_of(const LiveSequence& sequence);
  void suspend(const LiveSequence& sequence);
  void resume_suspended();
  [[nodiscard]] bool try_resume(LiveSequence& sequence, Timestamp now);
  void fail_constrained(LiveSequence& sequence, const Error& why);

  // After an exception, in engine_recovery.cc: ends every sequence with an error and begins with an empty pool.
  void start_anew();
  void drop_inbox_contents();
  void fail_live_sequences();

  const EngineOptions options_;
  ModelShards& model_;
  AdapterStore& adapters_;
  const Engine::EventSink sink_;
  const SteadyClock clock_;
  EngineMetrics metrics_;
  LiveLimits limits_;  // outlives the places in the inbox and of the live sequences
  Inbox inbox_;

  // Of the engine thread only:
  const Engine::PolicyMaker make_policy_;
  std::optional<Scheduler> scheduler_;                       // none while it is made anew
  std::vector<std::unique_ptr<StepSlot>> slots_;             // [depth], one for each step that may be under way
  std::uint64_t submitted_count_ = 0, collected_count_ = 0;  // steps
  SpareTops spare_tops_;
  AdapterUse adapter_use_;
  SharedImages shared_images_;
  AdapterPins pins_;
  std::unordered_map<SequenceId, LiveSequence> live_;
  Inbox::Contents inbox_contents_;
  std::size_t outcomes_taken_ = 0, submissions_taken_ = 0;  // of inbox_contents_
  std::size_t loads_running_ = 0;                           // started, and their outcome not taken yet
  bool is_paused_ = false;                                  // nothing is planned
  bool is_broken_ = false;                                  // an exception left an iteration: the state is unknown
  Error broken_by_;
  std::vector<LiveSequence*> span_sequences_;  // of the plan that is being submitted
  std::vector<SequenceId> suspended_;          // whose masks are awaited
  struct FollowedRow {
    std::size_t row;
    LiveSequence* sequence;
  };
  std::vector<FollowedRow> followed_;  // of the step that is being collected: whose constraints have its tokens
  std::vector<TokenMask*> awaited_;    // those of them that are quick, as far as is known
  std::vector<PromptLogprob> scores_;  // of one sequence
  Timestamp collected_{};              // when the latest step was
  StepResult result_;
  std::vector<SequenceEnd> ended_;
  std::vector<AdapterId> evicted_;
  std::vector<TokenEvent> events_;  // of this iteration
  PagePoison poison_;
  std::uint64_t iteration_ = 1;  // of the loop

  std::atomic<std::uint64_t> beats_{0};
  std::atomic<bool> has_failed_{false};
  std::string failed_by_;  // the device's words; constant once has_failed_ is set
  Snapshot<EngineStats> published_stats_;

  MaskThreads masks_;
  AdapterLoader loader_;
  std::jthread thread_;  // last: starts when all other members are complete
};

}  // namespace slora
