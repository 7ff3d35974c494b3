// What the simulator checks about every plan and every view of a policy.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "scheduler/testing/simulator.h"

namespace slora {

void Simulator::check_charges(std::span<const ServiceCharge> charges) {
  const std::string wrong = charges_.compare(charges);
  expect(wrong.empty(), wrong);
  fairness_.note(charges);
  charged_for_load_.clear();
  for (const ServiceCharge& charge : charges)
    if (charge.adapter_pages > 0) charged_for_load_.insert(charge.id);
  if (std::ranges::any_of(charges, [](const ServiceCharge& charge) { return charge.recomputed_tokens > 0; })) saw(Situation::recomputed);
}

// A policy sees every live sequence, in the right list and in its current state.
void Simulator::check_view(const StepView& view) {
  const auto is_cancelled = [](const auto& entry) { return entry.second.is_cancelled; };
  const std::size_t count = view.waiting.size() + view.preempted.size() + view.running.size();
  expect(std::cmp_equal(count, std::ssize(live_) - std::ranges::count_if(live_, is_cancelled)), "a policy sees who lives, once", count);
  expect(std::ranges::is_sorted(view.waiting, {}, &SequenceView::arrival), "those waiting are seen by arrival");
  expect(view.now == Timestamp{static_cast<std::int64_t>(report_.steps)}, "a policy knows the time");
  expect(view.prompt_tokens_max >= 0 && view.prompt_tokens_max <= options_.scheduler.step_tokens_max, "prompts have the step at most");
  check_views(view.waiting, [](const SequenceView& seen) { return seen.page_count == 0 && seen.preemption_count == 0; });
  check_views(view.preempted, [](const SequenceView& seen) { return seen.page_count == 0 && seen.preemption_count > 0; });
  check_views(view.running, [](const SequenceView& seen) { return seen.page_count <= seen.pages_max && seen.overtaken_count == 0; });
  for (const SequenceView& seen : view.waiting) {
    const Stream& stream = live_.at(seen.id.value);
    expect(std::cmp_equal(seen.tokens_to_compute, stream.request.prompt.size()), "who waits has its prompt to compute", seen.id.value);
    expect(seen.cached_tokens < seen.tokens_to_compute, "the last token is never cached", seen.id.value);
    expect(!stream.is_started, "who waits has not started", seen.id.value);
    expect(!charged_for_load_.contains(seen.id), "who waits is charged for no load", seen.id.value);
    if (seen.overtaken_count > 0) saw(Situation::overtaken);
    if (seen.overtaken_count == options_.scheduler.overtaken_max) saw(Situation::overtaken_to_the_bound);
  }
  check_precedence(view);
  check_promises(view);
  for (const SequenceView& seen : view.preempted) expect(seen.id != oldest_, "the oldest running sequence is no victim", seen.id.value);
  generating_.clear();
  computing_prompts_.clear();
  for (const SequenceView& seen : view.running)
    if (seen.adapter_state == AdapterState::resident) (seen.tokens_to_compute == 1 ? generating_ : computing_prompts_).insert(seen.id);
  oldest_ = view.running.empty() ? SequenceId{} : view.running.front().id;
  oldest_computes_ =
      !view.running.empty() && view.running.front().tokens_to_compute > 0 && view.running.front().adapter_state == AdapterState::resident;
  for (const SequenceView& seen : view.running) {
    const Stream& stream = live_.at(seen.id.value);
    if (!stream.is_started || !open_.empty() || seen.preemption_count > 0) continue;
    const std::int32_t known = static_cast<std::int32_t>(stream.request.prompt.size()) + stream.emitted_count;
    const std::int32_t uncomputed = stream.suspended ? 0 : known - stream.planned_end;
    expect(seen.tokens_to_compute == uncomputed, "who runs has to compute what is known and not planned", seen.id.value);
    expect(seen.output_count == stream.emitted_count, "who runs has the output it was given", seen.id.value);
  }
}

void Simulator::check_decision(const StepView& view, const StepDecision& decision) {
  prompt_tokens_max_ = std::max(decision.prompt_tokens_max, 1);
  if (prompt_tokens_max_ < view.prompt_tokens_max) saw(Situation::made_smaller);
  if (fair_share_ == nullptr) return;
  const std::string wrong = fairness_.compare_limit(view, decision);
  expect(wrong.empty(), wrong);
}

// Since the view before, nobody was admitted from the queue while a sequence that comes first was left waiting.
void Simulator::check_precedence(const StepView& view) {
  const auto was_in = [](const std::set<SequenceId>& ids) { return [&ids](const SequenceView& seen) { return ids.contains(seen.id); }; };
  const bool preempted_is_left = std::ranges::any_of(view.preempted, was_in(preempted_));
  const bool overtaken_is_left = std::ranges::any_of(view.waiting, was_in(overtaken_));
  const bool other_was_admitted = std::ranges::any_of(view.running, was_in(queue_));
  const bool overtaken_was_admitted = std::ranges::any_of(view.running, was_in(overtaken_));
  expect(!preempted_is_left || !(other_was_admitted || overtaken_was_admitted), "the queue is tried after preempted sequences");
  const bool preempted_was_admitted = std::ranges::any_of(view.running, was_in(preempted_));
  const bool any_was_admitted = other_was_admitted || overtaken_was_admitted || preempted_was_admitted;
  if (pin_waits_) saw(Situation::pin_waits);
  expect(!pin_waits_ || !any_was_admitted, "nobody is admitted while a pinned adapter waits for pages");
  expect(!overtaken_is_left || !other_was_admitted, "nobody else is admitted before who was overtaken as often as may be");
  queue_.clear();
  overtaken_.clear();
  preempted_.clear();
  for (const SequenceView& seen : view.waiting)
    (seen.overtaken_count < options_.scheduler.overtaken_max ? queue_ : overtaken_).insert(seen.id);
  for (const SequenceView& seen : view.preempted) {
    const bool is_suspended = live_.at(seen.id.value).suspended.has_value();
    if (is_suspended) saw(Situation::preempted_while_suspended);
    if (!is_suspended) preempted_.insert(seen.id);  // it is not tried
  }
}

// What policies promise in addition to the scheduler's laws.
void Simulator::check_promises(const StepView& view) {
  std::string broken;
  if (fair_share_ != nullptr) broken = fairness_.compare_counters(*fair_share_);
  if (fair_share_ != nullptr && broken.empty()) broken = fairness_.compare(view);
  if (options_.policy == SimulatedPolicy::adapter_grouped) broken = grouping_.compare(view);
  expect(broken.empty(), broken);
  report_.unfairness_max = fairness_.worst();
  if (options_.policy != SimulatedPolicy::deadline) return;
  const auto is_past = [&](const SequenceView& seen) {
    return std::min(seen.deadline, seen.arrival + options_.deadlines.first_token_slo) < view.now;
  };
  for (const SequenceView& seen : view.waiting)
    expect(!past_deadline_.contains(seen.id), "nobody waits on after its deadline", seen.id.value);
  past_deadline_.clear();
  tried_.clear();
  const bool is_idle = view.running.empty() && view.preempted.empty();
  for (const SequenceView& seen : view.waiting) {
    if (is_past(seen)) past_deadline_.insert(seen.id);
    if (is_idle && !is_past(seen) && seen.arrival == view.waiting.back().arrival) tried_.insert(seen.id);
  }
}

void Simulator::check_views(std::span<const SequenceView> views, bool (*is_right)(const SequenceView&)) {
  for (const SequenceView& seen : views) {
    const auto found = live_.find(seen.id.value);
    expect(found != live_.end() && !found->second.is_cancelled, "a policy sees only who lives", seen.id.value);
    if (!report_.failure.empty()) return;
    const SequenceRequest& request = found->second.request;
    const bool is_same = seen.tenant == request.tenant && seen.client == request.client && seen.adapter == request.adapter &&
                         seen.priority == request.priority && seen.arrival == request.arrival && seen.deadline == request.deadline &&
                         seen.output_tokens_max == request.output_tokens_max && seen.adapter_page_count == request.adapter_page_count;
    expect(is_same, "a policy sees a request as it came", seen.id.value);
    expect(is_right(seen), "a policy sees a sequence in its state", seen.id.value);
    if (request.adapter == kNoAdapter) continue;
    const bool is_loading = seen.adapter_state == AdapterState::loading, is_resident = seen.adapter_state == AdapterState::resident;
    expect(is_loading == device_.is_loading(request.adapter), "a policy sees which adapters are loading", request.adapter.value);
    expect(!is_resident || device_.is_resident(request.adapter), "a policy sees which adapters are there", request.adapter.value);
  }
}

void Simulator::check_plan(const StepPlan& plan) {
  const SchedulerOptions& options = options_.scheduler;
  expect(std::ssize(plan.tokens) <= options.step_tokens_max, "a step has no more tokens than it may", plan.tokens.size());
  expect(std::ssize(plan.spans) <= options.running_max, "a step has no more sequences than it may", plan.spans.size());
  std::set<std::uint64_t> in_plan;
  for (const PlannedSpan& span : plan.spans) {
    expect(in_plan.insert(span.sequence.value).second, "a sequence stands in a plan once", span.sequence.value);
    expect(live_.contains(span.sequence.value), "only who lives is planned", span.sequence.value);
    expect(span.token_count > 0, "a span has tokens", span.sequence.value);
  }
  std::int64_t prompt_tokens = 0;
  for (const PlannedSpan& span : plan.spans) prompt_tokens += generating_.contains(span.sequence) ? 0 : span.token_count;
  expect(prompt_tokens <= prompt_tokens_max_, "a step has no more prompt tokens than the policy allows", plan.tokens.size());
  check_pages(plan);
  if (!report_.failure.empty()) return;
  for (const PlannedSpan& span : plan.spans) check_overtaking(live_.at(span.sequence.value), in_plan);
  for (const PlannedSpan& span : plan.spans) note_span(live_.at(span.sequence.value), span, plan.index);

  const SchedulerStats stats = scheduler_.stats();
  const auto is_left_out = [&](SequenceId id) { return !in_plan.contains(id.value); };  // a prompt has a place even if it gets no token
  const auto places_taken = std::ssize(plan.spans) + std::ranges::count_if(computing_prompts_, is_left_out);
  const bool has_places = places_taken < std::min(options.running_max, options.step_tokens_max);
  const bool has_pages = stats.pages_available > 0 && stats.preemptions == before_.preemptions;
  if (has_pages && oldest_computes_) expect(!is_left_out(oldest_), "the oldest running sequence advances in every step", oldest_.value);
  if (has_places && has_pages) {
    for (const SequenceId id : generating_) expect(!is_left_out(id), "nobody pauses while there are places", id.value);
  }
  if (stats.adapter_prefetches > before_.adapter_prefetches) {
    saw(Situation::loaded_ahead);
    const bool is_shared = options.adapter_pages_separate == 0;
    expect(!is_shared || stats.pages_available >= stats.pages_promised, "a load ahead takes no promised page", stats.pages_promised);
  }
  expect(options.prefetched_sequences > 0 || stats.adapter_prefetches == 0, "nothing is loaded ahead where that is off");
  if (stats.pages_free == 0) saw(Situation::no_page_free);
  if (stats.prefix_evictions > before_.prefix_evictions) saw(Situation::prefix_evicted);
  if (stats.preemptions > before_.preemptions && !open_.empty()) saw(Situation::preempted_while_uncommitted);
  before_ = stats;
}

// No page is written, or loaded into, that another sequence reads or writes in this plan or in one that is not committed yet.
void Simulator::check_pages(const StepPlan& plan) {
  std::map<PageIndex, std::uint64_t> users;  // by uncommitted plans
  for (const OpenPlan& open : open_) {
    for (const PlannedSpan& span : open.plan.spans) {
      for (const PageIndex page : open.plan.pages_of(span)) users[page] = span.sequence.value;
      for (const PageIndex page : device_.image_pages(span.adapter)) users[page] = 0;
    }
  }
  std::set<PageIndex> written;
  const auto page_tokens = static_cast<std::size_t>(options_.scheduler.page_tokens);
  for (const PlannedSpan& span : plan.spans) {
    const std::span<const PageIndex> pages = plan.pages_of(span);
    for (std::size_t i = static_cast<std::size_t>(span.position_begin) / page_tokens; i < pages.size(); ++i) {
      expect(written.insert(pages[i]).second, "a page is written by one sequence", pages[i].value);
      const auto user = users.find(pages[i]);
      expect(user == users.end() || user->second == span.sequence.value, "a page of an uncommitted plan is not given away", pages[i].value);
    }
  }
  for (const PlannedSpan& span : plan.spans) {
    const std::span<const PageIndex> pages = plan.pages_of(span);
    for (std::size_t i = 0; i < std::min(pages.size(), static_cast<std::size_t>(span.position_begin) / page_tokens); ++i)
      expect(!written.contains(pages[i]), "a page that is read is not written", pages[i].value);
    for (const PageIndex page : device_.image_pages(span.adapter))
      expect(!written.contains(page), "an image in use is not written", page.value);
  }
  std::set<AdapterId> added;  // shared images
  for (const AdapterLoad& load : plan.loads) {
    expect(load.pages.size() == page_counts_[load.adapter], "an image gets its pages", load.adapter.value);
    for (const PageIndex page : load.pages) {
      expect(written.insert(page).second, "a page is loaded into for one adapter", page.value);
      expect(!users.contains(page), "a page of an uncommitted plan is not loaded into", page.value);
    }
    check_shared_pages(load, plan);
    for (const SharedPages& part : load.shared) {
      if (!device_.shared_pages(part.id).empty() || !added.insert(part.id).second) continue;
      for (const PageIndex page : part.pages) {
        expect(written.insert(page).second, "a page is loaded into for one shared image", page.value);
        expect(!users.contains(page), "a page of an uncommitted plan is not loaded into", page.value);
      }
    }
  }
}

// A load names all that its image shares, on the pages where it is, or will be with another load of the plan.
void Simulator::check_shared_pages(const AdapterLoad& load, const StepPlan& plan) {
  const std::vector<SharedImage> shared = workload_.shared_of(load.adapter);
  const bool are_named = std::ranges::equal(load.shared, shared, {}, &SharedPages::id, &SharedImage::id);
  expect(are_named, "a load names the shared images of its adapter", load.adapter.value);
  if (!are_named) return;
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const SharedPages& part = load.shared[i];
    expect(part.pages.size() == shared[i].page_count, "a shared image gets its pages", part.id.value);
    const std::span<const PageIndex> there = device_.shared_pages(part.id);
    expect(there.empty() || std::ranges::equal(there, part.pages), "a shared image stays where it is", part.id.value);
    for (const AdapterLoad& other : plan.loads) {
      const auto same = std::ranges::find(other.shared, part.id, &SharedPages::id);
      expect(same == other.shared.end() || same->pages == part.pages, "a shared image is there once", part.id.value);
    }
  }
}

