// Which sequences get pages and which lose them.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "scheduler/scheduler.h"

namespace slora {

std::int32_t Scheduler::prompt_share(const SequenceView& view, std::int32_t least) {
  if (step_.prompt_tokens_left == 0) return 0;
  return policy_.prompt_tokens(view, step_.chosen.empty() ? 1 : least, step_.prompt_tokens_left);
}

void Scheduler::make_space(std::size_t place) {
  while (!has_space(*step_.running[place].sequence) && memory_.available() == 0) {
    step_.is_short_of_pages = true;
    if (pages_are_coming_back() || !try_preempt_after(place)) return;
  }
}

bool Scheduler::has_space(const Sequence& sequence) const {
  return std::cmp_greater(sequence.holdings.page_count() * static_cast<std::uint32_t>(options_.page_tokens), sequence.planned);
}

std::int32_t Scheduler::grow(Sequence& sequence, std::int32_t wanted) {
  Holdings& holdings = sequence.holdings;
  const std::uint32_t needed = pages_for(sequence.planned + wanted);
  if (needed > holdings.page_count()) {
    // A prompt may take a page that is promised to others only if it could not advance otherwise.
    const std::uint32_t least = has_space(sequence) ? 0 : 1;
    const std::uint32_t granted =
        std::min({std::max(least, budget_.available_to(sequence.promise)), memory_.available(), needed - holdings.page_count()});
    sequence.promise.take(holdings.own, granted);
    sequence.promise.renew(pages_to_promise(sequence));
  }
  return std::min(wanted, static_cast<std::int32_t>(holdings.page_count()) * options_.page_tokens - sequence.planned);
}

bool Scheduler::try_preempt_after(std::size_t place) {
  for (std::size_t i = step_.running.size(); i > place + 1; --i) {
    Sequence& victim = *step_.running[i - 1].sequence;
    // Preempting a sequence that has no pages yet and whose adapter is loading would free nothing.
    const bool gives = victim.holdings.page_count() > 0 || memory_.adapters().state(victim.request.adapter) == AdapterState::resident;
    if (is_reserved(victim) || !gives) continue;
    step_.running.erase(step_.running.begin() + static_cast<std::ptrdiff_t>(i - 1));
    preempt(victim);
    return true;
  }
  return false;
}

void Scheduler::preempt(Sequence& victim) {
  victim.promise = {};
  std::erase(running_, &victim);
  victim.interest = memory_.adapters().hold(victim.request.adapter, AdapterInterest::awaited);
  victim.holdings.prefix.expect_return();
  release(victim);
  victim.state = SequenceState::preempted;
  victim.planned = 0;
  ++victim.preemption_count;
  ++totals_.preemptions;
  line_.add(victim, make_view(victim));
}

namespace {

bool reads_prefix(const Sequence& sequence) { return sequence.request.prompt_use == PromptUse::continued; }

// Pages of its known tokens that may come from the prefix cache: the last token is always computed.
std::uint32_t prefix_pages_max(const Sequence& sequence, std::int32_t page_tokens) {
  return reads_prefix(sequence) ? static_cast<std::uint32_t>((sequence.known_count() - 1) / page_tokens) : 0;
}

}  // namespace

SequenceView Scheduler::make_view(const Sequence& sequence) const {
  const SequenceRequest& request = sequence.request;
  const std::uint32_t pages_max = worst_pages(sequence);
  SequenceView view{.id = request.id,
                    .tenant = request.tenant,
                    .client = request.client,
                    .adapter = request.adapter,
                    .priority = request.priority,
                    .arrival = request.arrival,
                    .deadline = request.deadline,
                    .tokens_to_compute = sequence.state == SequenceState::running ? sequence.remaining() : sequence.uncomputed(),
                    .output_count = sequence.output_count(),
                    .output_tokens_max = request.output_tokens_max,
                    .cached_tokens = sequence.cached_count,
                    .page_count = sequence.holdings.page_count(),
                    .pages_to_start = 0,
                    .pages_max = pages_max,
                    .adapter_page_count = request.adapter_page_count,
                    .adapter_state = AdapterState::resident,
                    .preemption_count = sequence.preemption_count,
                    .overtaken_count = sequence.overtaken_count};
  if (request.adapter != kNoAdapter) view.adapter_state = memory_.adapters().state(request.adapter);
  if (sequence.state == SequenceState::running) return view;
  const std::int32_t first = std::min(sequence.known_count(), options_.step_tokens_max);
  view.pages_to_start = is_reserved(sequence) ? pages_max : std::min(pages_for(first) + 1, pages_max);
  if (policy_.reads_cached_tokens()) {
    const std::uint32_t pages_most = prefix_pages_max(sequence, options_.page_tokens);
    const std::uint32_t cached = memory_.prefixes().count(domain_of(request), sequence.tokens, pages_most);
    view.cached_tokens = static_cast<std::int32_t>(cached) * options_.page_tokens;
  }
  return view;
}

bool Scheduler::try_admit(Sequence& sequence, std::int32_t share) {
  if (uncommitted_plan_of(sequence) != nullptr) return false;  // preempted, and its last token is still being computed
  const SequenceRequest& request = sequence.request;
  AdapterCache& adapters = memory_.adapters();
  const std::int32_t known = sequence.known_count();
  const bool loads = request.adapter != kNoAdapter && adapters.state(request.adapter) == AdapterState::absent;

  // Pages held from here on cannot be evicted, so they do not count as available. The lists are the sequence's, whose capacity lasts from
  // one try to the next.
  Holdings& holdings = sequence.holdings;
  if (!loads) holdings.adapter = adapters.hold(request.adapter, AdapterInterest::pinned);
  memory_.prefixes().match(holdings.prefix, sequence.tokens, prefix_pages_max(sequence, options_.page_tokens));

  const std::uint32_t held = holdings.prefix.size();
  const std::int32_t cached = static_cast<std::int32_t>(held) * options_.page_tokens;
  const std::int32_t wanted = std::min(known - cached, share);
  const std::uint32_t worst = worst_pages(sequence) - held;
  const std::uint32_t needed = is_reserved(sequence) ? worst : std::min(pages_for(cached + wanted) - held + 1, worst);
  const std::uint32_t adapter_pages = loads ? adapters.pages_to_load(needs_of(request)) : 0;
  std::optional<PagePromise> promise = budget_.try_reserve(needed, adapter_pages);
  if (!promise) {
    holdings.give_back();
    if (policy_.reads_cached_tokens()) line_.view_of(sequence).cached_tokens = cached;
    return false;
  }

  if (request.adapter != kNoAdapter && sequence.state != SequenceState::preempted) {
    ++totals_.adapter_queries;
    if (adapters.is_resident(request.adapter)) ++totals_.adapter_hits;
  }

  // Capacity for the worst case, so that its steps allocate nothing.
  holdings.prefix.reserve(worst_pages(sequence));
  holdings.own.reserve(worst_pages(sequence));
  sequence.tokens.reserve(static_cast<std::size_t>(sequence.tokens_max()));
  sequence.computed.reserve(std::size_t{kPreemptionsMax} + 1);
  if (loads) {
    memory_.begin_load(needs_of(request));
    add_load(needs_of(request));
    promise->renew(needed);
    holdings.adapter = adapters.hold(request.adapter, AdapterInterest::pinned);
  }
  charge_load(request);
  if (is_reserved(sequence)) promise->take(holdings.own, worst);
  if (reads_prefix(sequence)) totals_.prefix_query_tokens += static_cast<std::uint64_t>(known);
  totals_.prefix_hit_tokens += static_cast<std::uint64_t>(cached);
  memory_.prefixes().record_use(holdings.prefix);
  adapters.record_use(request.adapter);
  line_.remove(sequence);
  sequence.state = SequenceState::running;
  sequence.overtaken_count = 0;
  sequence.interest = adapters.hold(request.adapter, AdapterInterest::named);
  sequence.planned = sequence.cached_count = cached;
  const auto older = [](const Sequence* a, const Sequence* b) { return a->serial < b->serial; };
  running_.insert(std::ranges::upper_bound(running_, &sequence, older), &sequence);
  sequence.promise = std::move(*promise);
  sequence.promise.renew(pages_to_promise(sequence));
  if (!adapters.is_resident(request.adapter)) return true;

  const std::int32_t token_count = grow(sequence, wanted);
  check(token_count > 0, "expected pages for a token of a sequence that was admitted");
  step_.chosen.push_back({&sequence, token_count, wanted < std::min(known - cached, step_.prompt_tokens_left)});
  step_.prompt_tokens_left -= token_count;
  return true;
}

bool Scheduler::try_pass_over(Sequence& sequence) {
  step_.is_short_of_pages = true;
  if (std::cmp_greater_equal(step_.passed_over.size(), step_.passed_over_max)) return false;
  if (sequence.state == SequenceState::preempted || sequence.overtaken_count >= options_.overtaken_max) return false;
  step_.passed_over.push_back(&sequence);
  return true;
}

bool Scheduler::count_overtaking() {
  bool may_go_on = true;
  for (Sequence* const sequence : step_.passed_over) {
    line_.view_of(*sequence).overtaken_count = ++sequence->overtaken_count;
    may_go_on = may_go_on && sequence->overtaken_count < options_.overtaken_max;
  }
  return may_go_on;
}

void Scheduler::add_load(const AdapterNeeds& needs) {
  const auto list = [](std::span<const PageIndex> pages) { return std::vector<PageIndex>(pages.begin(), pages.end()); };
  const AdapterCache& adapters = memory_.adapters();
  AdapterLoad& load = step_.loads.emplace_back(AdapterLoad{needs.adapter, list(adapters.pages_of(needs.adapter))});
  for (const SharedImage& image : needs.shared) load.shared.push_back({image.id, list(adapters.pages_of_shared(image.id))});
  totals_.adapter_pages_loaded += adapters.pages_taken(needs.adapter);
  ++totals_.adapter_loads;
}

void Scheduler::charge_load(const SequenceRequest& request) {
  if (request.adapter == kNoAdapter) return;
  const std::uint32_t page_count = memory_.adapters().settle_load(request.adapter);
  if (page_count == 0) return;
  policy_.add_charge({.id = request.id, .client = request.client, .adapter = request.adapter, .adapter_pages = page_count});
}

Holdings Scheduler::no_holdings(const SequenceRequest& request) {
  return {.adapter = {},
          .prefix = memory_.prefixes().begin(domain_of(request)),
          .own = memory_.empty_list({PageUse::sequence, request.tenant, request.id.value})};
}

void Scheduler::release(Sequence& sequence) {
  if (UncommittedPlan* const plan = uncommitted_plan_of(sequence)) {
    plan->kept.push_back(std::exchange(sequence.holdings, no_holdings(sequence.request)));
  } else {
    sequence.holdings.give_back();
  }
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

// One page more than it holds, if it can still grow; until its adapter is resident, also the pages of its first tokens.
std::uint32_t Scheduler::pages_to_promise(const Sequence& sequence) const {
  const std::uint32_t held = sequence.holdings.page_count();
  const std::uint32_t worst = worst_pages(sequence);
  if (memory_.adapters().is_resident(sequence.request.adapter)) return std::min(worst - held, 1u);
  const std::int32_t first = std::min(sequence.remaining(), options_.step_tokens_max);
  const std::uint32_t wanted = std::min(pages_for(sequence.planned + first) + 1, worst);
  return wanted > held ? wanted - held : 0;  // a reserved sequence holds more already
}

std::uint32_t pages_in_all(const AdapterNeeds& needs) {
  std::uint32_t count = needs.page_count;
  for (const SharedImage& image : needs.shared) count += image.page_count;
  return count;
}

std::int64_t tokens_that_fit(const SchedulerOptions& options, std::uint32_t adapter_page_count, std::uint32_t pinned_page_count) {
  const std::uint64_t images = std::uint64_t{adapter_page_count} + pinned_page_count;
  const std::uint32_t separate = options.adapter_pages_separate;
  if (separate > 0) return images > separate ? 0 : std::int64_t{options.page_count - separate} * options.page_tokens;
  if (images >= options.page_count) return 0;
  return (std::int64_t{options.page_count} - static_cast<std::int64_t>(images)) * options.page_tokens;
}

}  // namespace slora
