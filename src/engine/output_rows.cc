#include "engine/output_rows.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

constexpr auto kMaskWait = std::chrono::milliseconds(2);  // of all rows of a step together

}  // namespace

void OutputRows::prepare(const StepPlan& plan, SequencesOfSpans sequences) {
  sample_rows_.clear();
  score_rows_.clear();
  masked_.clear();
  masks_.clear();
  std::size_t counts_max = 0;
  for (const LiveSequence* const sequence : sequences) counts_max += sequence->counts_max();
  sample_rows_.reserve_counts(counts_max);
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    LiveSequence& sequence = *sequences[i];
    if (span.output_row >= 0) {
      check(std::cmp_equal(span.output_row, sample_rows_.size()), "expected output rows in the order of the spans");
      if (sequence.mask() != nullptr) {
        masked_.push_back({sample_rows_.size(), &sequence});
        masks_.push_back(sequence.mask().get());
      }
      sample_rows_.add(sequence.sample_source());
      sequence.note_submitted(span.output_row);
    }
    for (std::int32_t k = 0; k < span.scored_count; ++k) score_rows_.push_back(sequence.score_row(span.scored_begin + k));
  }
  samples_ = sample_rows_.batch();
  samples_.masks = {};
  scores_ = score_rows_;
}

void OutputRows::take_masks(MaskThreads& threads) {
  if (masked_.empty()) return;
  threads.wait(masks_, kMaskWait);
  for (const MaskedRow& masked : masked_) {
    const TokenMask& mask = *masked.sequence->mask();
    if (mask.state() == TokenMask::State::known) {
      std::ranges::copy(mask.words(), sample_rows_.mask_of(masked.row).begin());
    } else {
      masked.sequence->note_missing_mask();
    }
  }
  samples_.masks = sample_rows_.batch().masks;
}

}  // namespace slora
