#include "kernels/cpu/score.h"

#include <limits>

#include "kernels/reference/adjust_logits.h"

namespace slora::cpu {

void Score::run(std::span<TokenResult> out, Tensor logits, std::span<const ScoreRow> rows) {
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    score_row(out[index], logits_of(logits, i, rows[index]), rows[index], logprobs_[static_cast<std::size_t>(worker)]);
  });
}

void Score::score_row(TokenResult& out, std::span<float> logits, const ScoreRow& row, Logprobs& logprobs) const {
  out.id = row.token;
  out.logprob = 0;
  out.rank = out.top_count = 0;
  Peak peak = kernels_.find_peak(logits.data(), std::ssize(logits));
  if (!peak.is_finite) {
    if (!reference::make_logits_finite(logits)) return;
    peak = kernels_.find_peak(logits.data(), std::ssize(logits));
  }
  if (peak.value == -std::numeric_limits<float>::infinity()) return;
  logprobs.normalise(logits, peak.value);
  out.logprob = logprobs.of(row.token);
  out.rank = logprobs.rank_of(row.token);
  logprobs.find_most_likely(out, row.logprob_count);
}

}  // namespace slora::cpu
