#pragma once
#include <cstdint>
#include <span>

#include "ops/sampling.h"

namespace slora::reference {

// Makes every logit finite or -inf: replaces +inf by the largest finite number. Returns false, for a row that gives no token, if a logit
// was NaN or none was finite.
bool make_logits_finite(std::span<float> logits);

// Whether adjust_logits() would change anything.
[[nodiscard]] bool adjusts_logits(const SampleView& view);

// Applies bias, then repetition, presence and frequency penalties, then bans, as vLLM and Hugging Face define them, and last the mask.
// logits [vocab].
void adjust_logits(std::span<float> logits, const SampleView& view);
// The same without the mask.
void adjust_before_mask(std::span<float> logits, const SampleView& view);

// The token that is drawn when no token that the mask allows is left after the adjustments: of those allowed, the first in the order (logit
// descending, token ascending); -1 if none is. `raw` are the logits before any adjustment.
[[nodiscard]] TokenId last_allowed_token(std::span<const float> raw, std::span<const std::uint32_t> mask);

// The random number of (seed, choice, position), uniform in [0, 1): a hash, so it is the same on every machine and independent of earlier
// draws.
double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position);

// Rows below this temperature are greedy.
inline constexpr float kGreedyTemperature = 1e-5f;

}  // namespace slora::reference
