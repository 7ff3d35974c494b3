#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// cap * tanh(x / cap) of each lane, as cap * (1 - 2 / (1 + exp(2 x / cap))): off by a few units in the last place of the cap.
template <class Isa>
[[gnu::always_inline]] inline Floats soft_capped(Floats x, float cap) {
  const Floats exponent = x * (2 * kLog2E / cap);
  return cap - 2 * cap / (1.0f + Isa::exp2(exponent > 126.0f ? broadcast(126.0f) : exponent));
}

// x [count] = factor * x, and then, with a cap above 0, cap * tanh(x / cap), where -infinity stays.
template <class Isa>
void rescale(float* x, std::int64_t count, float factor, float cap) {
  const auto rescaled = [&](Floats value) {
    const Floats scaled = value * factor;
    if (cap <= 0) return scaled;
    return scaled == broadcast(-__builtin_inff()) ? scaled : soft_capped<Isa>(scaled, cap);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, rescaled(load(x + i)));
  if (i < count) store_head(x + i, rescaled(load_head(x + i, count - i)), count - i);
}

}  // namespace slora::cpu
