#include "engine/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "backend/device_error.h"
#include "base/caught.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

constexpr Timestamp kIdleWait = std::chrono::milliseconds(100);
constexpr Timestamp kPauseWithoutMemory = std::chrono::milliseconds(5);

}  // namespace

EngineLoop::EngineLoop(const EngineOptions& options, ModelShards& model, AdapterStore& adapters, MetricsRegistry& metrics,
                       Engine::PolicyMaker make_policy, Engine::EventSink sink)
    : options_(options),
      model_(model),
      adapters_(adapters),
      sink_(std::move(sink)),
      metrics_(metrics, options.model_name),
      limits_({.sequences_max = options.scheduler.waiting_max,
               .tokens_max = options.scheduler.waiting_tokens_max,
               .client_sequences_max = options.waiting_per_client_max}),
      make_policy_(std::move(make_policy)),
      scheduler_(std::in_place, options.scheduler, make_policy_()),
      spare_tops_(static_cast<std::size_t>(options.scheduler.running_max)),
      pins_(adapters, adapter_use_, options.pinned_adapters),
      masks_(
          {}, [this] { inbox_.wake(); }, metrics_.mask_seconds()),
      // A load holds at least one page of the pool, so there are never more loads than pages.
      loader_({.threads_per_lane = static_cast<std::size_t>(options.loader_threads), .loads_max = model.page_count()}, inbox_,
              [this](const AdapterVersion& version, const LoadPages& pages, Gate& gate) {
                return bring_in(adapters_, model_, version, pages, gate);
              }) {
  for (int i = 0; i < options.scheduler.depth; ++i) slots_.push_back(std::make_unique<StepSlot>(model, i));
  inbox_.reserve_cancellations(options.scheduler.waiting_max);
  inbox_contents_.cancellations.reserve(options.scheduler.waiting_max);  // the two change places
  publish_stats();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

EngineLoop::~EngineLoop() {
  thread_.request_stop();
  inbox_.wake();
  thread_.join();
}

std::optional<Error> EngineLoop::failure() const {
  std::optional<std::string> message = model_.failure();
  if (!message && has_failed_) message = failed_by_;
  if (!message) return std::nullopt;
  return Error{"engine_failed", "The engine has failed and computes no more: " + *message, {}};
}

// After a device has failed, nothing that is in memory can be trusted: whoever watches failure() answers the clients.
void EngineLoop::run(const std::stop_token& stop) {
  try {
    run_until_failure(stop);
  } catch (const DeviceError& failure) {
    failed_by_ = failure.what();
    has_failed_ = true;
    log_error("the engine has failed: {}", failure.what());
  }
}

void EngineLoop::run_until_failure(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      if (is_broken_) start_anew();
      run_iteration();
    } catch (const DeviceError&) {
      throw;
    } catch (...) {
      if (!is_broken_) {
        broken_by_ = error_of_exception();
        log_exception("the engine ends all its requests with an error and begins anew");
      }
      is_broken_ = true;
      std::this_thread::sleep_for(kPauseWithoutMemory);
    }
  }
  try {
    end_all();
  } catch (...) {
    log_exception("the requests that ran at the end were not notified");
  }
}

void EngineLoop::run_iteration() {
  beat();
  take_inbox();
  resume_suspended();
  const bool has_planned = plan_step();
  const std::uint64_t under_way = submitted_count_ - collected_count_;
  const bool collects = under_way == slots_.size() || (under_way > 0 && !has_planned);
  if (collects) collect(slot_of(collected_count_));
  scheduler_->take_ended(ended_);
  if (!has_planned && !collects) metrics_.update(scheduler_->stats(), 0, 0);  // sequences may have ended without a step
  const bool idle = !has_planned && !collects && ended_.empty() && events_.empty();
  publish();
  if (idle) inbox_.wait_for(kIdleWait);
}

// Plans the next step and submits it; returns whether there is one. Requires: fewer steps are under way than there are slots.
bool EngineLoop::plan_step() {
  if (is_paused_) {
    scheduler_->evict_unused_adapters(clock_.now());  // idle adapters leave the pool all the same: somebody may pause to have its memory
    drop_evicted_views();
    return false;
  }
  StepSlot& slot = slot_of(submitted_count_);
  scheduler_->schedule(slot.plan, clock_.now());
  drop_evicted_views();
  start_loads(slot.plan);
  if (kStressMode == StressMode::poison_freed) poison_.fill(scheduler_->free_pages(), model_);
  if (slot.plan.empty()) return false;
  submit(slot);
  return true;
}

