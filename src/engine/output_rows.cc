#include "engine/output_rows.h"

#include <algorithm>
#include <utility>

namespace slora {

void OutputRows::prepare(const StepPlan& plan, SequencesOfSpans sequences) {
  sample_rows_.resize(static_cast<std::size_t>(plan.output_row_count));
  score_rows_.clear();
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const PlannedSpan& span = plan.spans[i];
    const LiveSequence& sequence = *sequences[i];
    if (span.output_row >= 0) sample_rows_[static_cast<std::size_t>(span.output_row)] = sequence.sample_row();
    for (std::int32_t k = 0; k < span.scored_count; ++k) score_rows_.push_back(sequence.score_row(span.scored_begin + k));
  }
  resize_tokens();
  scores_.resize(score_rows_.size());
}

// A sequence gets another row when one before it starts or ends, or starts again: the memory for likely tokens moves with those that need
// it.
void OutputRows::resize_tokens() {
  spare_tops_.reserve(std::max(sample_rows_.size(), tokens_.size()));
  for (std::size_t row = 0; row < tokens_.size(); ++row) {
    if (row >= sample_rows_.size() || !draws_top(row)) recycle(tokens_[row]);
  }
  tokens_.resize(sample_rows_.size());
  for (std::size_t row = 0; row < tokens_.size(); ++row) {
    if (draws_top(row) && tokens_[row].top.capacity() == 0) take_spare(tokens_[row]);
  }
}

void OutputRows::take_spare(Token& token) {
  if (spare_tops_.empty()) return;
  token.top = std::move(spare_tops_.back());
  spare_tops_.pop_back();
}

void OutputRows::compute(ModelShards& model, const ForwardBatch& batch, BatchBuilder& builder, const std::function<void()>& on_block) {
  Ops& ops = model.ops();
  const auto block_rows = static_cast<std::size_t>(model.first_model().limits().output_rows_max);
  for (std::size_t begin = 0; begin < builder.output_row_count(); begin += block_rows) {
    const std::size_t end = std::min(begin + block_rows, builder.output_row_count());
    const std::size_t score_begin = std::clamp(sample_rows_.size(), begin, end);
    const std::size_t sample_count = score_begin - begin, score_count = end - score_begin;
    const Tensor logits = model.logits(batch, builder.output_block(begin, end - begin));
    if (sample_count > 0) {
      ops.sample(std::span(tokens_).subspan(begin, sample_count), logits, std::span(sample_rows_).subspan(begin, sample_count));
    }
    if (score_count > 0) {
      const std::size_t first = score_begin - sample_rows_.size();
      ops.score(std::span(scores_).subspan(first, score_count),
                logits.rows_from(static_cast<std::int64_t>(sample_count), static_cast<std::int64_t>(score_count)),
                std::span(score_rows_).subspan(first, score_count));
    }
    on_block();
  }
}

void OutputRows::move_scores_to(SequencesOfSpans sequences, const StepPlan& plan) {
  std::span<PromptLogprob> rest = scores_;
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    if (plan.spans[i].scored_count == 0) continue;
    const auto count = static_cast<std::size_t>(plan.spans[i].scored_count);
    sequences[i]->take_scores(plan.spans[i].scored_begin, rest.first(count));
    rest = rest.subspan(count);
  }
}

Token OutputRows::take_token(std::int32_t row) {
  Token& token = tokens_[static_cast<std::size_t>(row)];
  Token taken = std::move(token);
  if (taken.top.capacity() > 0) take_spare(token);
  return taken;
}

void OutputRows::recycle(Token& token) {
  if (token.top.capacity() > 0 && spare_tops_.size() < tokens_.size()) spare_tops_.push_back(std::move(token.top));
}

}  // namespace slora
