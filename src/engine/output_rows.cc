#include "engine/output_rows.h"

#include <utility>

#include "base/check.h"

namespace slora {

void OutputRows::prepare(const StepPlan& plan, SequencesOfSpans sequences) {
  sample_rows_.clear();
  score_rows_.clear();
  std::size_t counts_max = 0;
  for (const LiveSequence* const sequence : sequences) counts_max += sequence->counts_max();
  sample_rows_.reserve_counts(counts_max);
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    LiveSequence& sequence = *sequences[i];
    if (span.output_row >= 0) {
      check(std::cmp_equal(span.output_row, sample_rows_.size()), "expected output rows in the order of the spans");
      sample_rows_.add(sequence.sample_source());
      sequence.note_submitted(span.output_row);
    }
    for (std::int32_t k = 0; k < span.scored_count; ++k) score_rows_.push_back(sequence.score_row(span.scored_begin + k));
  }
  samples_ = sample_rows_.batch();
  scores_ = score_rows_;
}

}  // namespace slora
