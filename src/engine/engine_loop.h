#pragma once
#include <atomic>
#include <optional>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/adapter_loader.h"
#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "engine/engine_metrics.h"
#include "engine/inbox.h"
#include "engine/live_sequence.h"
#include "engine/snapshot.h"

namespace slora {

// The engine's thread and everything that it alone touches.
class EngineLoop {
 public:
  EngineLoop(const EngineOptions& options, Model& model, PageArena& arena, AdapterStore& adapters, MetricsRegistry& metrics,
             Engine::EventSink sink);
  ~EngineLoop();

  Inbox& inbox() { return inbox_; }
  // Any thread.
  [[nodiscard]] EngineStats stats() const { return published_stats_.read(); }
  [[nodiscard]] Timestamp heartbeat() const { return Timestamp{heartbeat_.load(std::memory_order_relaxed)}; }
  // Makes room for one more sequence until it has ended, or answers "queue_full". Any thread.
  [[nodiscard]] Status try_reserve(std::size_t prompt_tokens);
  [[nodiscard]] std::int32_t vocab_size() const { return model_.config().vocab_size; }

 private:
  void run(const std::stop_token& stop);
  void beat() { heartbeat_.store(clock_.now().count(), std::memory_order_relaxed); }
  void take_inbox();
  void add(GenerationRequest request);
  void take_outcome(LoadOutcome outcome);
  void start_loads();
  void drop_evicted_views();
  void run_step();
  void ask_rows();
  void answer_rows(const ForwardBatch& batch);
  void take_samples();
  void take_sample(LiveSequence& sequence, SampledToken& token, TokenEvent& event, RowResult& result);
  void take_scores();
  void publish();
  void release_adapter(AdapterId adapter, TokenEvent& event);
  void forget_if_unused(AdapterId adapter);
  TokenEvent& event_of(LiveSequence& sequence);
  void publish_stats();
  void keep_top_lists();
  void end_all();

  const EngineOptions options_;
  Model& model_;
  PageArena& arena_;
  AdapterStore& adapters_;
  const Engine::EventSink sink_;
  const SteadyClock clock_;
  EngineMetrics metrics_;
  Inbox inbox_;

  // Of the engine thread only:
  Scheduler scheduler_;
  BatchBuilder builder_;
  std::unordered_map<SequenceId, LiveSequence> live_;
  struct UsedAdapter {
    std::shared_ptr<const AdapterVersion> version;
    std::size_t sequence_count = 0;  // live sequences that name it
    std::optional<Error> failure;    // of its last load
  };
  std::unordered_map<AdapterId, UsedAdapter> used_adapters_;
  std::unordered_map<AdapterId, std::unique_ptr<const AdapterView>> views_;  // resident images
  std::unordered_map<AdapterId, Timestamp> loading_since_;
  Inbox::Contents told_;
  StepPlan plan_;
  StepResult result_;
  std::vector<SampleRow> sample_rows_;  // [plan_.output_row_count]
  std::vector<SampledToken> sampled_;   // [plan_.output_row_count]
  std::vector<ScoreRow> score_rows_;    // [rows that score prompts]
  std::vector<PromptLogprob> scored_;   // [rows that score prompts]
  std::vector<SequenceEnd> ended_;
  std::vector<AdapterId> evicted_;
  std::vector<TokenEvent> events_;                     // of this turn
  std::uint64_t turn_ = 1;                             // of the loop
  std::vector<std::vector<TokenLogprob>> spare_tops_;  // lists that came back from the sink, for sampled_

  std::atomic<std::size_t> live_count_{0};   // sequences accepted and not yet ended
  std::atomic<std::size_t> live_tokens_{0};  // of their prompts
  std::atomic<std::int64_t> heartbeat_;
  std::uint64_t step_count_ = 0;
  Snapshot<EngineStats> published_stats_;

  AdapterLoader loader_;
  std::jthread thread_;  // last: starts when everything is there
};

}  // namespace slora
