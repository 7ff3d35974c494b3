#include "kernels/cpu/route.h"

#include "kernels/reference/route.h"

namespace slora::cpu {

void Route::run(const ExpertRows& out, Tensor scores, const RouteParams& params) {
  const auto rows = static_cast<std::size_t>(scores.rows), count = static_cast<std::size_t>(params.chosen_count);
  const auto experts = static_cast<std::size_t>(out.expert_count);
  chosen_.resize(rows * count);
  shares_.resize(rows * (count + 1));
  // exp() costs about as much as ten numbers that are read.
  pool_.parallel_rows(scores.rows, 10 * scores.cols, [&](std::int64_t t) {
    auto* const row = scores.row<float>(t);
    const auto index = static_cast<std::size_t>(t);
    const auto shares = std::span(shares_).subspan(index * (count + 1), count + 1);
    reference::choose_experts(std::span(chosen_).subspan(index * count, count), shares.first(count), {row, experts},
                              params.normalises_shares);
    shares.back() = params.has_shared_expert ? reference::share_of_shared_expert(row[experts]) : 0.0f;
  });
  reference::group_rows(out, chosen_, shares_, params);
}

}  // namespace slora::cpu
