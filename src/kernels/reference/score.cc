#include "kernels/reference/score.h"

#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/logprobs.h"

namespace slora::reference {

void score(std::span<TokenResult> out, Tensor logits, std::span<const ScoreRow> rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::span<float> row = logits_of(logits, static_cast<std::int64_t>(i), rows[i]);
    const TokenId token = rows[i].token;
    out[i] = {};
    out[i].id = token;
    if (!make_logits_finite(row)) continue;
    const double normaliser = log_sum_exp(row);
    out[i].logprob = logprob_of(token, row, normaliser);
    out[i].rank = rank_of(token, row);
    set_most_likely(out[i], row, normaliser, rows[i].logprob_count);
  }
}

}  // namespace slora::reference
