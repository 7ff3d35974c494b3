#include "kernels/reference/score.h"

#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/logprobs.h"

namespace slora::reference {

void score(std::span<PromptLogprob> out, Tensor logits, std::span<const ScoreRow> rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::span row(logits.row<float>(static_cast<std::int64_t>(i)), static_cast<std::size_t>(logits.cols));
    const TokenId token = rows[i].token;
    out[i] = {.token = {.id = token, .logprob = 0, .top = {}}, .rank = 0};
    if (!make_logits_finite(row)) continue;
    const double normaliser = log_sum_exp(row);
    out[i].token.logprob = logprob_of(token, row, normaliser);
    out[i].rank = rank_of(token, row);
    out[i].token.top = most_likely(row, normaliser, rows[i].logprob_count);
  }
}

}  // namespace slora::reference