// First come, first served: nobody is admitted before a sequence of its priority that came earlier and has no load to wait for. When
// that was is only seen of sequences without an adapter: they start in the step that admits them.
void Simulator::check_overtaking(const Stream& started, const std::set<std::uint64_t>& in_plan) {
  const bool is_by_arrival =
      options_.policy == SimulatedPolicy::fcfs || (options_.policy == SimulatedPolicy::fair_share && options_.client_count == 1);
  if (started.is_started || started.request.adapter != kNoAdapter || !is_by_arrival) return;
  if (options_.scheduler.preempted_every > 0) return;  // even who has not started may have to wait after older preempted ones
  const auto place = [](const Stream& stream) { return std::tuple(stream.request.priority, stream.request.arrival, stream.request.id); };
  for (const auto& [id, stream] : live_) {
    if (stream.is_started || stream.is_cancelled || in_plan.contains(id)) continue;
    const AdapterId adapter = stream.request.adapter;
    if (adapter != kNoAdapter && !device_.is_resident(adapter)) continue;
    expect(place(started) < place(stream), "nobody is overtaken", id);
  }
}

void Simulator::note_span(Stream& stream, const PlannedSpan& span, std::uint64_t plan_index) {
  const bool restarts = stream.is_started && span.position_begin != stream.planned_end;  // elsewhere only after preemption
  if (restarts && ++stream.restart_count == 2) saw(Situation::preempted_twice);
  const auto load = load_plans_.find(stream.request.adapter);
  const bool was_loaded = load != load_plans_.end() && load->second > stream.last_plan;
  if (restarts && was_loaded && stream.restart_count >= 3) saw(Situation::reserved_while_loading);
  if (!stream.is_started || restarts) {
    const std::int32_t cached = scheduler_.cached_tokens(span.sequence);
    const auto prompt_count = static_cast<std::int32_t>(stream.request.prompt.size());
    expect(cached == std::min(span.position_begin, prompt_count), "what was not computed was cached", span.sequence.value);
    if (cached > 0) saw(Situation::read_cached_prefix);
    if (!stream.is_started && stream.earlier_prompt_count >= 0 && cached > stream.earlier_prompt_count) saw(Situation::read_cached_output);
    const bool reads = stream.request.prompt_use == PromptUse::continued;
    expect(reads || span.position_begin == 0, "a prompt that is scored reads no prefix", span.sequence.value);
    const bool is_scoring = stream.scored_count > 0 && stream.scored_count < prompt_count - 1;
    if (restarts && is_scoring) saw(Situation::scored_over_preemption);
  }
  note_scores(stream, span);
  charges_.note_span(span, stream.request);
  stream.is_started = true;
  stream.planned_end = span.position_begin + span.token_count;
  stream.last_plan = plan_index;
}

