#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {

Scheduler::Scheduler(const SchedulerOptions& options, std::unique_ptr<Policy> policy)
    : options_(options),
      policy_(std::move(policy)),
      memory_(options.page_count, options.page_tokens, options.costs, options.prefix_hash),
      budget_(memory_) {
  check(policy_ != nullptr, "a policy");
  check(options_.page_tokens > 0 && options_.step_tokens_max > 0 && options_.running_max > 0, "room for one token");
  check(options_.depth == 1 || options_.depth == 2, "one or two uncommitted plans");
}

Scheduler::~Scheduler() = default;

Status Scheduler::add(SequenceRequest request) {
  check(!request.prompt.empty() && request.output_tokens_max > 0, "a prompt and room for an answer");
  check((request.adapter == kNoAdapter) == (request.adapter_page_count == 0), "an adapter has pages, the base model has none");
  check(find(request.id) == nullptr, "an id is used once");
  const std::size_t prompt_count = request.prompt.size();
  const std::int64_t capacity = tokens_that_fit(options_, request.adapter_page_count);
  if (static_cast<std::int64_t>(prompt_count) + request.output_tokens_max > capacity) {
    return error("never_fits", "The prompt's {} tokens and {} tokens of output exceed the {} tokens that fit beside the adapter.",
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
  line_.add(*sequence);
  sequences_.emplace(sequence->request.id, std::move(sequence));
  return {};
}

void Scheduler::cancel(SequenceId id) {
  if (Sequence* const sequence = find(id)) end(*sequence, EndReason::cancelled);
}

void Scheduler::schedule(StepPlan& out, Timestamp now) {
  check(uncommitted_.size() < static_cast<std::size_t>(options_.depth), "a plan is committed before too many are made");
  out.clear();
  order(now);
  admit_running();
  admit_waiting();
  prefetch();
  plan(out);
}

// The waiting line, without those that the policy gives up.
void Scheduler::order(Timestamp now) {
  step_.chosen.clear();
  step_.loads.clear();
  step_.tried_count = 0;
  step_.is_short_of_pages = false;
  line_.order(*policy_, now, step_.line, step_.given_up);
  for (Sequence* const sequence : step_.given_up) end(*sequence, EndReason::given_up);
}

// Each running sequence gets its next tokens, oldest first; if there are no pages for them, the youngest is preempted.
void Scheduler::admit_running() {
  step_.prompt_tokens_left = options_.step_tokens_max;
  std::size_t resident_count = 0;
  for (const Sequence* const sequence : running_) {
    if (!memory_.adapters().is_resident(sequence->request.adapter)) continue;
    if (++resident_count <= slot_count() && sequence->remaining() == 1) --step_.prompt_tokens_left;
  }
  resident_count = 0;
  for (std::size_t i = 0; i < running_.size(); ++i) {  // preemption shortens the list, always behind i
    Sequence& sequence = *running_[i];
    // Images that land may make more ready than there are slots: then the youngest pause.
    if (memory_.adapters().is_resident(sequence.request.adapter) && ++resident_count > slot_count()) break;
    const std::int32_t remaining = sequence.remaining();
    const std::int32_t wanted = remaining == 1 ? 1 : std::min(remaining, step_.prompt_tokens_left);
    if (wanted == 0 || !memory_.adapters().is_resident(sequence.request.adapter)) continue;
    const std::int32_t token_count = grow(sequence, wanted);
    if (remaining > 1) step_.prompt_tokens_left -= token_count;
    if (token_count > 0) step_.chosen.push_back({&sequence, token_count});
  }
}

// Preempted sequences first, then the queue in the policy's order, up to the first that doesn't fit.
void Scheduler::admit_waiting() {
  if (step_.is_short_of_pages) return;
  const std::size_t slots = slot_count();
  std::size_t loading_count = loading_sequence_count();
  for (; step_.tried_count < step_.line.size(); ++step_.tried_count) {
    if (running_.size() - loading_count >= slots || loading_count >= slots || step_.prompt_tokens_left == 0) return;
    Sequence& next = *step_.line[step_.tried_count];
    if (try_admit(next)) {
      if (!memory_.adapters().is_resident(next.request.adapter)) ++loading_count;
      continue;
    }
    step_.is_short_of_pages = true;
    return;
  }
}

// Adapters of the next in line come into pages that are free or cheap to lose, and promised to nobody.
void Scheduler::prefetch() {
  AdapterCache& adapters = memory_.adapters();
  const std::size_t count = step_.is_short_of_pages ? 1 : kPrefetchSequenceCount;  // nobody takes pages before the head of the line
  const std::size_t end = std::min(step_.line.size(), step_.tried_count + count);
  for (std::size_t i = step_.tried_count; i < end; ++i) {
    const Sequence& sequence = *step_.line[i];
    const AdapterId adapter = sequence.request.adapter;
    adapters.touch(adapter);
    if (adapter == kNoAdapter || adapters.state(adapter) != AdapterState::absent) continue;
    const std::uint32_t page_count = sequence.request.adapter_page_count;
    PageList pages = memory_.empty_list(adapters.owner_of(adapter));
    if (budget_.unpromised() < page_count) return;
    if (!memory_.try_take_below(pages, page_count, adapters.value_of(page_count))) return;
    begin_load(sequence, std::move(pages));
  }
}

// Writes down what was decided.
void Scheduler::plan(StepPlan& out) {
  out.index = next_plan_;
  out.loads.swap(step_.loads);
  if (step_.chosen.empty()) return;
  std::size_t pages_max = 0;  // that these tables can come to: they grow for many steps, the room at once
  for (const Choice& choice : step_.chosen) pages_max += worst_pages(*choice.sequence);
  out.pages.reserve(pages_max);
  for (const Choice& choice : step_.chosen) {
    Sequence& sequence = *choice.sequence;
    const std::int32_t end = sequence.planned + choice.token_count;
    const std::span<const PageIndex> prefix = sequence.holdings.prefix.pages();
    const std::span<const PageIndex> own = sequence.holdings.own.pages();
    const std::uint32_t page_count = pages_for(end);
    PlannedSpan span{.sequence = sequence.request.id,
                     .adapter = sequence.request.adapter,
                     .position_begin = sequence.planned,
                     .token_begin = static_cast<std::int32_t>(out.tokens.size()),
                     .token_count = choice.token_count,
                     .page_begin = static_cast<std::int32_t>(out.pages.size()),
                     .page_count = static_cast<std::int32_t>(page_count),
                     .output_row = -1};
    out.pages.insert(out.pages.end(), prefix.begin(), prefix.end());
    out.pages.insert(out.pages.end(), own.begin(), own.begin() + (page_count - sequence.holdings.prefix.size()));
    for (std::int32_t position = sequence.planned; position < end; ++position) {
      const bool known = position < sequence.known_count();
      out.tokens.push_back(known ? InputToken{.value = sequence.tokens[static_cast<std::size_t>(position)]}
                                 : InputToken{.previous_row = sequence.pending_row});
    }
    if (choice.token_count == sequence.remaining()) {
      span.output_row = out.output_row_count++;
      sequence.pending_row = span.output_row;
      ++sequence.pending_count;
    }
    if (sequence.request.prefix_use == PrefixUse::write_only) {
      const std::int32_t scored_end = std::min(end, sequence.prompt_count - 1);  // no prompt token is behind the last one
      span.scored_begin = std::max(span.position_begin, sequence.scored);        // what is computed again was scored before
      span.scored_count = std::max(scored_end - span.scored_begin, 0);
      sequence.scored = std::max(scored_end, sequence.scored);
    }
    sequence.planned = end;
    sequence.last_plan = out.index;
    out.spans.push_back(span);
  }
  uncommitted_.push_back({.index = next_plan_++, .kept = {}});
}

void Scheduler::commit(const StepPlan& plan, const StepResult& result, std::vector<SequenceEnd>& ended) {
  if (!plan.empty()) {
    check(!uncommitted_.empty() && uncommitted_.front().index == plan.index, "plans are committed in order");
    check(std::ssize(result.rows) == plan.output_row_count, "a result for every row of the plan");
    uncommitted_.erase(uncommitted_.begin());  // what was kept for this plan goes back
    for (const PlannedSpan& span : plan.spans)
      if (Sequence* const sequence = find(span.sequence)) settle(*sequence, span, result);
  }
  take_ended(ended);
}

// Takes over what a committed plan brought one sequence. A sequence that was preempted meanwhile keeps the token, not the pages.
void Scheduler::settle(Sequence& sequence, const PlannedSpan& span, const StepResult& result) {
  const bool is_running = sequence.state == SequenceState::running;
  RowOutcome outcome = RowOutcome::goes_on;
  if (span.output_row >= 0) {
    const RowResult& row = result.rows[static_cast<std::size_t>(span.output_row)];
    outcome = row.outcome;
    --sequence.pending_count;
    if (outcome != RowOutcome::failed) sequence.tokens.push_back(row.token);
  }
  if (outcome == RowOutcome::failed) {
    sequence.holdings.prefix.distrust();
    end(sequence, EndReason::failed);
    return;
  }
  if (is_running) store_full_pages(sequence, span.position_begin + span.token_count);
  if (outcome == RowOutcome::stop)
    end(sequence, EndReason::stop);
  else if (sequence.known_count() == sequence.tokens_max())
    end(sequence, EndReason::length);
}

// Pages that were filled become cached prefixes.
void Scheduler::store_full_pages(Sequence& sequence, std::int32_t computed_count) {
  if (memory_.adapters().is_retired(sequence.request.adapter)) return;
  Holdings& holdings = sequence.holdings;
  const auto page_tokens = static_cast<std::size_t>(options_.page_tokens);
  const std::size_t full_count = static_cast<std::size_t>(computed_count) / page_tokens;
  while (holdings.prefix.size() < full_count) {
    const std::span<const TokenId> tokens = std::span(sequence.tokens).subspan(holdings.prefix.size() * page_tokens, page_tokens);
    if (memory_.prefixes().try_extend(holdings.prefix, tokens, holdings.own)) continue;
    UncommittedPlan* const plan = uncommitted_plan_of(sequence);
    if (plan == nullptr) {
      holdings.own.drop_first();
    } else {
      plan->kept.push_back({.adapter = {}, .prefix = {}, .own = holdings.own.split_first()});
    }
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
  const SequenceId id = sequence.request.id;
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
  memory_.adapters().failed(adapter);
}

void Scheduler::retire_adapter(AdapterId adapter) { memory_.adapters().retire(adapter); }

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
  stats.pages_evictable = memory_.available() - pool.free_count();
  return stats;
}

std::size_t Scheduler::loading_sequence_count() const {
  const auto is_loading = [&](const Sequence* sequence) { return !memory_.adapters().is_resident(sequence->request.adapter); };
  return static_cast<std::size_t>(std::ranges::count_if(running_, is_loading));
}

void Scheduler::clear_caches() {
  check(sequences_.empty() && uncommitted_.empty(), "every sequence has ended");
  memory_.evict_all();
}

Sequence* Scheduler::find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

}  // namespace slora
