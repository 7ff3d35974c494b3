#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/sample_rows.h"
#include "engine/live_sequence.h"
#include "engine/mask_threads.h"
#include "engine/step_arrays.h"
#include "ops/sampling.h"
#include "ops/token.h"
#include "scheduler/step_plan.h"

namespace slora {

// The rows of a step whose logits are read: from the plan's output rows a token is drawn, from the others, which come after them, the
// likelihood of a prompt token is taken. Owned by a step slot, used on the engine thread; its buffers are reused from step to step.
class OutputRows {
 public:
  // The sequence of each span of the plan. [plan.spans]
  using SequencesOfSpans = std::span<LiveSequence* const>;

  // Collects how each row is sampled or scored. Masks are lacking until take_masks().
  void prepare(const StepPlan& plan, SequencesOfSpans sequences);
  // Waits a moment for the masks of the rows, and copies those that have come. A row without the mask that it should have draws no token,
  // and its sequence is notified. Requires: no sequence has ended since prepare().
  void take_masks(MaskThreads& threads);

  [[nodiscard]] std::size_t size() const { return samples_.rows.size() + scores_.size(); }
  // Valid until the next prepare(), as the scores. `previous`: the results of the step before, in device memory.
  [[nodiscard]] SampleBatch samples(const TokenResult* previous) const {
    SampleBatch batch = samples_;
    batch.previous = previous;
    return batch;
  }
  [[nodiscard]] StepArray<ScoreRow> scores() const { return scores_; }
  // Adds rows up to this count, for a batch that was padded to it. Requires: take_masks() was called. Returns how many masks there are
  // space for now.
  std::size_t pad(std::size_t count) {
    const std::size_t mask_count = masked_.empty() ? 0 : padded_rows(masked_.size());
    sample_rows_.pad(count, masked_.empty() ? 0 : mask_count * masks_.front()->word_count());
    samples_ = sample_rows_.batch();
    return mask_count;
  }
  // Calls visit(array, kind) for every StepArray.
  template <class Visit>
  void visit_arrays(const Visit& visit) {
    visit(samples_.rows, ArrayKind::shaped);
    visit(scores_, ArrayKind::shaped);
    visit(samples_.counts, ArrayKind::list);
    visit(samples_.tokens, ArrayKind::list);
    visit(samples_.biases, ArrayKind::list);
    visit(samples_.masks, ArrayKind::shaped);
  }

 private:
  // A row that has a mask.
  struct MaskedRow {
    std::size_t row;
    LiveSequence* sequence;
  };

  SampleRows sample_rows_;            // [plan.output_row_count]
  std::vector<ScoreRow> score_rows_;  // [rows that score prompts] in the order of the plan's spans
  std::vector<MaskedRow> masked_;
  std::vector<TokenMask*> masks_;  // [masked_]
  SampleBatch samples_;
  StepArray<ScoreRow> scores_;
};

}  // namespace slora
