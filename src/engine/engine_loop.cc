#include "engine/engine_loop.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/log.h"
#include "scheduler/policies/fcfs.h"

namespace slora {
namespace {

constexpr Timestamp kIdleWait = std::chrono::milliseconds(100);

}  // namespace

EngineLoop::EngineLoop(const EngineOptions& options, Model& model, PageArena& arena, AdapterStore& adapters, MetricsRegistry& metrics,
                       Engine::EventSink sink)
    : options_(options),
      model_(model),
      arena_(arena),
      adapters_(adapters),
      sink_(std::move(sink)),
      metrics_(metrics, options.model_name),
      scheduler_(options.scheduler, std::make_unique<FcfsPolicy>()),
      heartbeat_(clock_.now().count()),
      // A load holds at least one page of the pool, so there are never more of them than pages.
      loader_(
          static_cast<std::size_t>(options.loader_threads), arena.page_count(), inbox_,
          [this](const AdapterVersion& version, std::span<const PageIndex> pages) { return bring_in(adapters_, arena_, version, pages); }) {
  publish_stats();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

EngineLoop::~EngineLoop() {
  thread_.request_stop();
  inbox_.wake();
  thread_.join();
}

Status EngineLoop::try_reserve(std::size_t prompt_tokens) {
  const SchedulerOptions& limits = options_.scheduler;
  if (live_count_.fetch_add(1) >= limits.waiting_max) {
    live_count_.fetch_sub(1);
    return error("queue_full", "{} sequences are running or waiting, which is the limit; try again later.", limits.waiting_max);
  }
  if (live_tokens_.fetch_add(prompt_tokens) + prompt_tokens > limits.waiting_tokens_max) {
    live_tokens_.fetch_sub(prompt_tokens);
    live_count_.fetch_sub(1);
    return error("queue_full", "The prompts that are running or waiting hold {} tokens, which is the limit; try again later.",
                 limits.waiting_tokens_max);
  }
  return {};
}

void EngineLoop::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    beat();
    take_inbox();
    scheduler_.schedule(plan_, clock_.now());
    drop_evicted_views();
    start_loads();
    if (!plan_.empty()) run_step();
    scheduler_.take_ended(ended_);
    if (plan_.empty()) metrics_.update(scheduler_.stats(), 0, 0);  // ends without a step show too
    const bool idle = plan_.empty() && ended_.empty();
    publish();
    if (idle) inbox_.wait_for(kIdleWait);
  }
  end_all();
}

void EngineLoop::take_inbox() {
  inbox_.drain_into(told_);
  for (LoadOutcome& outcome : told_.outcomes) take_outcome(std::move(outcome));
  for (GenerationRequest& request : told_.submissions) add(std::move(request));
  for (const SequenceId id : told_.cancellations) scheduler_.cancel(id);
  for (const AdapterId adapter : adapters_.take_retired()) scheduler_.retire_adapter(adapter);
  for (const std::function<void(bool)>& told : told_.clearings) {
    const bool is_idle = live_.empty();
    if (is_idle) scheduler_.clear_caches();
    told(is_idle);
  }
}

void EngineLoop::add(GenerationRequest request) {
  SequenceRequest wanted;
  wanted.id = request.id;
  wanted.tenant = request.tenant;
  wanted.priority = request.priority;
  wanted.arrival = clock_.now();
  wanted.prompt = request.prompt;
  wanted.output_tokens_max = request.output_tokens_max;
  if (request.sampling.prompt_logprob_count >= 0) wanted.prefix_use = PrefixUse::write_only;
  if (request.adapter) {
    wanted.adapter = request.adapter->id();
    wanted.adapter_page_count = request.adapter->page_count();
    UsedAdapter& used = used_adapters_[wanted.adapter];
    used.version = request.adapter;
    ++used.sequence_count;
  }
  const SequenceId id = request.id;
  const std::shared_ptr<const AdapterVersion> version = request.adapter;
  LiveSequence& live = live_.emplace(id, LiveSequence(std::move(request))).first->second;
  if (const Status added = scheduler_.add(std::move(wanted)); !added) {
    TokenEvent& event = event_of(live);
    event.error_code = added.error().code;
    event.error_message = added.error().message;
    ended_.push_back({id, EndReason::failed});
    return;
  }
  // Its name may have been given to another content between resolve and submit; the store told of that before anybody held this one.
  if (version && version->is_retired()) scheduler_.retire_adapter(version->id());
}

