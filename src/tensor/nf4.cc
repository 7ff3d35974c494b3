#include "tensor/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace slora {
namespace {

// Quantiles of the normal distribution, rounded to fp32 as bitsandbytes has them.
constexpr std::array<float, 16> kFractions = {-1.0f,
                                              -0.6961928009986877f,
                                              -0.5250730514526367f,
                                              -0.39491748809814453f,
                                              -0.28444138169288635f,
                                              -0.18477343022823334f,
                                              -0.09105003625154495f,
                                              0.0f,
                                              0.07958029955625534f,
                                              0.16093020141124725f,
                                              0.24611230194568634f,
                                              0.33791524171829224f,
                                              0.44070982933044434f,
                                              0.5626170039176941f,
                                              0.7229568362236023f,
                                              1.0f};
constexpr float kMagnitudeMin = 1e-38f;  // of a block: the reciprocal of a smaller one is infinite

// The nearest fraction; of two that are as near, the lower one.
float nearest(float value) {
  std::size_t index = 0;
  for (std::size_t i = 0; i + 1 < kFractions.size(); ++i) index += value > (kFractions[i] + kFractions[i + 1]) / 2 ? 1 : 0;
  return kFractions[index];
}

void round_block(std::span<float> block) {
  float magnitude = 0;
  for (const float value : block) magnitude = std::max(magnitude, std::abs(value));
  const float inverse = 1.0f / std::max(magnitude, kMagnitudeMin);
  for (float& value : block) value = nearest(std::clamp(value * inverse, -1.0f, 1.0f)) * magnitude;
}

}  // namespace

std::span<const float, 16> nf4_fractions() { return kFractions; }

void round_to_nf4(std::span<float> numbers) {
  constexpr auto kBlock = static_cast<std::size_t>(kNf4BlockElements);
  for (std::size_t begin = 0; begin < numbers.size(); begin += kBlock)
    round_block(numbers.subspan(begin, std::min(kBlock, numbers.size() - begin)));
}

}  // namespace slora
