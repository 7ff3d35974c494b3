#include "scheduler/testing/simulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "scheduler/policies/adapter_grouped.h"
#include "scheduler/policies/deadline.h"
#include "scheduler/policies/fair_share.h"
#include "scheduler/policies/fcfs.h"
#include "scheduler/policies/priority.h"
#include "scheduler/testing/least_served_policy.h"
#include "scheduler/testing/probed_policy.h"
#include "scheduler/testing/random_policy.h"

namespace slora {
namespace {

constexpr std::uint64_t kAgeMax = 6000;  // steps until everything must have ended; the worst seen in 11 million steps is 2,127

std::unique_ptr<Policy> make_simulated_policy(const SimulationOptions& options) {
  switch (options.policy) {
    case SimulatedPolicy::random:
      return std::make_unique<RandomPolicy>(options.seed);
    case SimulatedPolicy::least_served:
      return std::make_unique<LeastServedPolicy>();
    case SimulatedPolicy::fair_share:
      return std::make_unique<FairSharePolicy>(options.client_weights, options.client_credit_max, options.client_shared_step_time);
    case SimulatedPolicy::adapter_grouped:
      return std::make_unique<AdapterGroupedPolicy>(options.adapter_group);
    case SimulatedPolicy::deadline:
      return std::make_unique<DeadlinePolicy>(options.deadlines);
    case SimulatedPolicy::fcfs:
      break;
  }
  if (options.priority_count > 1) return std::make_unique<PriorityPolicy>();
  return std::make_unique<FcfsPolicy>();
}

bool gives_up(SimulatedPolicy policy) {
  return policy == SimulatedPolicy::random || policy == SimulatedPolicy::least_served || policy == SimulatedPolicy::deadline;
}

}  // namespace

Simulator::Simulator(const SimulationOptions& options)
    : options_(options),
      random_(options.seed ^ 0xd1ce),
      workload_(options),
      device_(options.model, options.scheduler.page_count, options.scheduler.page_tokens),
      fairness_(options.client_weights, options.client_credit_max, options.scheduler.step_tokens_max),
      grouping_(options.adapter_group),
      scheduler_(options.scheduler, make_probed_policy()) {}

std::unique_ptr<Policy> Simulator::make_probed_policy() {
  std::unique_ptr<Policy> policy = make_simulated_policy(options_);
  fair_share_ = dynamic_cast<const FairSharePolicy*>(policy.get());
  return std::make_unique<ProbedPolicy>(
      std::move(policy), [this](std::span<const ServiceCharge> charges) { check_charges(charges); },
      [this](const StepView& view) { check_view(view); },
      [this](const StepView& view, const StepDecision& decision) { check_decision(view, decision); });
}

SimulationReport Simulator::run(std::uint64_t step_count) {
  while (report_.steps < step_count && report_.failure.empty()) step(Arrivals::open);
  for (std::uint64_t i = 0; i < kAgeMax && report_.failure.empty() && !(live_.empty() && open_.empty() && loads_.empty()); ++i)
    step(Arrivals::closed);
  if (report_.failure.empty()) check_empty();
  return report_;
}

void Simulator::step(Arrivals arrivals) {
  ++report_.steps;
  if (arrivals == Arrivals::open) {
    if (random_.chance(options_.burst_chance)) arrive();
    if (random_.chance(options_.replace_chance)) replace_some();
    if (options_.pin_chance > 0 && random_.chance(options_.pin_chance)) pin_some();
    if (options_.pin_chance > 0 && random_.chance(options_.pin_chance)) unpin_some();
  }
  progress_loads();
  if (random_.chance(options_.cancel_chance)) cancel_some();
  resume_some();
  const bool may_schedule = std::ssize(open_) < options_.scheduler.depth;
  if (may_schedule && (open_.empty() || random_.chance(0.6)))
    schedule();
  else
    commit();
  if (random_.chance(options_.cancel_chance)) cancel_some();
  take_ends();
  check_retired();
}

void Simulator::arrive() {
  for (auto count = random_.between(1, options_.burst_requests_max); count > 0; --count) add(workload_.draw_request(random_));
}

void Simulator::add(SimulatedRequest drawn) {
  SequenceRequest& request = drawn.request;
  request.arrival = Timestamp{static_cast<std::int64_t>(report_.steps)};
  request.deadline = request.arrival + Timestamp{1 + static_cast<std::int64_t>(request.id.value * 37) % options_.deadline_steps_max};
  page_counts_[request.adapter] = request.adapter_page_count;
  named_at_[request.adapter] = report_.steps;  // it may end within this step
  const std::uint64_t id = request.id.value;
  Stream stream = make_stream(request);
  stream.earlier_prompt_count = drawn.earlier_prompt_count;
  const Status status = scheduler_.add(std::move(request));
  if (status) {
    live_.emplace(id, std::move(stream));
  } else {
    const std::int64_t total = std::ssize(stream.request.prompt) + stream.request.output_tokens_max;
    const AdapterId adapter = stream.request.adapter;
    const bool fits = total <= tokens_that_fit(options_.scheduler, pages_in_all(adapter), pages_pinned_besides(adapter));
    expect(fits == (status.error().code == "queue_full"), "only what doesn't fit the empty pool is refused for good", id);
    saw(fits ? Situation::queue_was_full : Situation::never_fits);
  }
  check_sound();
}

void Simulator::cancel_some() {
  if (live_.empty()) return;
  Stream& stream = std::next(live_.begin(), static_cast<std::ptrdiff_t>(random_.below(live_.size())))->second;
  if (stream.is_cancelled) return;
  stream.is_cancelled = true;
  if (!stream.is_started)
    saw(device_.is_loading(stream.request.adapter) ? Situation::cancelled_while_loading : Situation::cancelled_while_waiting);
  if (stream.is_started) saw(is_open(stream) ? Situation::cancelled_while_uncommitted : Situation::cancelled_while_running);
  if (stream.restart_count > 0) saw(Situation::cancelled_after_preemption);
  if (stream.suspended) saw(Situation::cancelled_while_suspended);
  scheduler_.cancel(stream.request.id);
  check_sound();
}

void Simulator::schedule() {
  OpenPlan next;
  scheduler_.schedule(next.plan, Timestamp{static_cast<std::int64_t>(report_.steps)});
  check_sound();
  take_ends();
  std::vector<AdapterId> evicted;
  scheduler_.take_evicted_adapters(evicted);
  for (const AdapterId adapter : evicted) {
    expect(device_.is_resident(adapter) || !device_.shared_pages(adapter).empty(), "only what is there is evicted", adapter.value);
    device_.evict(adapter);
    evicted_once_.insert(adapter);
  }
  add_to_digest(next.plan);
  check_plan(next.plan);
  if (!report_.failure.empty()) return;
  for (const AdapterLoad& load : next.plan.loads) {
    expect(!device_.is_loading(load.adapter) && !device_.is_resident(load.adapter), "an adapter is loaded once", load.adapter.value);
    if (evicted_once_.contains(load.adapter)) saw(Situation::adapter_came_back);
    charges_.note_load(load.adapter, note_shared(load));
    device_.begin_load(load);
    load_plans_[load.adapter] = next.plan.index;
    loads_.push_back({load.adapter, report_.steps + static_cast<std::uint64_t>(random_.between(0, options_.load_steps_max))});
  }
  const std::string wrong = device_.check_shared();
  expect(wrong.empty(), wrong);
  check_pinned(next.plan);
  check_unused();
  const bool idles = next.plan.empty() && open_.empty() && loads_.empty();
  const bool waits = std::ranges::any_of(live_, [](const auto& entry) { return entry.second.suspended.has_value(); });
  expect(!idles || live_.empty() || waits, "something advances while somebody lives", live_.empty() ? 0 : live_.begin()->first);
  for (const auto& [id, stream] : live_) expect(report_.steps - stream.arrival_step < kAgeMax, "everything ends in bounded time", id);

  for (const PlannedSpan& span : next.plan.spans) next.tenants.push_back(live_.at(span.sequence.value).request.tenant);
  if (!next.plan.empty()) open_.push_back(std::move(next));
  if (random_.chance(0.5)) run_open_plans(open_.size());  // the others run as late as they can
}

void Simulator::add_to_digest(const StepPlan& plan) {
  const auto add = [&](std::uint64_t value) {
    report_.plan_digest = (report_.plan_digest ^ value) * 0x9e3779b97f4a7c15u;
    report_.plan_digest ^= report_.plan_digest >> 32;
  };
  add(plan.index);
  for (const PlannedSpan& span : plan.spans) {
    add(span.sequence.value);
    add(static_cast<std::uint32_t>(span.position_begin));
    add(static_cast<std::uint32_t>(span.token_count));
    add(static_cast<std::uint32_t>(span.output_row));
    for (const PageIndex page : plan.pages_of(span)) add(page.value);
  }
  for (const AdapterLoad& load : plan.loads) {
    add(load.adapter.value);
    for (const PageIndex page : load.pages) add(page.value);
    for (const SharedPages& part : load.shared)
      for (const PageIndex page : part.pages) add(page.value);
  }
}

void Simulator::run_open_plans(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    OpenPlan& open = open_[i];
    if (open.has_run) continue;
    const std::string wrong = device_.run(open.plan, open.tenants, previous_result_, open.result, digests_);
    expect(wrong.empty(), wrong);
    if (!wrong.empty()) return;
    open.has_run = true;
    previous_result_ = open.result;
    for (std::size_t k = 0; k < open.plan.spans.size(); ++k) check_span(open.plan.spans[k], digests_[k]);
  }
}