// Every position that a prompt token follows is scored once, in order, in the step that computes it, before the first token comes.
void Simulator::note_scores(Stream& stream, const PlannedSpan& span) {
  const std::uint64_t id = span.sequence.value;
  const auto prompt_count = static_cast<std::int32_t>(stream.request.prompt.size());
  const bool is_scored = stream.request.prompt_use == PromptUse::scored;
  if (span.scored_count > 0) {
    const std::int32_t end = span.scored_begin + span.scored_count;
    expect(is_scored, "only who asked is scored", id);
    expect(span.scored_begin == stream.scored_count, "positions are scored once and in order", id);
    expect(span.scored_begin >= span.position_begin && end <= span.position_begin + span.token_count, "what is scored is computed", id);
    expect(end < prompt_count, "only prompt tokens are scored", id);
    stream.scored_count += span.scored_count;
  }
  if (is_scored && span.output_row >= 0) expect(stream.scored_count == prompt_count - 1, "a prompt is scored before its first token", id);
}

// The digest of the pages after this span is that of the pure function.
void Simulator::check_span(const PlannedSpan& span, std::uint64_t digest) {
  const auto found = live_.find(span.sequence.value);
  if (found == live_.end()) return;
  const Stream& stream = found->second;
  const auto end = static_cast<std::size_t>(span.position_begin + span.token_count);
  if (end <= stream.digests.size()) {
    expect(stream.digests[end - 1] == digest, "the pages hold what the history wrote", found->first);
  } else {
    const bool is_ahead = options_.scheduler.depth == 2 && end == stream.digests.size() + 1;
    expect(is_ahead, "nothing is computed after the end but one step ahead", found->first);
  }
}

