#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace slora {

// One input token of a step: a value, or (value -1) the token that output row `previous_row` of the previous plan will yield.
struct InputToken {
  TokenId value = -1;
  std::int32_t previous_row = -1;
};

// Consecutive tokens of one sequence computed in this step.
struct PlannedSpan {
  SequenceId sequence;
  AdapterId adapter;
  std::int32_t position_begin;  // of the first token
  std::int32_t token_begin;     // range in StepPlan::tokens
  std::int32_t token_count;
  std::int32_t page_begin;  // range in StepPlan::pages: the sequence's page table from position 0 on
  std::int32_t page_count;
  std::int32_t output_row;         // index in StepResult::rows, or -1 when the span ends before the last known token
  std::int32_t adapter_begin = 0;  // the position from which on `adapter` acts
  // Of a scored prompt: the positions whose logits give the log-probability of the next prompt token. Each is in exactly one plan.
  std::int32_t scored_begin = 0;
  std::int32_t scored_count = 0;
};

// The pages of a shared image, until the scheduler says that it left the pool.
struct SharedPages {
  AdapterId id;
  std::vector<PageIndex> pages;
};

// An adapter image to load into `pages`, which belong to it until the load has failed or the image is evicted, and the shared images that
// it uses. What of these is not written yet, or by a load that failed, has to be written before the adapter is used.
struct AdapterLoad {
  AdapterId adapter;
  std::vector<PageIndex> pages;
  std::vector<SharedPages> shared{};
};

// What one step does, as data: built by Scheduler::schedule and not changed until its commit. Buffers are reused from step to step.
struct StepPlan {
  std::uint64_t index = 0;  // counts plans; commits come in this order
  std::vector<PlannedSpan> spans;
  std::vector<InputToken> tokens;  // [sum of token_count]
  std::vector<PageIndex> pages;
  std::vector<AdapterLoad> loads;
  std::int32_t output_row_count = 0;

  [[nodiscard]] bool empty() const { return spans.empty(); }
  [[nodiscard]] std::span<const PageIndex> pages_of(const PlannedSpan& span) const {
    return std::span(pages).subspan(static_cast<std::size_t>(span.page_begin), static_cast<std::size_t>(span.page_count));
  }
  [[nodiscard]] std::span<const InputToken> tokens_of(const PlannedSpan& span) const {
    return std::span(tokens).subspan(static_cast<std::size_t>(span.token_begin), static_cast<std::size_t>(span.token_count));
  }
  void clear() {
    spans.clear();
    tokens.clear();
    pages.clear();
    loads.clear();
    output_row_count = 0;
  }
};

// `suspended`: how the sequence goes on is not known yet. It is in no plan until Scheduler::resume().
enum class RowOutcome : std::uint8_t { goes_on, stop, complete, failed, suspended };

// The result of a plan: one entry per output row.
struct RowResult {
  TokenId token = -1;  // with `suspended` -1: none was drawn, so the row's position will be computed again; with `failed` it is not read
  RowOutcome outcome = RowOutcome::goes_on;
};
struct StepResult {
  std::vector<RowResult> rows;
  Timestamp elapsed{};  // that the step alone took: not what it waited for the step before; 0: not measured
};

}  // namespace slora
