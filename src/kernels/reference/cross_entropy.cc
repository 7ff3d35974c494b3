#include "kernels/reference/cross_entropy.h"

#include <cmath>
#include <utility>

#include "kernels/reference/logprobs.h"

namespace slora::reference {

void cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) {
  for (std::size_t r = 0; r < labels.size(); ++r) {
    const std::span row(logits.row<float>(static_cast<std::int64_t>(r)), static_cast<std::size_t>(logits.cols));
    const auto [token, weight] = labels[r];
    const double normaliser = log_sum_exp(row);
    losses[r] = {.loss = -logprob_of(token, row, normaliser), .is_most_likely = rank_of(token, row) == 1};
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double share = std::exp(static_cast<double>(row[i]) - normaliser);
      row[i] = static_cast<float>(weight * (std::cmp_equal(i, token) ? share - 1 : share));
    }
  }
}

}  // namespace slora::reference
