// From the decisions of a step to its plan, and from the plan's result to its sequences.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "scheduler/scheduler.h"

namespace slora {

// Writes the decisions into the plan.
void Scheduler::plan(StepPlan& out) {
  out.index = next_plan_;
  out.loads.swap(step_.loads);
  if (step_.chosen.empty()) return;
  std::int64_t prompt_tokens = 0;
  std::size_t pages_max = 0;  // capacity for the largest these tables can become, so that later steps do not allocate
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
                     .output_row = -1,
                     .adapter_begin = sequence.request.adapter_begin};
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
    if (sequence.request.prompt_use == PromptUse::scored) {
      const std::int32_t scored_end = std::min(end, sequence.prompt_count - 1);  // the last prompt token has no next one
      span.scored_begin = std::max(span.position_begin, sequence.scored);        // tokens computed again are not scored again
      span.scored_count = std::max(scored_end - span.scored_begin, 0);
      sequence.scored = std::max(scored_end, sequence.scored);
    }
    prompt_tokens += charge_span(sequence, sequence.planned, end);
    sequence.planned = end;
    sequence.last_plan = out.index;
    out.spans.push_back(span);
  }
  uncommitted_.push_back({.index = next_plan_++, .prompt_tokens = prompt_tokens, .kept = {}});
}

// Returns how many of its tokens are of a prompt or computed again.
std::int64_t Scheduler::charge_span(Sequence& sequence, std::int32_t begin, std::int32_t end) {
  const SequenceRequest& request = sequence.request;
  const std::int32_t prompt_end = std::clamp(sequence.prompt_count, begin, end);  // of the prompt's part of the span
  const std::int32_t prompt_again = sequence.computed.add(begin, prompt_end);
  const std::int32_t prompt = prompt_end - begin - prompt_again;
  const std::int32_t recomputed = prompt_again + sequence.computed.add(prompt_end, end);
  if (recomputed == 0 && prompt == 0) return 0;
  policy_.add_charge(
      {.id = request.id, .client = request.client, .adapter = request.adapter, .prompt_tokens = prompt, .recomputed_tokens = recomputed});
  return std::int64_t{prompt} + recomputed;
}

void Scheduler::commit(const StepPlan& plan, const StepResult& result, std::vector<SequenceEnd>& ended) {
  if (!plan.empty()) {
    check(!uncommitted_.empty() && uncommitted_.front().index == plan.index, "expected plans to be committed in order");
    check(std::ssize(result.rows) == plan.output_row_count, "expected a result for every output row of the plan");
    if (result.elapsed > Timestamp{}) policy_.add_measured({uncommitted_.front().prompt_tokens, result.elapsed});
    uncommitted_.erase(uncommitted_.begin());  // gives back what was kept for this plan
    for (const PlannedSpan& span : plan.spans)
      if (Sequence* const sequence = find(span.sequence)) settle(*sequence, span, result);
  }
  take_ended(ended);
}

// Applies the result of a committed plan to one sequence. One that was preempted since then keeps the token, but has no pages.
void Scheduler::settle(Sequence& sequence, const PlannedSpan& span, const StepResult& result) {
  const bool is_running = sequence.state == SequenceState::running;
  RowResult row;
  bool lacks_token = false;
  if (span.output_row >= 0) {
    row = result.rows[static_cast<std::size_t>(span.output_row)];
    lacks_token = row.outcome == RowOutcome::suspended && row.token < 0;
    --sequence.pending_count;
    if (row.outcome != RowOutcome::failed && !lacks_token) {
      sequence.tokens.push_back(row.token);
      const SequenceRequest& request = sequence.request;
      policy_.add_charge({.id = request.id, .client = request.client, .adapter = request.adapter, .output_tokens = 1});
    }
  }
  if (row.outcome == RowOutcome::failed) {
    sequence.holdings.prefix.distrust();
    end(sequence, EndReason::failed);
    return;
  }
  // A position that is computed again is written again, so its page is not shared with others yet.
  const std::int32_t computed_end = span.position_begin + span.token_count - (lacks_token ? 1 : 0);
  if (is_running) store_full_pages(sequence, computed_end);
  if (row.outcome != RowOutcome::suspended) return apply(sequence, row.outcome);
  check(sequence.request.continuation == Continuation::known, "expected that only sequences whose tokens plans wait for are suspended");
  sequence.is_suspended = true;
  if (is_running)
    sequence.planned = computed_end;
  else
    line_.view_of(sequence) = make_view(sequence);  // it counted on a token
}

void Scheduler::apply(Sequence& sequence, RowOutcome outcome) {
  if (outcome == RowOutcome::stop)
    end(sequence, EndReason::stop);
  else if (outcome == RowOutcome::complete)
    end(sequence, EndReason::complete);
  else if (outcome == RowOutcome::failed)
    end(sequence, EndReason::failed);
  else if (sequence.known_count() == sequence.tokens_max())
    end(sequence, EndReason::length);
}

void Scheduler::resume(SequenceId id, RowOutcome outcome) {
  Sequence* const sequence = find(id);
  if (sequence == nullptr) return;
  check(sequence->is_suspended && outcome != RowOutcome::suspended, "expected the outcome of a sequence that is suspended");
  sequence->is_suspended = false;
  apply(*sequence, outcome);
}

// Turns pages that were filled into cached prefixes.
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

}  // namespace slora