void EngineLoop::take_inbox() {
  loader_.give_up_hanging(clock_.now());
  inbox_.drain_into(inbox_contents_);
  outcomes_taken_ = submissions_taken_ = 0;
  events_.reserve(events_.size() + 2 * inbox_contents_.submissions.size());  // so that each can be refused, even by the scheduler
  while (outcomes_taken_ < inbox_contents_.outcomes.size()) {
    --loads_running_;
    take_outcome(std::move(inbox_contents_.outcomes[outcomes_taken_++]));
  }
  while (submissions_taken_ < inbox_contents_.submissions.size()) add(std::move(inbox_contents_.submissions[submissions_taken_++]));
  for (const SequenceId id : inbox_contents_.cancellations) scheduler_->cancel(id);
  for (const AdapterId adapter : adapters_.take_retired()) {
    scheduler_->retire_adapter(adapter);
    pins_.note_retired();
  }
  for (EngineCommand& command : inbox_contents_.commands) {
    const Status done = obey(command);
    std::exchange(command.on_done, {})(done);
  }
  pins_.follow(*scheduler_, clock_.now());
  for (LookAtPages& look : inbox_contents_.looks) std::exchange(look, {})(&scheduler_->pages());
  for (std::function<void(bool)>& on_done : inbox_contents_.clearings) {
    const bool is_idle = live_.empty();
    while (is_idle && collected_count_ < submitted_count_) collect(slot_of(collected_count_));  // of sequences that have ended since
    if (is_idle) scheduler_->clear_caches();
    std::exchange(on_done, {})(is_idle);
  }
}

Status EngineLoop::obey(const EngineCommand& command) {
  switch (command.kind) {
    case EngineCommand::Kind::pin:
      return pins_.pin(command.name, *scheduler_);
    case EngineCommand::Kind::unpin:
      return pins_.unpin(command.name, *scheduler_);
    case EngineCommand::Kind::idle_time:
      adapter_use_.visit_resident([&](const AdapterVersion& version) {
        if (version.name() == command.name) scheduler_->set_adapter_idle_time(version.id(), version.account().idle_time());
      });
      return {};
    case EngineCommand::Kind::pause:
      is_paused_ = true;
      while (collected_count_ < submitted_count_) collect(slot_of(collected_count_));
      publish_stats();  // before the answer, so that who gets it sees it
      return {};
    case EngineCommand::Kind::resume:
      is_paused_ = false;
      publish_stats();
  }
  return {};
}

// What one request lacks is its own failure only.
void EngineLoop::add(Submission submission) {
  const SequenceId id = submission.request.id;
  const std::shared_ptr<const AdapterVersion> version = submission.request.adapter;
  try {
    try_add(std::move(submission));
  } catch (...) {
    return refuse(id, error_of_exception());
  }
  // The version may have been retired after the client's thread resolved it, and take_retired() have reported that before this sequence
  // held the adapter, when there was nothing to retire; so look again.
  if (version && version->is_retired()) scheduler_->retire_adapter(version->id());
}

// All or nothing.
void EngineLoop::try_add(Submission submission) {
  GenerationRequest& request = submission.request;
  SequenceRequest wanted;
  wanted.id = request.id;
  wanted.tenant = request.tenant;
  wanted.client = request.client;
  wanted.priority = request.priority;
  wanted.arrival = request.arrival == Timestamp{} ? clock_.now() : request.arrival;
  wanted.deadline = request.deadline;
  wanted.prompt.assign(request.prompt.begin(), request.prompt.end());  // its own list, for it appends the output
  wanted.output_tokens_max = request.output_tokens_max;
  if (request.pooling == Pooling::mean) wanted.prompt_use = PromptUse::pooled;
  if (request.sampling.prompt_logprob_count >= 0) wanted.prompt_use = PromptUse::scored;
  if (submission.mask != nullptr) wanted.continuation = Continuation::known;
  if (request.adapter) {
    wanted.adapter = request.adapter->id();
    wanted.adapter_page_count = request.adapter->page_count();
    wanted.adapter_shared.assign(request.adapter->shared().begin(), request.adapter->shared().end());
    wanted.adapter_begin = request.adapter_begin;
    adapter_use_.acquire(request.adapter);
  }
  const SequenceId id = wanted.id;
  const AdapterId adapter = wanted.adapter;
  try {
    LiveSequence& live =
        live_.emplace(id, LiveSequence(std::move(request), std::move(submission.place), std::move(submission.mask))).first->second;
    if (const Status added = scheduler_->add(std::move(wanted)); !added) {
      TokenEvent& event = event_of(live);
      event.error_code = added.error().code;
      event.error_message = added.error().message;
      ended_.push_back({id, EndReason::failed});
    }
  } catch (...) {
    live_.erase(id);
    if (adapter != kNoAdapter) adapter_use_.release(adapter);
    throw;
  }
}

// Requires: memory for one more event.
void EngineLoop::refuse(SequenceId id, const Error& why) noexcept {
  TokenEvent& event = events_.emplace_back();
  event.sequence = id;
  event.end = EndReason::failed;
  event.error_code.assign(why.code);  // short enough to be in the string itself
  try {
    event.error_message = why.message;
  } catch (const std::bad_alloc&) {  // the code says it
  }
}

