#include "kernels/reference/route.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace slora::reference {

void choose_experts(std::span<std::int32_t> experts, std::span<float> shares, std::span<float> scores, bool normalises_shares) {
  check(experts.size() == shares.size() && experts.size() <= scores.size(), "expected at least as many experts as a row is to have");
  const float highest = *std::ranges::max_element(scores);
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - highest);
    sum += score;
  }
  for (float& score : scores) score /= sum;

  float chosen_sum = 0;
  for (std::size_t place = 0; place < experts.size(); ++place) {
    const auto taken = experts.first(place);
    std::int32_t best = -1;
    for (std::int32_t expert = 0; std::cmp_less(expert, scores.size()); ++expert) {
      const bool is_better = best < 0 || scores[static_cast<std::size_t>(expert)] > scores[static_cast<std::size_t>(best)];
      if (is_better && std::ranges::find(taken, expert + 1) == taken.end()) best = expert;
    }
    experts[place] = best + 1;
    shares[place] = scores[static_cast<std::size_t>(best)];
    chosen_sum += shares[place];
  }
  if (!normalises_shares) return;
  for (float& share : shares) share /= chosen_sum;
}

float share_of_shared_expert(float score) { return 1 / (1 + std::exp(-score)); }

void group_rows(const ExpertRows& out, std::span<const std::int32_t> chosen, std::span<const float> shares, const RouteParams& params) {
  const auto chosen_count = static_cast<std::size_t>(params.chosen_count);
  const std::size_t row_count = chosen.size() / chosen_count;
  const auto begins = std::span(out.begins, static_cast<std::size_t>(out.expert_count) + 2);
  std::ranges::fill(begins, 0);
  begins[1] = params.has_shared_expert ? static_cast<std::int32_t>(row_count) : 0;
  for (const std::int32_t expert : chosen) ++begins[static_cast<std::size_t>(expert) + 1];
  for (std::size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];

  // While rows are placed, begins[e] is where the next row of expert e goes: at last where the next expert's begin.
  const auto place = [&](std::size_t expert, std::size_t row, float share) {
    const std::int32_t at = begins[expert]++;
    out.rows[at] = static_cast<std::int32_t>(row);
    out.shares[at] = share;
  };
  for (std::size_t row = 0; row < row_count; ++row) {
    const auto own_shares = shares.subspan(row * (chosen_count + 1), chosen_count + 1);
    if (params.has_shared_expert) place(0, row, own_shares[chosen_count]);
    for (std::size_t i = 0; i < chosen_count; ++i) place(static_cast<std::size_t>(chosen[row * chosen_count + i]), row, own_shares[i]);
  }
  std::shift_right(begins.begin(), begins.end(), 1);
  begins[0] = 0;
}

}  // namespace slora::reference
