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

// Applies bias, then repetition, presence and frequency penalties, then bans, as vLLM and Hugging Face define them. logits [vocab].
void adjust_logits(std::span<float> logits, const SampleView& view);

// The random number of (seed, choice, position), uniform in [0, 1): a hash, so it is the same on every machine and independent of earlier
// draws.
double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position);

// Rows below this temperature are greedy.
inline constexpr float kGreedyTemperature = 1e-5f;

}  // namespace slora::reference
