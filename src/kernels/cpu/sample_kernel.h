#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class SampleKernel {
 public:
  static float maximum(const float* values, std::int64_t count) {
    Floats highest = broadcast(-__builtin_inff());
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) highest = larger(highest, load(values + i));
    float result = Isa::maximum(highest);
    for (; i < count; ++i) result = values[i] > result ? values[i] : result;
    return result;
  }

  // Indices of values that are at least `bound`, ascending; most stretches hold none and are passed over 64 at a time.
  static std::int64_t find_at_least(std::int32_t* out, std::int64_t out_max, const float* values, std::int64_t count, float bound) {
    constexpr std::int64_t kStretch = 4 * kLanes;
    std::int64_t found = 0;
    for (std::int64_t begin = 0; begin < count; begin += kStretch) {
      const std::int64_t end = least(count, begin + kStretch);
      if (end - begin == kStretch) {
        const float* at = values + begin;
        const Floats highest = larger(larger(load(at), load(at + kLanes)), larger(load(at + 2 * kLanes), load(at + 3 * kLanes)));
        if (Isa::maximum(highest) < bound) continue;
      }
      for (std::int64_t i = begin; i < end; ++i) {
        if (values[i] < bound) continue;
        if (found == out_max) return out_max + 1;
        out[found++] = static_cast<std::int32_t>(i);
      }
    }
    return found;
  }

  // Sums stay in fp32 for a block of 1,024 and go on in double.
  static double exp_weights(float* out, const float* logits, std::int64_t count, float highest, float inverse_temperature) {
    constexpr std::int64_t kBlock = 1024;
    double total = 0;
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
      const std::int64_t end = least(count, begin + kBlock);
      Floats sum = {};
      std::int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        const Floats weight = weigh(load(logits + i), highest, inverse_temperature);
        store(out + i, weight);
        sum += weight;
      }
      if (i < end) {
        const Floats weight = weigh(load_head(logits + i, end - i), highest, inverse_temperature);
        store_head(out + i, weight, end - i);
        for (std::int64_t lane = 0; lane < end - i; ++lane) total += static_cast<double>(out[i + lane]);
      }
      total += static_cast<double>(Isa::sum(sum));
    }
    return total;
  }

 private:
  [[gnu::always_inline]] static Floats weigh(Floats logits, float highest, float inverse_temperature) {
    const Floats x = (logits - highest) * (inverse_temperature * kLog2E);
    return exp2<Isa>(x > 0.0f ? Floats{} : x);  // lanes beyond the row may hold anything
  }
};

}  // namespace slora::cpu
