// What must hold between any two calls of the scheduler, recomputed from scratch.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "scheduler/scheduler.h"

namespace slora {
namespace {

// Counts the references to each page.
struct PageReferences {
  explicit PageReferences(std::uint32_t page_count) : holders(page_count), pins(page_count) {}
  std::vector<std::uint32_t> holders;  // [page_count] lists, adapters or the free list that hold it
  std::vector<std::uint32_t> pins;     // [page_count] prefix pins that contain it
};

std::string count_holdings(PageReferences& references, const PagePool& pool, const Holdings& holdings) {
  for (const PageIndex page : holdings.own.pages()) {
    ++references.holders[page.value];
    if (pool.owner(page) != holdings.own.owner()) return fmt::format("page {}: its owner is not the one that lists it", page.value);
  }
  for (const PageIndex page : holdings.prefix.pages()) ++references.pins[page.value];
  return {};
}

}  // namespace

std::string Scheduler::check_invariants() const {
  const PagePool& pool = memory_.pool();
  PageReferences references(pool.page_count());
  for (const auto& [id, sequence] : sequences_)
    if (std::string wrong = check_sequence(*sequence); !wrong.empty()) return wrong;
  for (const auto& [id, sequence] : sequences_)
    if (std::string wrong = count_holdings(references, pool, sequence->holdings); !wrong.empty()) return wrong;
  for (const UncommittedPlan& plan : uncommitted_)
    for (const Holdings& holdings : plan.kept)
      if (std::string wrong = count_holdings(references, pool, holdings); !wrong.empty()) return wrong;

  if (std::string wrong = memory_.prefixes().check_invariants(references.pins); !wrong.empty()) return wrong;
  if (std::string wrong = memory_.adapters().check_invariants(references.holders); !wrong.empty()) return wrong;
  for (const PageIndex page : pool.free_pages()) ++references.holders[page.value];
  std::uint32_t prefix_count = 0;
  for (std::uint32_t page = 0; page < pool.page_count(); ++page) {
    const bool is_prefix = pool.owner(PageIndex{page}).use == PageUse::prefix;
    prefix_count += is_prefix ? 1 : 0;
    const std::uint32_t expected = is_prefix ? 0 : 1;
    if (references.holders[page] != expected)
      return fmt::format("page {}: held by {} instead of {}", page, references.holders[page], expected);
  }
  if (std::string wrong = memory_.check_regions(); !wrong.empty()) return wrong;
  if (prefix_count != pool.count(PageUse::prefix))
    return fmt::format("{} prefix pages counted, {} are", pool.count(PageUse::prefix), prefix_count);
  return check_counts();
}

std::string Scheduler::check_sequence(const Sequence& sequence) const {
  const std::uint64_t id = sequence.request.id.value;
  const Holdings& holdings = sequence.holdings;
  const bool is_running = std::ranges::find(running_, &sequence) != running_.end();
  if (is_running != (sequence.state == SequenceState::running))
    return fmt::format("sequence {}: its state and the list it is in disagree", id);
  if (!is_running) {
    const auto& place = sequence.state == SequenceState::preempted ? line_.preempted() : line_.queue();
    if (std::ranges::count(place, &sequence) != 1) return fmt::format("sequence {}: is not in the line exactly once", id);
    if (holdings.page_count() > 0 || holdings.adapter.adapter() != kNoAdapter) return fmt::format("sequence {}: waits and holds pages", id);
    if (std::string wrong = check_view(sequence); !wrong.empty()) return wrong;
    if (sequence.promise.count() > 0) return fmt::format("sequence {}: waits and is promised pages", id);
    return {};
  }
  if (holdings.adapter.adapter() != sequence.request.adapter) return fmt::format("sequence {}: runs without a pin on its adapter", id);
  if (holdings.prefix.size() > 0 && holdings.prefix.domain() != domain_of(sequence.request))
    return fmt::format("sequence {}: reads prefixes of another domain", id);
  const PageOwner owner{PageUse::sequence, sequence.request.tenant, id};
  if (!holdings.own.empty() && holdings.own.owner() != owner) return fmt::format("sequence {}: holds pages of another owner", id);
  if (holdings.page_count() < pages_for(sequence.planned)) return fmt::format("sequence {}: planned beyond its pages", id);
  if (holdings.page_count() > worst_pages(sequence)) return fmt::format("sequence {}: holds more than it can ever need", id);
  if (is_reserved(sequence) && holdings.page_count() != worst_pages(sequence)) return fmt::format("sequence {}: runs unreserved", id);
  if (sequence.promise.count() != pages_to_promise(sequence))
    return fmt::format("sequence {}: promised {} pages instead of {}", id, sequence.promise.count(), pages_to_promise(sequence));
  if (sequence.promise.count() > worst_pages(sequence) - holdings.page_count())
    return fmt::format("sequence {}: promised more than it can ever need", id);
  if (sequence.overtaken_count > 0) return fmt::format("sequence {}: runs and counts as overtaken", id);
  if (sequence.preemption_count > kPreemptionsMax) return fmt::format("sequence {}: preempted too often", id);
  if (sequence.is_suspended && sequence.pending_count > 0) return fmt::format("sequence {}: suspended, and waits for a token", id);
  if (sequence.pending_count > std::ssize(uncommitted_))
    return fmt::format("sequence {}: waits for a token that no uncommitted plan computes", id);
  return {};
}

// The line keeps what policies see of a sequence up to date incrementally; changes of adapters' states follow at the next step.
std::string Scheduler::check_view(const Sequence& sequence) const {
  const std::uint64_t id = sequence.request.id.value;
  const bool is_preempted = sequence.state == SequenceState::preempted;
  const auto place = is_preempted ? line_.preempted() : line_.queue();
  const auto views = is_preempted ? line_.preempted_views() : line_.queue_views();
  if (place.size() != views.size()) return "the line does not have one view for every sequence";
  const SequenceView& kept = views[static_cast<std::size_t>(std::ranges::find(place, &sequence) - place.begin())];
  const AdapterId adapter = sequence.request.adapter;
  const AdapterState state = adapter == kNoAdapter ? AdapterState::resident : memory_.adapters().state(adapter);
  const std::span<const AdapterId> changed = memory_.adapters().changed();
  const bool is_stale = std::ranges::find(changed, adapter) != changed.end();
  if (kept.id != sequence.request.id || kept.arrival != sequence.request.arrival)
    return fmt::format("sequence {}: its view is another's", id);
  if (kept.adapter_state != state && !is_stale) return fmt::format("sequence {}: its view has another adapter state", id);
  if (kept.preemption_count != sequence.preemption_count || kept.overtaken_count != sequence.overtaken_count)
    return fmt::format("sequence {}: its view counts something else", id);
  if (sequence.overtaken_count > options_.overtaken_max) return fmt::format("sequence {}: overtaken too often", id);
  if (is_preempted && sequence.overtaken_count > 0) return fmt::format("sequence {}: overtaken after it was preempted", id);
  return {};
}

std::string Scheduler::check_counts() const {
  const auto by_serial = [](const Sequence* a, const Sequence* b) { return a->serial < b->serial; };
  if (!std::ranges::is_sorted(running_, by_serial)) return "running sequences are not in the order of their age";
  if (running_.size() + line_.size() != sequences_.size()) return "a sequence is neither waiting nor running, or both";
  if (loading_sequence_count() > slot_count()) return "more sequences wait for an adapter than allowed";
  if (running_.size() > 2 * slot_count()) return "more sequences are admitted than allowed";
  if (line_.queue_size() > options_.waiting_max) return "more sequences wait than allowed";
  if (std::ssize(uncommitted_) > options_.depth) return "more plans are uncommitted than allowed";
  std::size_t queue_tokens = 0;
  for (const Sequence* const sequence : line_.queue()) queue_tokens += sequence->tokens.size();
  std::uint32_t promised = 0;
  for (const Sequence* const sequence : running_) promised += sequence->promise.count();
  if (promised != budget_.promised()) return fmt::format("{} pages counted as promised, {} are", budget_.promised(), promised);
  if (queue_tokens != line_.queue_tokens()) return fmt::format("{} waiting tokens counted, {} are", line_.queue_tokens(), queue_tokens);

  std::unordered_map<AdapterId, AdapterHoldCounts> holds;
  const auto count = [&](AdapterId adapter, AdapterInterest interest) {
    if (adapter != kNoAdapter) ++holds[adapter][static_cast<std::size_t>(interest)];
  };
  for (const auto& [id, sequence] : sequences_) {
    const bool awaits = sequence->state == SequenceState::preempted;
    count(sequence->request.adapter, awaits ? AdapterInterest::awaited : AdapterInterest::named);
    count(sequence->holdings.adapter.adapter(), AdapterInterest::pinned);
  }
  if (pages_pinned_ != pages_pinned_besides({}))
    return fmt::format("{} pages counted as pinned, {} are", pages_pinned_, pages_pinned_besides({}));
  for (const Pin& pin : pins_) {
    count(pin.adapter, pin.interest);
    if (memory_.adapters().is_retired(pin.adapter)) return fmt::format("adapter {}: pinned though it is retired", pin.adapter.value);
  }
  for (const UncommittedPlan& plan : uncommitted_)
    for (const Holdings& kept : plan.kept) count(kept.adapter.adapter(), AdapterInterest::pinned);
  return memory_.adapters().check_holds(holds);
}

}  // namespace slora