void EngineLoop::take_outcome(LoadOutcome outcome) {
  if (!outcome.view && outcome.view.error().code == kDeviceFailed) throw DeviceError(outcome.view.error().message);
  const Timestamp now = clock_.now();
  loader_.forget(outcome.adapter, now);
  if (outcome.view) {
    const std::optional<Timestamp> idle_time = adapter_use_.version_of(outcome.adapter).account().idle_time();
    const Timestamp since = adapter_use_.land(outcome.adapter, std::move(*outcome.view), now);
    shared_images_.note_landed(outcome.adapter);
    metrics_.adapter_landed(seconds(now - since));
    scheduler_->adapter_landed(outcome.adapter);
    scheduler_->set_adapter_idle_time(outcome.adapter, idle_time);
  } else {
    log_warning("adapter load failed: {}", outcome.view.error().message);
    adapter_use_.fail(outcome.adapter, std::move(outcome.view).error());
    shared_images_.note_failed(outcome.adapter);
    metrics_.adapter_failed();
    scheduler_->adapter_failed(outcome.adapter);
    pins_.note_failed(outcome.adapter, *scheduler_);
  }
}

void EngineLoop::start_loads(const StepPlan& plan) {
  const Timestamp now = clock_.now();
  for (const AdapterLoad& load : plan.loads) {
    PlannedLoad planned{adapter_use_.begin_load(load.adapter, now), {load.pages}};
    for (const SharedPages& shared : load.shared) planned.pages.shared.push_back({shared.id, shared.pages});
    shared_images_.add(std::move(planned));
  }
  start_ready_loads(now);
}

void EngineLoop::start_ready_loads(Timestamp now) {
  while (std::optional<PlannedLoad> load = shared_images_.take_next()) {
    std::shared_ptr<const HostImage> image = adapters_.host_image(*load->version, load->pages.shared_part());
    const LoadSource source = image ? LoadSource::host_memory : LoadSource::folder;
    if (adapters_.has_host_area()) image.reset();  // what others wait for must not be kept by a load that waits itself
    loader_.start(std::move(load->version), std::move(load->pages), now, source, std::move(image));
    ++loads_running_;
  }
}

void EngineLoop::drop_evicted_views() {
  evicted_.clear();
  scheduler_->take_evicted_adapters(evicted_);
  for (const AdapterId adapter : evicted_) {
    adapter_use_.evict(adapter);
    shared_images_.forget(adapter);
  }
}

TokenEvent& EngineLoop::event_of(LiveSequence& sequence) {
  if (const std::optional<std::size_t> index = sequence.event_index(iteration_)) return events_[*index];
  sequence.set_event_index(iteration_, events_.size());
  TokenEvent& event = events_.emplace_back();
  event.sequence = sequence.request().id;
  return event;
}

// Attaches the ends to this iteration's events, forgets the sequences, and passes everything to the sink.
void EngineLoop::publish() {
  for (const SequenceEnd& end : ended_) end_sequence(end);
  ended_.clear();
  publish_stats();
  ++iteration_;
  if (events_.empty()) return;
  const std::size_t event_count = events_.size();
  hand_over_events();
  for (TokenEvent& event : events_) spare_tops_.recycle(event.token);
  events_.clear();
  try {
    events_.reserve(event_count);    // in one allocation, if the sink moved the vector away
  } catch (const std::bad_alloc&) {  // then it grows when it has to
  }
}

// Each event is somebody's answer: without memory for handing them over, the engine waits for some.
void EngineLoop::hand_over_events() {
  for (;;) {
    try {
      return sink_(std::move(events_));
    } catch (const std::bad_alloc&) {
      log_exception("the engine waits with its results");
      std::this_thread::sleep_for(kPauseWithoutMemory);
    }
  }
}

void EngineLoop::end_sequence(const SequenceEnd& end) {
  const auto live = live_.find(end.id);
  check(live != live_.end(), "expected one end for every sequence");
  const GenerationRequest& request = live->second.request();
  TokenEvent& event = event_of(live->second);
  event.end = end.reason;
  event.started = live->second.started();
  if (end.reason == EndReason::given_up) {
    Error why = scheduler_->given_up_error();
    event.error_code = std::move(why.code);
    event.error_message = std::move(why.message);
  }
  if (request.adapter) {
    const Error* const failure = adapter_use_.failure_of(request.adapter->id());
    if (end.reason == EndReason::adapter_failed && failure != nullptr) {
      event.error_code = failure->code;
      event.error_message = failure->message;
    }
    adapter_use_.release(request.adapter->id());
  }
  if (live->second.mask() != nullptr) masks_.drop(live->second.take_mask());
  live_.erase(live);
}

void EngineLoop::publish_stats() {
  published_stats_.publish({.scheduler = scheduler_->stats(),
                            .steps = collected_count_,
                            .adapters_resident = adapter_use_.resident_count(),
                            .adapters_loading = adapter_use_.loading_count(),
                            .is_paused = is_paused_});
}

void EngineLoop::end_all() {
  if (is_broken_) start_anew();
  drain_steps();
  take_inbox();
  ended_.clear();
  for (const auto& [id, sequence] : live_) ended_.push_back({id, EndReason::cancelled});
  publish();
}

}  // namespace slora
