#include "scheduler/scheduler.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/check.h"

namespace slora {

Scheduler::Scheduler(const SchedulerOptions& options, std::unique_ptr<Policy> policy)
    : options_(options),
      memory_({.page_count = options.page_count,
               .page_tokens = options.page_tokens,
               .costs = options.costs,
               .hash = options.prefix_hash,
               .eviction = options.eviction,
               .adapter_pages_separate = options.adapter_pages_separate}),
      budget_(memory_),
      policy_(std::move(policy), options.overtaken_max) {
  check(options_.page_tokens > 0 && options_.step_tokens_max > 0 && options_.running_max > 0,
        "expected limits of at least one token and one sequence");
  check(options_.overtaken_max > 0, "expected a bound of at least one on how often a sequence is overtaken");
  check(options_.depth == 1 || options_.depth == 2, "expected a depth of 1 or 2");
}

Scheduler::~Scheduler() = default;

Status Scheduler::add(SequenceRequest request) {
  check(!request.prompt.empty() && request.output_tokens_max > 0, "expected a prompt and at least one token of output");
  check((request.adapter == kNoAdapter) == (request.adapter_page_count == 0), "expected pages for an adapter and none for the base model");
  check(request.adapter_begin >= 0 && (request.adapter != kNoAdapter || request.adapter_begin == 0),
        "expected a position from which on an adapter acts");
  check(find(request.id) == nullptr, "expected an id that is not in use");
  const std::size_t prompt_count = request.prompt.size();
  const AdapterNeeds needs = needs_of(request);
  const std::int64_t capacity = tokens_that_fit(options_, pages_in_all(needs), pages_pinned_besides(needs));
  if (static_cast<std::int64_t>(prompt_count) + request.output_tokens_max > capacity) {
    return error("never_fits",
                 "The prompt's {} tokens and {} tokens of output exceed the {} tokens that fit in the pool in addition to the adapter.",
                 prompt_count, request.output_tokens_max, capacity);
  }
  const bool tokens_fit = line_.queue_size() == 0 || line_.queue_tokens() + prompt_count <= options_.waiting_tokens_max;
  if (line_.queue_size() >= options_.waiting_max || !tokens_fit) return error("queue_full", "Too many requests are waiting.");

  auto sequence = std::make_unique<Sequence>();
  sequence->serial = next_serial_++;
  sequence->interest = memory_.adapters().hold(request.adapter, AdapterInterest::named);
  sequence->prompt_count = static_cast<std::int32_t>(prompt_count);
  sequence->tokens = std::move(request.prompt);
  sequence->request = std::move(request);
  sequence->holdings = no_holdings(sequence->request);
  Sequence& added = *sequence;
  const SequenceId id = added.request.id;
  sequences_.emplace(id, std::move(sequence));
  try {
    line_.add(added, make_view(added));
  } catch (...) {  // out of memory: as if it had never come
    sequences_.erase(id);
    throw;
  }
  return {};
}

void Scheduler::cancel(SequenceId id) {
  if (Sequence* const sequence = find(id)) end(*sequence, EndReason::cancelled);
}

void Scheduler::schedule(StepPlan& out, Timestamp now) {
  check(uncommitted_.size() < static_cast<std::size_t>(options_.depth), "expected an earlier plan to be committed before the next one");
  out.clear();
  evict_unused_adapters(now);
  decide(now);
  admit_running();
  load_pinned();
  admit_waiting();
  resume_paused();
  share_rest();
  prefetch();
  plan(out);
}

namespace {

bool is_ready(const SequenceView& view) { return view.adapter_state == AdapterState::resident; }

// Tokens of a step that are left for prompts after one token for each of its sequences that generate.
std::int32_t prompt_tokens_of(const auto& running, std::size_t slot_count, std::int32_t step_tokens_max) {
  std::size_t ready_count = 0;
  for (const SequenceView& view : running) {
    if (!is_ready(view)) continue;
    if (++ready_count > slot_count) break;
    if (view.tokens_to_compute == 1) --step_tokens_max;
  }
  return step_tokens_max;
}

}  // namespace

// Asks the policy, and ends the sequences that it gives up.
void Scheduler::decide(Timestamp now) {
  step_.chosen.clear();
  step_.loads.clear();
  step_.passed_over.clear();
  step_.is_short_of_pages = false;
  for (const AdapterId adapter : memory_.adapters().changed()) line_.set_adapter_state(adapter, memory_.adapters().state(adapter));
  memory_.adapters().clear_changed();

  step_.running_views.clear();
  for (const Sequence* const sequence : running_) step_.running_views.push_back(make_view(*sequence));
  const StepDecision& decision =
      policy_.decide({.waiting = line_.queue_views(),
                      .preempted = line_.preempted_views(),
                      .running = step_.running_views,
                      .now = now,
                      .places = static_cast<std::int32_t>(slot_count()),
                      .prompt_tokens_max = prompt_tokens_of(step_.running_views, slot_count(), options_.step_tokens_max),
                      .pages_available = budget_.unpromised()});
  step_.passed_over_max = std::min(decision.passed_over_max, kPassedOverMax);
  step_.places_kept = static_cast<std::size_t>(decision.places_kept);
  step_.prompt_tokens_max = decision.prompt_tokens_max;
  step_.running.clear();
  for (const std::size_t index : decision.running) step_.running.push_back({running_[index], &step_.running_views[index]});
  step_.line.assign(line_.preempted().begin(), line_.preempted().end());
  for (const std::size_t index : decision.queue) step_.line.push_back(line_.queue()[index]);
  step_.given_up.clear();
  for (const std::size_t index : decision.given_up) step_.given_up.push_back(line_.queue()[index]);
  line_.remove_from_queue(decision.given_up);
  totals_.given_up += step_.given_up.size();
  for (Sequence* const sequence : step_.given_up) forget(*sequence, EndReason::given_up);
}

// Running sequences get their next tokens, in the decided order; if there are no pages for them, the last one is preempted.
void Scheduler::admit_running() {
  const auto views = step_.running | std::views::transform([](const Ranked& ranked) -> const SequenceView& { return *ranked.view; });
  const std::int32_t prompt_tokens = prompt_tokens_of(views, slot_count(), options_.step_tokens_max);
  step_.prompt_tokens_left = std::min(prompt_tokens, step_.prompt_tokens_max);
  step_.single_tokens_left = options_.step_tokens_max - prompt_tokens;
  if (options_.preempted_every > 0 && next_plan_ % options_.preempted_every == 0 && !step_.running.empty())
    static_cast<void>(try_preempt_after(0));
  step_.paused_begin = 0;
  serve_running(slot_count() - step_.places_kept);
  step_.paused_count = 0;
  for (std::size_t i = step_.paused_begin; i < step_.running.size(); ++i) step_.paused_count += is_ready(*step_.running[i].view) ? 1 : 0;
}

void Scheduler::serve_running(std::size_t place_count) {
  std::size_t& i = step_.paused_begin;
  for (; i < step_.running.size(); ++i) {  // preemption shortens the list, always after i
    const auto [sequence, view] = step_.running[i];
    if (!is_ready(*view)) continue;
    if (place_count-- == 0) return;
    const std::int32_t remaining = sequence->remaining();
    const std::int32_t usable = remaining == 1 ? try_take_single_token() : std::min(remaining, step_.prompt_tokens_left);
    if (usable == 0) continue;
    const std::int32_t wanted = remaining == 1 ? 1 : std::min(usable, prompt_share(*view, 0));
    if (wanted > 0) make_space(i);
    const std::int32_t token_count = wanted > 0 ? grow(*sequence, wanted) : 0;
    if (remaining > 1) step_.prompt_tokens_left -= token_count;
    if (token_count > 0 || wanted == 0) step_.chosen.push_back({sequence, token_count, wanted < usable});
  }
}

// When a prompt is preempted, a sequence that was not counted may come to its place; its token is one of the prompts'.
std::int32_t Scheduler::try_take_single_token() {
  std::int32_t& left = step_.single_tokens_left > 0 ? step_.single_tokens_left : step_.prompt_tokens_left;
  if (left == 0) return 0;
  --left;
  return 1;
}

// Those that paused for the queue get the places that it did not take.
void Scheduler::resume_paused() {
  const std::size_t taken = running_.size() - loading_sequence_count() - step_.paused_count;
  if (step_.paused_count > 0 && taken < slot_count()) serve_running(slot_count() - taken);
}

// Preempted sequences first, then those that may not be overtaken any more, then the queue in the policy's order, up to the first that does
// not fit and may not be passed over.
void Scheduler::admit_waiting() {
  if (step_.is_short_of_pages) return;
  const std::size_t slots = slot_count();
  std::size_t loading_count = loading_sequence_count();
  for (Sequence* const next : step_.line) {
    const std::size_t taken = running_.size() - loading_count - step_.paused_count;
    if (taken >= slots || loading_count >= slots || running_.size() >= 2 * slots || step_.prompt_tokens_left == 0) return;
    if (next->is_suspended) continue;
    const bool may_hold_back = next->state != SequenceState::preempted && next->overtaken_count < options_.overtaken_max;
    const std::int32_t share = prompt_share(line_.view_of(*next), may_hold_back ? 0 : 1);
    if (share == 0) continue;  // the policy holds it back
    if (!try_admit(*next, share)) {
      if (!try_pass_over(*next)) return;
      continue;
    }
    if (!memory_.adapters().is_resident(next->request.adapter)) ++loading_count;
    if (!count_overtaking()) return;
  }
}

// Prompt tokens that are left go to the prompts that the policy gave less than they could use.
void Scheduler::share_rest() {
  for (Choice& choice : step_.chosen) {
    if (step_.prompt_tokens_left == 0) break;
    if (!choice.is_cut) continue;
    const std::int32_t wanted = std::min(choice.sequence->remaining(), choice.token_count + step_.prompt_tokens_left);
    const std::int32_t token_count = grow(*choice.sequence, wanted);
    step_.prompt_tokens_left -= token_count - choice.token_count;
    choice.token_count = token_count;
  }
  std::erase_if(step_.chosen, [](const Choice& choice) { return choice.token_count == 0; });
}

// Loads the adapters of the next sequences in the line into pages that are not promised and are free or cheap to evict.
void Scheduler::prefetch() {
  if (std::ranges::any_of(pins_, [](const Pin& pin) { return pin.interest != AdapterInterest::pinned; })) return;  // it waits for pages
  AdapterCache& adapters = memory_.adapters();
  // While the head of the line waits for pages, only its own adapter may take some.
  std::size_t left = std::min<std::size_t>(options_.prefetched_sequences, step_.is_short_of_pages ? 1 : options_.prefetched_sequences);
  for (const Sequence* const sequence : step_.line) {
    if (sequence->state == SequenceState::running) continue;  // admitted in this step
    if (left-- == 0) return;
    const AdapterId adapter = sequence->request.adapter;
    adapters.touch(adapter);
    if (adapter == kNoAdapter || adapters.state(adapter) != AdapterState::absent) continue;
    const AdapterNeeds needs = needs_of(sequence->request);
    if (budget_.unpromised_to_adapters() < adapters.pages_to_load(needs)) return;
    if (!memory_.try_begin_load_below(needs, adapters.value_of(needs.page_count))) return;
    add_load(needs);
    ++totals_.adapter_prefetches;
  }
}

void Scheduler::take_ended(std::vector<SequenceEnd>& ended) {
  ended.insert(ended.end(), ended_.begin(), ended_.end());
  ended_.clear();
}

void Scheduler::end(Sequence& sequence, EndReason reason) {
  if (sequence.state == SequenceState::running) {
    std::erase(running_, &sequence);
    release(sequence);
  } else {
    line_.remove(sequence);
  }
  forget(sequence, reason);
}

// Reports the end of a sequence and destroys it. Requires: it is neither in the line nor running.
void Scheduler::forget(Sequence& sequence, EndReason reason) {
  const SequenceRequest& request = sequence.request;
  const SequenceId id = request.id;
  policy_.add_charge({.id = id, .client = request.client, .adapter = request.adapter, .end = reason});
  ended_.push_back({id, reason});
  sequences_.erase(id);
}

void Scheduler::adapter_landed(AdapterId adapter) {
  memory_.adapters().landed(adapter);
  for (Sequence* const sequence : running_)
    if (sequence->request.adapter == adapter) sequence->promise.renew(pages_to_promise(*sequence));
}

void Scheduler::adapter_failed(AdapterId adapter) {
  std::vector<Sequence*> lost;
  for (const auto& [id, sequence] : sequences_)
    if (sequence->request.adapter == adapter) lost.push_back(sequence.get());
  std::ranges::sort(lost, {}, &Sequence::serial);
  for (Sequence* const sequence : lost) end(*sequence, EndReason::adapter_failed);
  unpin_adapter(adapter);
  memory_.adapters().failed(adapter);
}

void Scheduler::retire_adapter(AdapterId adapter) {
  unpin_adapter(adapter);
  memory_.adapters().retire(adapter);
}

void Scheduler::take_evicted_adapters(std::vector<AdapterId>& evicted) { memory_.adapters().take_evicted(evicted); }

std::int32_t Scheduler::cached_tokens(SequenceId id) const {
  const Sequence* const sequence = find(id);
  return sequence == nullptr ? 0 : std::min(sequence->cached_count, sequence->prompt_count);
}

std::uint32_t Scheduler::pages_of_adapter(AdapterId adapter) const {
  const PagePool& pool = memory_.pool();
  std::uint32_t count = 0;
  for (std::uint32_t page = 0; page < pool.page_count(); ++page) {
    const PageOwner& owner = pool.owner(PageIndex{page});
    const bool is_cache = owner.use == PageUse::adapter || owner.use == PageUse::prefix;
    count += is_cache && owner.id == adapter.value ? 1 : 0;
  }
  return count;
}

SchedulerStats Scheduler::stats() const {
  const PagePool& pool = memory_.pool();
  SchedulerStats stats = totals_;
  stats.loading = loading_sequence_count();
  stats.running = running_.size() - stats.loading;
  stats.waiting = line_.size();
  stats.waiting_tokens = line_.queue_tokens();
  stats.adapter_evictions = memory_.adapters().evictions();
  stats.prefix_evictions = memory_.prefixes().evictions();
  stats.pages_total = pool.page_count();
  stats.pages_free = pool.free_count();
  stats.pages_sequence = pool.count(PageUse::sequence);
  stats.pages_prefix = pool.count(PageUse::prefix);
  stats.pages_adapter = pool.count(PageUse::adapter);
  stats.pages_evictable = memory_.evictable_count();
  stats.adapters_pinned = pins_.size();
  stats.pages_pinned = pages_pinned_;
  stats.pages_promised = budget_.promised();
  stats.pages_available = memory_.available();
  return stats;
}

std::size_t Scheduler::loading_sequence_count() const {
  const auto is_loading = [&](const Sequence* sequence) { return !memory_.adapters().is_resident(sequence->request.adapter); };
  return static_cast<std::size_t>(std::ranges::count_if(running_, is_loading));
}

void Scheduler::clear_caches() {
  check(sequences_.empty() && uncommitted_.empty(), "expected every sequence to have ended");
  memory_.evict_all();
}

Sequence* Scheduler::find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

}  // namespace slora