void EngineLoop::take_outcome(LoadOutcome outcome) {
  const auto since = loading_since_.find(outcome.adapter);
  check(since != loading_since_.end(), "an outcome for a load that was started");
  const double load_seconds = seconds(clock_.now() - since->second);
  loading_since_.erase(since);
  if (outcome.view) {
    views_[outcome.adapter] = std::move(*outcome.view);
    metrics_.adapter_landed(load_seconds);
    scheduler_.adapter_landed(outcome.adapter);
  } else {
    log_warning("adapter load failed: {}", outcome.view.error().message);
    used_adapters_.at(outcome.adapter).failure = std::move(outcome.view).error();
    metrics_.adapter_failed();
    scheduler_.adapter_failed(outcome.adapter);
  }
  forget_if_unused(outcome.adapter);
}

void EngineLoop::start_loads() {
  for (const AdapterLoad& load : plan_.loads) {
    const auto used = used_adapters_.find(load.adapter);
    check(used != used_adapters_.end(), "loads only for adapters of live sequences");
    loading_since_[load.adapter] = clock_.now();
    loader_.start(used->second.version, load.pages);
  }
}

void EngineLoop::drop_evicted_views() {
  evicted_.clear();
  scheduler_.take_evicted_adapters(evicted_);
  for (const AdapterId adapter : evicted_) views_.erase(adapter);
}

void EngineLoop::run_step() {
  const Timestamp begin = clock_.now();
  for (const PlannedSpan& span : plan_.spans) live_.at(span.sequence).note_step(begin, vocab_size());
  const ForwardBatch& batch = builder_.build(plan_, [this](AdapterId adapter) {
    const auto view = views_.find(adapter);
    return view == views_.end() ? nullptr : view->second.get();
  });
  model_.forward(batch, arena_.base(), [this] { beat(); });
  ask_rows();
  answer_rows(batch);
  take_scores();
  take_samples();
  scheduler_.commit(plan_, result_, ended_);
  metrics_.update(scheduler_.stats(), plan_.tokens.size(), seconds(clock_.now() - begin));
}

// What is wanted of the output rows.
void EngineLoop::ask_rows() {
  sample_rows_.resize(static_cast<std::size_t>(plan_.output_row_count));
  score_rows_.clear();
  for (const PlannedSpan& span : plan_.spans) {
    const LiveSequence& sequence = live_.at(span.sequence);
    if (span.output_row >= 0) sample_rows_[static_cast<std::size_t>(span.output_row)] = sequence.sample_row();
    for (std::int32_t i = 0; i < span.scored_count; ++i) score_rows_.push_back(sequence.score_row(span.scored_begin + i));
  }
}

// Samples and scores the output rows, as many at a time as the model has room for logits.
void EngineLoop::answer_rows(const ForwardBatch& batch) {
  Ops& ops = model_.backend().ops();
  const auto block_rows = static_cast<std::size_t>(model_.limits().output_rows_max);
  sampled_.resize(sample_rows_.size());
  scored_.resize(score_rows_.size());
  for (std::size_t begin = 0; begin < builder_.output_row_count(); begin += block_rows) {
    const std::size_t end = std::min(begin + block_rows, builder_.output_row_count());
    const std::size_t score_begin = std::clamp(sample_rows_.size(), begin, end);
    const std::size_t sample_count = score_begin - begin, score_count = end - score_begin;
    const Tensor logits = model_.logits(batch, builder_.output_block(begin, end - begin));
    if (sample_count > 0) {
      ops.sample(std::span(sampled_).subspan(begin, sample_count), logits, std::span(sample_rows_).subspan(begin, sample_count));
    }
    if (score_count > 0) {
      const std::size_t first = score_begin - sample_rows_.size();
      ops.score(std::span(scored_).subspan(first, score_count),
                logits.rows_from(static_cast<std::int64_t>(sample_count), static_cast<std::int64_t>(score_count)),
                std::span(score_rows_).subspan(first, score_count));
    }
    beat();
  }
}

void EngineLoop::take_scores() {
  std::span<PromptLogprob> rest = scored_;
  for (const PlannedSpan& span : plan_.spans) {
    if (span.scored_count == 0) continue;
    const auto count = static_cast<std::size_t>(span.scored_count);
    live_.at(span.sequence).take_scores(span.scored_begin, rest.first(count));
    rest = rest.subspan(count);
  }
}