void Simulator::check_sound() {
  if (const std::string wrong = scheduler_.check_invariants(); !wrong.empty()) expect(false, wrong);
}

// An image that is pinned stays once it has come, and is loaded before any other.
void Simulator::check_pinned(const StepPlan& plan) {
  pin_waits_ = false;
  for (auto& [adapter, pin] : pinned_) {
    const bool is_there = device_.is_resident(adapter);
    if (is_there || device_.is_loading(adapter)) charges_.note_pinned(adapter);
    pin_waits_ = pin_waits_ || (!is_there && !device_.is_loading(adapter));
    expect(is_there || !pin.has_come, "what is pinned stays", adapter.value);
    pin.has_come = is_there;
    const auto names = [&, id = adapter](const auto& entry) { return entry.second.request.adapter == id; };
    if (is_there && before_.pages_free == 0 && std::ranges::none_of(live_, names)) saw(Situation::pinned_for_long);
  }
  for (const AdapterLoad& load : plan.loads)
    expect(!pin_waits_ || pinned_.contains(load.adapter), "nothing else is loaded while a pin waits for pages", load.adapter.value);
}

// An image that nobody named for the idle time and two looks leaves the pool. A look comes with a schedule(), and those with every other
// step at least.
void Simulator::check_unused() {
  const std::int64_t idle_time = options_.scheduler.adapter_idle_time.count();
  for (const auto& [id, stream] : live_) named_at_[stream.request.adapter] = report_.steps;
  for (const OpenPlan& open : open_)
    for (const PlannedSpan& span : open.plan.spans) named_at_[span.adapter] = report_.steps;
  for (const auto& [adapter, pin] : pinned_) named_at_[adapter] = report_.steps;
  if (idle_time == 0) return;
  constexpr std::int64_t kSlack = 8;
  for (const auto& [adapter, named_at] : named_at_) {
    const auto unused = static_cast<std::int64_t>(report_.steps - named_at);
    if (!device_.is_resident(adapter)) continue;
    if (unused > idle_time / 2) saw(Situation::left_unused);
    expect(unused <= idle_time + idle_time / 2 + kSlack, "an image that nobody uses leaves", adapter.value);
  }
}

