#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/live_sequence.h"
#include "engine/model_shards.h"
#include "scheduler/step_plan.h"

namespace slora {

// The rows of a step whose logits are read: from the plan's output rows a token is drawn, from the others the likelihood of a prompt token
// is taken. Owned by the engine's loop, used on its thread; its buffers are reused from step to step.
class OutputRows {
 public:
  // The sequence of each span of the plan. [plan.spans]
  using SequencesOfSpans = std::span<LiveSequence* const>;

  // Collects how each row is sampled or scored. Borrows from the sequences until compute() has returned.
  void prepare(const StepPlan& plan, SequencesOfSpans sequences);
  // Computes logits and results, as many rows at a time as the model's buffer of logits holds; `on_block` is called after each block.
  void compute(ModelShards& model, const ForwardBatch& batch, BatchBuilder& builder, const std::function<void()>& on_block);

  // Moves the prompt's log-probabilities to the sequences that they belong to.
  void move_scores_to(SequencesOfSpans sequences, const StepPlan& plan);
  // The token that was drawn from an output row of the plan: without an id when the row had no finite logit.
  [[nodiscard]] const Token& token(std::int32_t row) const { return tokens_[static_cast<std::size_t>(row)]; }
  // Moves it out.
  [[nodiscard]] Token take_token(std::int32_t row);
  // Gives back the memory of a token that take_token() returned, for a later step: a step allocates nothing when its consumer does so.
  void recycle(Token& token);

 private:
  void resize_tokens();
  // Whether the most likely tokens of this row are wanted.
  [[nodiscard]] bool draws_top(std::size_t row) const { return sample_rows_[row].params->logprob_count > 0; }
  void take_spare(Token& token);

  std::vector<SampleRow> sample_rows_;  // [plan.output_row_count]
  std::vector<Token> tokens_;           // [plan.output_row_count]
  std::vector<ScoreRow> score_rows_;    // [rows that score prompts] in the order of the plan's spans
  std::vector<PromptLogprob> scores_;   // [rows that score prompts]
  std::vector<std::vector<TokenLogprob>> spare_tops_;
};

}  // namespace slora
