#pragma once
#include <cstdint>
#include <span>

#include "ops/expert_rows.h"
#include "tensor/tensor.h"

namespace slora::reference {

// Experts of one row, 1 and up, the likeliest first, and their shares: the largest of softmax(scores), or these divided by their sum. Of
// experts that are equally likely the first comes first: torch.topk leaves that open. `scores` [experts] become their probabilities.
// Requires: as many experts and shares as the row is to have, and no fewer scores.
void choose_experts(std::span<std::int32_t> experts, std::span<float> shares, std::span<float> scores, bool normalises_shares);

// 1 / (1 + exp(-score)), the share of the shared expert.
[[nodiscard]] float share_of_shared_expert(float score);

// Sorts rows by expert. chosen [T, chosen_count] and shares [T, chosen_count + 1] of choose_experts, the last that of the shared expert.
void group_rows(const ExpertRows& out, std::span<const std::int32_t> chosen, std::span<const float> shares, const RouteParams& params);

}  // namespace slora::reference
