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
  // Four independent maxima and NaN masks, so that no element waits for the result of the one before.
  static Peak find_peak(const float* values, std::int64_t count) {
    Peak peak{-__builtin_inff(), 0, true};
    std::int64_t best_begin = 0;
    for (std::int64_t begin = 0; begin < count; begin += kWeightBlock) {
      const std::int64_t end = least(count, begin + kWeightBlock);
      Floats highest[4];
      Ints nan_lanes[4] = {};
      for (Floats& lane : highest) lane = broadcast(-__builtin_inff());
      std::int64_t i = begin;
      for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
        for (int k = 0; k < 4; ++k) {
          const Floats value = load(values + i + k * kLanes);
          highest[k] = larger<Isa>(value, highest[k]);  // a NaN in `value` leaves it unchanged
          nan_lanes[k] |= value != value;
        }
      }
      float block_highest = Isa::maximum(larger<Isa>(larger<Isa>(highest[0], highest[1]), larger<Isa>(highest[2], highest[3])));
      bool block_finite = !any((nan_lanes[0] | nan_lanes[1]) | (nan_lanes[2] | nan_lanes[3]));
      for (; i < end; ++i) {
        block_highest = values[i] > block_highest ? values[i] : block_highest;
        block_finite &= values[i] == values[i];
      }
      peak.is_finite &= block_finite;
      if (block_highest > peak.value) {
        peak.value = block_highest;
        best_begin = begin;
      }
    }
    peak.is_finite &= peak.value < __builtin_inff();
    if (peak.value == -__builtin_inff()) return peak;
    for (peak.index = best_begin; values[peak.index] != peak.value;) ++peak.index;
    return peak;
  }

  static void mask_values(float* values, std::int64_t count, const std::uint32_t* mask) {
    constexpr std::int64_t kBits = 32;
    for (std::int64_t begin = 0; begin < count; begin += kBits) {
      const std::uint32_t word = mask[begin / kBits];
      if (word == ~std::uint32_t{0}) continue;
      std::int64_t i = begin;
      for (; i + kLanes <= least(count, begin + kBits); i += kLanes) {
        const Words bits = broadcast_word(word >> (i - begin)) & kLaneBits;
        store(values + i, bits != 0u ? load(values + i) : broadcast(-__builtin_inff()));
      }
      for (; i < least(count, begin + kBits); ++i) values[i] = (word >> (i - begin) & 1u) != 0 ? values[i] : -__builtin_inff();
    }
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

  // Most runs of 64 values have none and are skipped as a whole.
  static std::int64_t find_above(std::int32_t* out, const float* values, std::int64_t count, float bound) {
    constexpr std::int64_t kStretch = 4 * kLanes;
    std::int64_t found = 0;
    for (std::int64_t begin = 0; begin < count; begin += kStretch) {
      const std::int64_t end = least(count, begin + kStretch);
      if (end - begin == kStretch) {
        const float* at = values + begin;
        const Floats highest =
            larger<Isa>(larger<Isa>(load(at), load(at + kLanes)), larger<Isa>(load(at + 2 * kLanes), load(at + 3 * kLanes)));
        if (!(Isa::maximum(highest) > bound)) continue;
      }
      for (std::int64_t i = begin; i < end; ++i) {
        if (values[i] > bound) out[found++] = static_cast<std::int32_t>(i);
      }
    }
    return found;
  }

  // Sums are in fp32 within a block and in double over the blocks.
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

  static RangeTotals measure_range(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights,
                                   std::int64_t count, const WeightRange& range) {
    if (inside_max > 0) return measure_range_listing<Listing::inside>(above_sums, inside, inside_max, weights, count, range);
    return measure_range_listing<Listing::nothing>(above_sums, inside, inside_max, weights, count, range);
  }

 private:
  static constexpr Words kLaneBits = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

  enum class Listing { nothing, inside };

  // Without branches that depend on a weight, which the processor could not predict.
  template <Listing listing>
  static RangeTotals measure_range_listing(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights,
                                           std::int64_t count, const WeightRange& range) {
    const Floats low = broadcast(range.low), high = broadcast(range.high);
    RangeTotals measured;
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
      if (i < end) add(load_head(weights + i, end - i), i);  // missing lanes have weight 0 and are outside of every range
      const auto block_sum = static_cast<double>(Isa::sum(above_sum));
      above_sums[begin / kWeightBlock] = block_sum;
      measured.above_sum += block_sum;
      measured.inside_sum += static_cast<double>(Isa::sum(inside_sum));
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      measured.above_count += above_count[lane];
      measured.inside_count += low_count[lane] - above_count[lane];
    }
    return measured;
  }

  [[gnu::always_inline]] static Floats weigh(Floats logits, float highest, float inverse_temperature) {
    const Floats x = (logits - highest) * (inverse_temperature * kLog2E);
    return exp2<Isa>(x > 0.0f ? Floats{} : x);  // clamps lanes beyond the row, which may hold anything
  }

  [[gnu::always_inline]] static bool any(Ints marks) {
    std::uint64_t words[8];
    __builtin_memcpy(words, &marks, sizeof words);
    return ((words[0] | words[1]) | (words[2] | words[3]) | ((words[4] | words[5]) | (words[6] | words[7]))) != 0;
  }

  // Appends first + lane for each lane with low <= weight < high and returns their number; may overwrite up to 16 entries of `out`.
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
