#include "kernels/cpu/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace slora::cpu {

void CrossEntropy::run(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) {
  const auto cols = static_cast<std::size_t>(logits.cols), blocks = weight_block_count(cols);
  auto* scratch = scratch_.take<double>(blocks * static_cast<std::size_t>(pool_.thread_count()));
  pool_.parallel_for(logits.rows, [&](std::int64_t r, int worker) {
    const auto index = static_cast<std::size_t>(r);
    losses[index] = run_row({logits.row<float>(r), cols}, labels[index], scratch + blocks * static_cast<std::size_t>(worker));
  });
}

LabelLoss CrossEntropy::run_row(std::span<float> logits, const LabelRow& label, double* block_sums) const {
  const Peak peak = kernels_.find_peak(logits.data(), std::ssize(logits));
  if (!peak.is_finite || !std::isfinite(peak.value)) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    std::ranges::fill(logits, kNan);
    return {.loss = kNan, .is_most_likely = false};
  }
  const auto at = static_cast<std::size_t>(label.token);
  const double logit = logits[at];
  const double total = kernels_.exp_weights(logits.data(), block_sums, logits.data(), std::ssize(logits), peak.value, 1.0f);
  const double normaliser = static_cast<double>(peak.value) + std::log(total);
  kernels_.rescale(logits.data(), std::ssize(logits), static_cast<float>(label.weight / total), 0);
  logits[at] = static_cast<float>(label.weight * std::expm1(logit - normaliser));
  return {.loss = -static_cast<float>(logit - normaliser), .is_most_likely = peak.index == label.token};
}

}  // namespace slora::cpu
