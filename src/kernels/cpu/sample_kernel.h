#pragma once
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class SampleKernel {
 public:
  // Four maxima and four marks, so that no element waits for the one before.
  static Peak find_peak(const float* values, std::int64_t count) {
    Peak peak{-__builtin_inff(), 0, true};
    std::int64_t best_begin = 0;
    for (std::int64_t begin = 0; begin < count; begin += kWeightBlock) {
      const std::int64_t end = least(count, begin + kWeightBlock);
      Floats highest[4];
      Ints strange[4] = {};
      for (Floats& lane : highest) lane = broadcast(-__builtin_inff());
      std::int64_t i = begin;
      for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
        for (int k = 0; k < 4; ++k) {
          const Floats value = load(values + i + k * kLanes);
          highest[k] = larger(value, highest[k]);  // a NaN leaves it as it is
          strange[k] |= value != value;
        }
      }
      float block_highest = Isa::maximum(larger(larger(highest[0], highest[1]), larger(highest[2], highest[3])));
      bool block_orderly = !any((strange[0] | strange[1]) | (strange[2] | strange[3]));
      for (; i < end; ++i) {
        block_highest = values[i] > block_highest ? values[i] : block_highest;
        block_orderly &= values[i] == values[i];
      }
      peak.is_orderly &= block_orderly;
      if (block_highest > peak.value) {
        peak.value = block_highest;
        best_begin = begin;
      }
    }
    peak.is_orderly &= peak.value < __builtin_inff();
    if (peak.value == -__builtin_inff()) return peak;
    for (peak.index = best_begin; values[peak.index] != peak.value;) ++peak.index;
    return peak;
  }

  static std::int64_t count_above(const float* values, std::int64_t count, float bound) {
    Ints above = {};
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) above -= load(values + i) > bound;  // true is -1
    std::int64_t total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += above[lane];
    for (; i < count; ++i) total += values[i] > bound ? 1 : 0;
    return total;
  }

  // Most stretches hold none and are passed over 64 at a time.
  static std::int64_t find_above(std::int32_t* out, const float* values, std::int64_t count, float bound) {
    constexpr std::int64_t kStretch = 4 * kLanes;
    std::int64_t found = 0;
    for (std::int64_t begin = 0; begin < count; begin += kStretch) {
      const std::int64_t end = least(count, begin + kStretch);
      if (end - begin == kStretch) {
        const float* at = values + begin;
        const Floats highest = larger(larger(load(at), load(at + kLanes)), larger(load(at + 2 * kLanes), load(at + 3 * kLanes)));
        if (!(Isa::maximum(highest) > bound)) continue;
      }
      for (std::int64_t i = begin; i < end; ++i) {
        if (values[i] > bound) out[found++] = static_cast<std::int32_t>(i);
      }
    }
    return found;
  }

  // Sums stay in fp32 for a block and go on in double.
  static double exp_weights(float* out, double* block_sums, const float* logits, std::int64_t count, float highest,
                            float inverse_temperature) {
    double total = 0;
    for (std::int64_t begin = 0; begin < count; begin += kWeightBlock) {
      const std::int64_t end = least(count, begin + kWeightBlock);
      Floats sum = {};
      std::int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        const Floats weight = weigh(load(logits + i), highest, inverse_temperature);
        store(out + i, weight);
        sum += weight;
      }
      double block_sum = 0;
      if (i < end) {
        store_head(out + i, weigh(load_head(logits + i, end - i), highest, inverse_temperature), end - i);
        for (; i < end; ++i) block_sum += static_cast<double>(out[i]);
      }
      block_sum += static_cast<double>(Isa::sum(sum));
      block_sums[begin / kWeightBlock] = block_sum;
      total += block_sum;
    }
    return total;
  }

  static Census take_census(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights, std::int64_t count,
                            const WeightRange& range) {
    if (inside_max > 0) return take_census_listing<Listing::inside>(above_sums, inside, inside_max, weights, count, range);
    return take_census_listing<Listing::nothing>(above_sums, inside, inside_max, weights, count, range);
  }

 private:
  enum class Listing { nothing, inside };

  // Without a branch on a weight: where the range begins and ends is in nobody's prediction.
  template <Listing listing>
  static Census take_census_listing(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights,
                                    std::int64_t count, const WeightRange& range) {
    const Floats low = broadcast(range.low), high = broadcast(range.high);
    Census census;
    std::int64_t found = 0;
    Ints above_count = {}, low_count = {};
    for (std::int64_t begin = 0; begin < count; begin += kWeightBlock) {
      const std::int64_t end = least(count, begin + kWeightBlock);
      Floats above_sum = {}, inside_sum = {};
      const auto add = [&](Floats weight, std::int64_t i) __attribute__((always_inline)) {
        above_sum += weight >= high ? weight : Floats{};
        above_count -= weight >= high;  // true is -1
        low_count -= weight >= low;
        inside_sum += ((weight >= low) & (weight < high)) ? weight : Floats{};
        if constexpr (listing == Listing::inside) {
          found += append_inside(inside + least(found, inside_max), static_cast<std::int32_t>(i), weight, low, high);
        }
      };
      std::int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) add(load(weights + i), i);
      if (i < end) add(load_head(weights + i, end - i), i);  // what is not there has no weight and is in no range
      const auto block_sum = static_cast<double>(Isa::sum(above_sum));
      above_sums[begin / kWeightBlock] = block_sum;
      census.above_sum += block_sum;
      census.inside_sum += static_cast<double>(Isa::sum(inside_sum));
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      census.above_count += above_count[lane];
      census.inside_count += low_count[lane] - above_count[lane];
    }
    return census;
  }

  [[gnu::always_inline]] static Floats weigh(Floats logits, float highest, float inverse_temperature) {
    const Floats x = (logits - highest) * (inverse_temperature * kLog2E);
    return exp2<Isa>(x > 0.0f ? Floats{} : x);  // lanes beyond the row may hold anything
  }

  [[gnu::always_inline]] static bool any(Ints marks) {
    std::uint64_t words[8];
    __builtin_memcpy(words, &marks, sizeof words);
    return ((words[0] | words[1]) | (words[2] | words[3]) | ((words[4] | words[5]) | (words[6] | words[7]))) != 0;
  }

  // Writes first + lane for each lane whose weight is inside, and then what it likes, 16 numbers at most. How many are inside.
  [[gnu::always_inline]] static std::int64_t append_inside(std::int32_t* out, std::int32_t first, Floats weight, Floats low, Floats high) {
    const Ints lanes = Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + first;
#if defined(__AVX512F__)
    const auto floats = __builtin_bit_cast(__m512, weight);
    const __mmask16 from_low = _mm512_cmp_ps_mask(floats, __builtin_bit_cast(__m512, low), _CMP_GE_OQ);
    const __mmask16 marks = _mm512_mask_cmp_ps_mask(from_low, floats, __builtin_bit_cast(__m512, high), _CMP_LT_OQ);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(marks, __builtin_bit_cast(__m512i, lanes)));
    return __builtin_popcount(marks);
#else
    const Ints marks = (weight >= low) & (weight < high);
    if (!any(marks)) return 0;
    std::int64_t count = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      out[count] = lanes[lane];
      count -= marks[lane];
    }
    return count;
#endif
  }
};

}  // namespace slora::cpu