// The image and the prefixes of a retired content are dropped as soon as nothing uses them.
void Simulator::check_retired() {
  for (const AdapterId adapter : retired_) {
    const auto names = [&](const auto& entry) { return entry.second.request.adapter == adapter; };
    const auto runs = [&](const OpenPlan& open) {
      return std::ranges::find(open.plan.spans, adapter, &PlannedSpan::adapter) != open.plan.spans.end();
    };
    if (device_.is_loading(adapter) || std::ranges::any_of(live_, names) || std::ranges::any_of(open_, runs)) continue;
    expect(scheduler_.pages_of_adapter(adapter) == 0, "a retired adapter leaves nothing in the pool", adapter.value);
  }
}

void Simulator::check_empty() {
  expect(live_.empty() && open_.empty(), "everything ends", live_.empty() ? 0 : live_.begin()->first);
  while (!pinned_.empty()) unpin_some();
  if (!report_.failure.empty()) return;
  StepPlan last;
  scheduler_.schedule(last, Timestamp{static_cast<std::int64_t>(report_.steps)});  // brings the last charges
  expect(last.empty() && last.loads.empty(), "nothing is planned when nobody is left");
  const std::string wrong = charges_.compare_ends();
  expect(wrong.empty(), wrong);
  scheduler_.clear_caches();
  check_sound();
  std::vector<AdapterId> evicted;
  scheduler_.take_evicted_adapters(evicted);
  for (const AdapterId adapter : evicted) device_.evict(adapter);
  expect(device_.image_count() == 0, "every image that left was reported", device_.image_count());
  const SchedulerStats stats = scheduler_.stats();
  expect(stats.pages_free == options_.scheduler.page_count, "all pages are free in the end", stats.pages_free);
  expect(stats.given_up == given_up_count_, "every sequence that was given up is counted", stats.given_up);
  expect(stats.running == 0 && stats.waiting == 0 && stats.waiting_tokens == 0 && stats.loading == 0, "nobody is left in the end");
}