void Simulator::commit() {
  run_open_plans(1);
  if (!report_.failure.empty()) return;
  OpenPlan open = std::move(open_.front());
  open_.pop_front();
  open.result.elapsed = Timestamp{1};  // schedule() counts steps, too
  suspend_some(open);
  for (const PlannedSpan& span : open.plan.spans) settle(span, open.result);
  scheduler_.commit(open.plan, open.result, ends_);
  if (kStressMode == StressMode::poison_freed) device_.fill_with_noise(scheduler_.free_pages());
  check_sound();
  take_ends();
  for (const PlannedSpan& span : open.plan.spans) {
    const auto found = live_.find(span.sequence.value);
    if (found == live_.end()) continue;
    const Stream& stream = found->second;
    const bool is_over = stream.emitted_count == stream.output_count && stream.end != EndReason::failed;
    expect(!is_over || stream.suspended, "a sequence ends with its last token", found->first);
  }
}

// Makes some rows' outcomes unknown for a while, and some of these rows draw nothing.
void Simulator::suspend_some(OpenPlan& open) {
  if (options_.suspend_chance == 0) return;
  for (const PlannedSpan& span : open.plan.spans) {
    const auto found = live_.find(span.sequence.value);
    if (found == live_.end() || span.output_row < 0 || found->second.is_cancelled) continue;
    Stream& stream = found->second;
    RowResult& row = open.result.rows[static_cast<std::size_t>(span.output_row)];
    if (stream.request.continuation == Continuation::assumed || row.outcome == RowOutcome::failed) continue;
    const bool is_last = stream.emitted_count + 1 == stream.request.output_tokens_max;
    if (!random_.chance(options_.suspend_chance)) continue;
    if (random_.chance(0.5)) {
      stream.suspended = row.outcome;
      row.outcome = RowOutcome::suspended;
      saw(is_last ? Situation::suspended_at_its_length : Situation::suspended_with_a_token);
      continue;
    }
    stream.suspended = RowOutcome::goes_on;
    row = {-1, RowOutcome::suspended};
    const std::int32_t end = span.position_begin + span.token_count;
    --stream.planned_end;
    saw(end % options_.scheduler.page_tokens == 0 ? Situation::suspended_at_a_page : Situation::suspended_without_token);
  }
}

