#include "kernels/cpu/score.h"

#include "kernels/cpu/logprobs.h"
#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/logprobs.h"

namespace slora::cpu {

void Score::run(std::span<PromptLogprob> out, Tensor logits, std::span<const ScoreRow> rows) {
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    score_row(out[index], {logits.row<float>(i), static_cast<std::size_t>(logits.cols)}, rows[index],
              rooms_[static_cast<std::size_t>(worker)]);
  });
}

void Score::score_row(PromptLogprob& out, std::span<float> logits, const ScoreRow& row, Room& room) const {
  out = {.token = row.token, .logprob = 0, .rank = 0, .top = {}};
  if (!reference::make_logits_orderly(logits)) return;
  room.weights.resize(logits.size());
  const double normaliser = log_sum_exp(kernels_, room.weights, logits);
  out.logprob = reference::logprob_of(row.token, logits, normaliser);
  out.rank = reference::rank_of(row.token, logits);
  find_most_likely(out.top, room.candidates, logits, normaliser, row.logprob_count);
}

}  // namespace slora::cpu