std::string_view name_of(Situation situation) {
  static constexpr std::array<std::string_view, kSituationCount> kNames = {"preempted twice",
                                                                           "preempted while uncommitted",
                                                                           "reserved while loading",
                                                                           "cancelled while waiting",
                                                                           "cancelled while loading",
                                                                           "cancelled while running",
                                                                           "cancelled while uncommitted",
                                                                           "cancelled after preemption",
                                                                           "stopped with a step ahead",
                                                                           "failed step",
                                                                           "scored over preemption",
                                                                           "read cached prefix",
                                                                           "read cached output",
                                                                           "prefix evicted",
                                                                           "adapter came back",
                                                                           "load failed",
                                                                           "load succeeded after failure",
                                                                           "replaced while running",
                                                                           "replaced while waiting",
                                                                           "nobody waits for load",
                                                                           "no page free",
                                                                           "queue was full",
                                                                           "never fits",
                                                                           "given up",
                                                                           "overtaken",
                                                                           "overtaken to the bound",
                                                                           "recomputed",
                                                                           "loaded ahead",
                                                                           "pin refused",
                                                                           "pin waits",
                                                                           "pinned for long",
                                                                           "left unused",
                                                                           "shared while loading",
                                                                           "shared outlived load",
                                                                           "shared came back",
                                                                           "made smaller",
                                                                           "suspended with a token",
                                                                           "suspended without token",
                                                                           "suspended at its length",
                                                                           "suspended at a page",
                                                                           "cancelled while suspended",
                                                                           "preempted while suspended"};
  return kNames[static_cast<std::size_t>(situation)];
}

}  // namespace slora