void Simulator::resume_some() {
  for (auto& [id, stream] : live_) {
    if (!stream.suspended || stream.is_cancelled || !random_.chance(0.3)) continue;
    scheduler_.resume(stream.request.id, *std::exchange(stream.suspended, std::nullopt));
    check_sound();
  }
  take_ends();
}

// Records what a plan's result means for the stream of a span.
void Simulator::settle(const PlannedSpan& span, const StepResult& result) {
  const auto found = live_.find(span.sequence.value);
  if (found == live_.end() || span.output_row < 0) return;
  Stream& stream = found->second;
  if (stream.is_cancelled) return;
  const std::int32_t known = static_cast<std::int32_t>(stream.request.prompt.size()) + stream.emitted_count;
  expect(span.position_begin + span.token_count == known, "every token is computed once and in order", found->first);
  const RowResult& row = result.rows[static_cast<std::size_t>(span.output_row)];
  if (row.outcome == RowOutcome::failed) {
    saw(Situation::failed_step);
    return;
  }
  if (row.token < 0) {
    expect(stream.suspended.has_value(), "only a row that is suspended lacks its token", found->first);
    return;
  }
  const bool right = std::cmp_less(known, stream.tokens.size()) && stream.tokens[static_cast<std::size_t>(known)] == row.token;
  expect(right, "every token is the one that its history yields", found->first);
  ++stream.emitted_count;
  charges_.note_output(span.sequence);
  if (row.outcome == RowOutcome::stop && is_open(stream)) saw(Situation::stopped_with_a_step_ahead);
}

