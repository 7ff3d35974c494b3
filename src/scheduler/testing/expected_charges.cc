#include "scheduler/testing/expected_charges.h"

#include <fmt/format.h>

#include <algorithm>

namespace slora {

void ExpectedCharges::note_span(const PlannedSpan& span, const SequenceRequest& request) {
  Known& known = known_[request.id];
  known.client = request.client;
  known.adapter = request.adapter;
  const auto prompt_count = static_cast<std::int32_t>(request.prompt.size());
  Work work;
  const std::int32_t end = span.position_begin + span.token_count;
  known.computed.resize(std::max(known.computed.size(), static_cast<std::size_t>(end)));
  for (std::int32_t position = span.position_begin; position < end; ++position) {
    std::vector<bool>::reference is_computed = known.computed[static_cast<std::size_t>(position)];
    if (is_computed)
      ++work.recomputed_tokens;
    else if (position < prompt_count)
      ++work.prompt_tokens;
    is_computed = true;
  }
  if (work == Work{}) return;
  Work& sum = work_[request.id];
  sum.prompt_tokens += work.prompt_tokens;
  sum.recomputed_tokens += work.recomputed_tokens;
}

void ExpectedCharges::note_output(SequenceId id) { ++work_[id].output_tokens; }

void ExpectedCharges::note_load(AdapterId adapter, std::size_t pages_taken) {
  unpaid_pages_[adapter] = static_cast<std::int64_t>(pages_taken);
}

void ExpectedCharges::note_pinned(AdapterId adapter) { unpaid_pages_.erase(adapter); }

void ExpectedCharges::note_end(const SequenceEnd& end) { reported_.emplace(end.id, end.reason); }

std::string ExpectedCharges::compare(std::span<const ServiceCharge> charges) {
  std::map<SequenceId, Work> work;
  for (const ServiceCharge& charge : charges) {
    if (charge.prompt_tokens < 0 || charge.recomputed_tokens < 0 || charge.output_tokens < 0)
      return fmt::format("sequence {}: charged less than nothing", charge.id.value);
    if (charge.adapter_pages > 0) {
      const auto unpaid = unpaid_pages_.extract(charge.adapter);
      if (unpaid.empty() || unpaid.mapped() != charge.adapter_pages)
        return fmt::format("sequence {}: charged for {} pages of adapter {}, which nobody owed", charge.id.value, charge.adapter_pages,
                           charge.adapter.value);
    }
    if (charge.end && !charged_.emplace(charge.id, *charge.end).second)
      return fmt::format("sequence {}: its end is charged twice", charge.id.value);
    if (charge.prompt_tokens == 0 && charge.recomputed_tokens == 0 && charge.output_tokens == 0) continue;
    Work& sum = work[charge.id];
    sum.prompt_tokens += charge.prompt_tokens;
    sum.recomputed_tokens += charge.recomputed_tokens;
    sum.output_tokens += charge.output_tokens;
    const auto known = known_.find(charge.id);
    if (known == known_.end() || known->second.client != charge.client || known->second.adapter != charge.adapter)
      return fmt::format("sequence {}: its work is charged to somebody else", charge.id.value);
  }
  for (const auto& [id, expected] : work_) {
    if (unpaid_pages_.contains(known_.at(id).adapter))
      return fmt::format("sequence {}: runs with adapter {}, for whose load nobody was charged", id.value, known_.at(id).adapter.value);
    const Work found = work[id];
    if (found != expected) {
      return fmt::format("sequence {}: charged {} prompt, {} recomputed and {} output tokens instead of {}, {} and {}", id.value,
                         found.prompt_tokens, found.recomputed_tokens, found.output_tokens, expected.prompt_tokens,
                         expected.recomputed_tokens, expected.output_tokens);
    }
  }
  if (work.size() != work_.size()) return "somebody is charged for work that was not done";
  work_.clear();
  return {};
}

std::string ExpectedCharges::compare_ends() const {
  if (charged_ == reported_) return {};
  return fmt::format("{} ends were charged, {} reported, or their reasons differ", charged_.size(), reported_.size());
}

}  // namespace slora
