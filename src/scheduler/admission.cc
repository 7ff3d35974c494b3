// The scheduler's arithmetic of pages: who gets them, who loses them.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "scheduler/scheduler.h"

namespace slora {

std::int32_t Scheduler::grow(Sequence& sequence, std::int32_t wanted) {
  Holdings& holdings = sequence.holdings;
  const auto room = [&] { return static_cast<std::int32_t>(holdings.page_count()) * options_.page_tokens - sequence.planned; };
  while (room() == 0 && memory_.available() == 0) {
    step_.is_short_of_pages = true;
    if (pages_are_coming_back() || !try_preempt_younger(sequence)) break;
  }
  const std::uint32_t needed = pages_for(sequence.planned + wanted);
  if (needed > holdings.page_count()) {
    // Beyond the one page it needs to advance at all, a prompt leaves to the others what they were promised.
    const std::uint32_t least = room() == 0 ? 1 : 0;
    const std::uint32_t granted =
        std::min({std::max(least, budget_.available_to(sequence.promise)), memory_.available(), needed - holdings.page_count()});
    sequence.promise.take(holdings.own, granted);
    sequence.promise.renew(pages_to_promise(sequence));
  }
  return std::min(wanted, room());
}

bool Scheduler::try_preempt_younger(const Sequence& than) {
  for (std::size_t i = running_.size(); i > 0; --i) {
    Sequence& victim = *running_[i - 1];
    if (victim.serial <= than.serial) return false;
    // One that waits for its image and holds nothing else has nothing to give yet.
    const bool gives = victim.holdings.page_count() > 0 || memory_.adapters().state(victim.request.adapter) == AdapterState::resident;
    if (is_reserved(victim) || !gives) continue;
    preempt(victim);
    return true;
  }
  return false;
}

void Scheduler::preempt(Sequence& victim) {
  victim.promise = {};
  std::erase(running_, &victim);
  victim.interest = memory_.adapters().hold(victim.request.adapter, AdapterInterest::awaited);
  release(victim);
  victim.state = SequenceState::preempted;
  victim.planned = 0;
  ++victim.preemption_count;
  ++totals_.preemptions;
  line_.add_preempted(victim);
}

bool Scheduler::try_admit(Sequence& sequence) {
  if (uncommitted_plan_of(sequence) != nullptr) return false;  // preempted while its last token is still being computed
  const SequenceRequest& request = sequence.request;
  AdapterCache& adapters = memory_.adapters();
  const std::int32_t known = sequence.known_count();
  const bool loads = request.adapter != kNoAdapter && adapters.state(request.adapter) == AdapterState::absent;

  // What is held from here on cannot be evicted any more, so it does not count as available.
  Holdings holdings;
  if (!loads) holdings.adapter = adapters.hold(request.adapter, AdapterInterest::pinned);
  const PrefixDomain domain{request.tenant, request.adapter};
  const bool reads_prefix = request.prefix_use == PrefixUse::read_and_write;
  const std::uint32_t prefix_max =
      reads_prefix ? static_cast<std::uint32_t>((known - 1) / options_.page_tokens) : 0;  // the last is computed
  holdings.prefix = memory_.prefixes().match(domain, sequence.tokens, prefix_max);
  holdings.own = memory_.empty_list({PageUse::sequence, request.tenant, request.id.value});

  const std::uint32_t held = holdings.prefix.size();
  const std::int32_t cached = static_cast<std::int32_t>(held) * options_.page_tokens;
  const std::int32_t wanted = std::min(known - cached, step_.prompt_tokens_left);
  const std::uint32_t worst = worst_pages(sequence) - held;
  const std::uint32_t needed = is_reserved(sequence) ? worst : std::min(pages_for(cached + wanted) - held + 1, worst);
  const std::uint32_t adapter_pages = loads ? request.adapter_page_count : 0;
  std::optional<PagePromise> promise = budget_.try_reserve(needed + adapter_pages);
  if (!promise) return false;

  // Room for all that it can come to, so that its steps allocate nothing.
  holdings.prefix.reserve(worst_pages(sequence));
  holdings.own.reserve(worst_pages(sequence));
  sequence.tokens.reserve(static_cast<std::size_t>(sequence.tokens_max()));
  if (loads) {
    PageList pages = memory_.empty_list(adapters.owner_of(request.adapter));
    promise->take(pages, adapter_pages);
    begin_load(sequence, std::move(pages));
    holdings.adapter = adapters.hold(request.adapter, AdapterInterest::pinned);
  }
  if (is_reserved(sequence)) promise->take(holdings.own, worst);
  if (reads_prefix) totals_.prefix_query_tokens += static_cast<std::uint64_t>(known);
  totals_.prefix_hit_tokens += static_cast<std::uint64_t>(cached);
  memory_.prefixes().record_use(holdings.prefix);
  adapters.record_use(request.adapter);
  line_.remove(sequence);
  sequence.state = SequenceState::running;
  sequence.interest = adapters.hold(request.adapter, AdapterInterest::named);
  sequence.planned = sequence.cached_count = cached;
  sequence.holdings = std::move(holdings);
  const auto older = [](const Sequence* a, const Sequence* b) { return a->serial < b->serial; };
  running_.insert(std::ranges::upper_bound(running_, &sequence, older), &sequence);
  sequence.promise = std::move(*promise);
  sequence.promise.renew(pages_to_promise(sequence));
  if (!adapters.is_resident(request.adapter)) return true;

  const std::int32_t token_count = grow(sequence, wanted);
  check(token_count > 0, "what was admitted has pages for a token");
  step_.prompt_tokens_left -= token_count;
  step_.chosen.push_back({&sequence, token_count});
  return true;
}

void Scheduler::begin_load(const Sequence& sequence, PageList pages) {
  const std::span<const PageIndex> numbers = pages.pages();
  step_.loads.push_back({sequence.request.adapter, {numbers.begin(), numbers.end()}});
  memory_.adapters().begin_load(sequence.request.adapter, std::move(pages));
  ++totals_.adapter_loads;
}

void Scheduler::release(Sequence& sequence) {
  Holdings holdings = std::move(sequence.holdings);
  if (UncommittedPlan* const plan = uncommitted_plan_of(sequence)) plan->kept.push_back(std::move(holdings));
}

Scheduler::UncommittedPlan* Scheduler::uncommitted_plan_of(const Sequence& sequence) {
  const auto found = std::ranges::find(uncommitted_, sequence.last_plan, &UncommittedPlan::index);
  return found == uncommitted_.end() ? nullptr : &*found;
}

bool Scheduler::pages_are_coming_back() const {
  return std::ranges::any_of(uncommitted_, [](const UncommittedPlan& plan) { return !plan.kept.empty(); });
}

std::uint32_t Scheduler::pages_for(std::int32_t token_count) const {
  return static_cast<std::uint32_t>((token_count + options_.page_tokens - 1) / options_.page_tokens);
}

// One page beyond what it holds, if it can still grow; before it starts, also those of its first tokens.
std::uint32_t Scheduler::pages_to_promise(const Sequence& sequence) const {
  const std::uint32_t held = sequence.holdings.page_count();
  const std::uint32_t worst = worst_pages(sequence);
  if (memory_.adapters().is_resident(sequence.request.adapter)) return std::min(worst - held, 1u);
  const std::int32_t first = std::min(sequence.remaining(), options_.step_tokens_max);
  const std::uint32_t wanted = std::min(pages_for(sequence.planned + first) + 1, worst);
  return wanted > held ? wanted - held : 0;  // who runs reserved has more already
}

std::int64_t tokens_that_fit(const SchedulerOptions& options, std::uint32_t adapter_page_count) {
  if (adapter_page_count >= options.page_count) return 0;
  return std::int64_t{options.page_count - adapter_page_count} * options.page_tokens;
}

}  // namespace slora