void Simulator::take_ends() {
  scheduler_.take_ended(ends_);
  for (const SequenceEnd& end : ends_) check_end(end);
  ends_.clear();
}

void Simulator::check_end(const SequenceEnd& end) {
  charges_.note_end(end);
  const auto found = live_.find(end.id.value);
  expect(found != live_.end(), "a sequence ends once", end.id.value);
  if (found == live_.end()) return;
  const Stream& stream = found->second;
  switch (end.reason) {
    case EndReason::cancelled:
      expect(stream.is_cancelled, "only who was cancelled ends so", end.id.value);
      break;
    case EndReason::adapter_failed:
      expect(stream.request.adapter == failing_, "a failed load ends only its own", end.id.value);
      break;
    case EndReason::given_up:
      saw(Situation::given_up);
      ++given_up_count_;
      expect(gives_up(options_.policy) && !stream.is_started, "only who waits is given up", end.id.value);
      expect(!tried_.contains(end.id), "an idle server tries the newest request before its deadline", end.id.value);
      break;
    default:
      expect(end.reason == stream.end && stream.emitted_count == stream.output_count, "a sequence ends where its history does",
             end.id.value);
      if (!retired_.contains(stream.request.adapter))
        workload_.remember(stream.request, static_cast<std::int32_t>(stream.request.prompt.size()), stream.tokens);
  }
  ++report_.ended;
  report_.age_max = std::max(report_.age_max, report_.steps - stream.arrival_step);
  live_.erase(found);
}

Simulator::Stream Simulator::make_stream(const SequenceRequest& request) const {
  std::uint64_t image_digest = 0, word_index = 0;
  const auto add_words = [&](AdapterId id, std::uint32_t page_count) {
    const std::uint64_t word_count = std::uint64_t{page_count} * static_cast<std::uint64_t>(options_.scheduler.page_tokens);
    for (std::uint64_t i = 0; i < word_count; ++i)
      image_digest += SimulatedModel::image_part(SimulatedModel::image_word(id, i), word_index++);
  };
  add_words(request.adapter, request.adapter_page_count);
  for (const SharedImage& image : request.adapter_shared) add_words(image.id, image.page_count);
  std::uint64_t digest = SimulatedModel::start(request.tenant, kNoAdapter, 0);
  Stream stream;
  stream.tokens = request.prompt;
  const auto extend = [&] {
    for (std::size_t at = stream.digests.size(); at < stream.tokens.size(); ++at) {
      if (std::cmp_equal(at, request.adapter_begin)) digest += SimulatedModel::begin_adapter(request.tenant, request.adapter, image_digest);
      digest = SimulatedModel::add_slot(digest, SimulatedModel::slot(digest, stream.tokens[at]), static_cast<std::int32_t>(at));
      stream.digests.push_back(digest);
    }
  };
  while (stream.output_count < request.output_tokens_max) {
    extend();
    const RowResult row = options_.model.next(digest);
    if (row.outcome == RowOutcome::failed) {
      stream.end = EndReason::failed;
      break;
    }
    stream.tokens.push_back(row.token);
    ++stream.output_count;
    if (row.outcome == RowOutcome::stop || row.outcome == RowOutcome::complete) {
      stream.end = row.outcome == RowOutcome::stop ? EndReason::stop : EndReason::complete;
      break;
    }
  }
  stream.arrival_step = report_.steps;
  stream.request = request;
  return stream;
}

void Simulator::expect(bool holds, std::string_view what, std::uint64_t subject) {
  if (holds || !report_.failure.empty()) return;
  report_.failure = fmt::format("seed {}, step {}: this should hold: {} ({})", options_.seed, report_.steps, what, subject);
}

}  // namespace slora