// Fills result_ and this step's events.
void EngineLoop::take_samples() {
  result_.rows.assign(sampled_.size(), RowResult{});
  for (const PlannedSpan& span : plan_.spans) {
    if (span.output_row < 0) continue;
    const auto row = static_cast<std::size_t>(span.output_row);
    LiveSequence& sequence = live_.at(span.sequence);
    take_sample(sequence, sampled_[row], event_of(sequence), result_.rows[row]);
  }
}

void EngineLoop::take_sample(LiveSequence& sequence, SampledToken& token, TokenEvent& event, RowResult& result) {
  const bool is_first = sequence.output_count() == 0;
  bool is_finite = token.token >= 0;
  event.started = sequence.started();
  if (is_first) event.cached_tokens = scheduler_.cached_tokens(event.sequence);
  if (is_first && sequence.wants_prompt_logprobs()) {
    std::optional<std::vector<PromptLogprob>> logprobs = sequence.take_prompt_logprobs();
    is_finite = is_finite && logprobs;
    if (is_finite) event.prompt_logprobs = std::move(*logprobs);
  }
  if (!is_finite) {
    event.error_code = "no_finite_logits";
    event.error_message = "The model gave no finite logits for this sequence.";
    result = {-1, RowOutcome::failed};
    return;
  }
  event.token = token.token;
  event.logprob = token.logprob;
  event.top = std::move(token.top);
  if (event.top.capacity() > 0 && !spare_tops_.empty()) {
    token.top = std::move(spare_tops_.back());
    spare_tops_.pop_back();
  }
  sequence.append(token.token);
  result = {token.token, sequence.ends_with(token.token) ? RowOutcome::stop : RowOutcome::goes_on};
}

TokenEvent& EngineLoop::event_of(LiveSequence& sequence) {
  if (const std::optional<std::size_t> index = sequence.event_index(turn_)) return events_[*index];
  sequence.set_event_index(turn_, events_.size());
  TokenEvent& event = events_.emplace_back();
  event.sequence = sequence.request().id;
  return event;
}

// Attaches the ends to this step's events, forgets the sequences, and hands everything to the sink.
void EngineLoop::publish() {
  for (const SequenceEnd& end : ended_) {
    const auto live = live_.find(end.id);
    check(live != live_.end(), "one end for every sequence");
    TokenEvent& event = event_of(live->second);
    event.end = end.reason;
    event.started = live->second.started();
    const GenerationRequest& request = live->second.request();
    if (request.adapter) release_adapter(request.adapter->id(), event);
    live_count_.fetch_sub(1);
    live_tokens_.fetch_sub(request.prompt.size());
    live_.erase(live);
  }
  ended_.clear();
  if (!plan_.empty()) ++step_count_;
  publish_stats();
  ++turn_;
  if (events_.empty()) return;
  const std::size_t event_count = events_.size();
  sink_(std::move(events_));
  keep_top_lists();
  events_.clear();
  events_.reserve(event_count);  // at once, when the sink took the room
}

void EngineLoop::publish_stats() {
  published_stats_.publish({.scheduler = scheduler_.stats(),
                            .steps = step_count_,
                            .adapters_resident = views_.size(),
                            .adapters_loading = loading_since_.size()});
}

// Takes back the lists of log-probabilities in what the sink left, no more of them than a step fills.
void EngineLoop::keep_top_lists() {
  for (TokenEvent& event : events_) {
    if (event.top.capacity() > 0 && spare_tops_.size() < sampled_.size()) spare_tops_.push_back(std::move(event.top));
  }
}

// One sequence fewer names this adapter. The reason of a failed load goes into `event`.
void EngineLoop::release_adapter(AdapterId adapter, TokenEvent& event) {
  const auto used = used_adapters_.find(adapter);
  check(used != used_adapters_.end(), "a version for every adapter of a live sequence");
  if (event.end == EndReason::adapter_failed && used->second.failure) {
    event.error_code = used->second.failure->code;
    event.error_message = used->second.failure->message;
  }
  --used->second.sequence_count;
  forget_if_unused(adapter);
}

void EngineLoop::forget_if_unused(AdapterId adapter) {
  const auto used = used_adapters_.find(adapter);
  if (used != used_adapters_.end() && used->second.sequence_count == 0 && !loading_since_.contains(adapter)) used_adapters_.erase(used);
}

// The engine is going away: every sequence that is left ends, so that nobody waits for an event that never comes.
void EngineLoop::end_all() {
  take_inbox();
  ended_.clear();
  for (const auto& [id, sequence] : live_) ended_.push_back({id, EndReason::cancelled});
  plan_.clear();
  publish();
}

}  // namespace slora
