#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/cpu/weight_range.h"

namespace slora::cpu {

enum class Measure { weight, count };

// Weights are not negative, so the order of their bits is the order of the numbers: bits in [low, high) are a range of weights.
struct BitRange {
  std::uint32_t low, high;
  [[nodiscard]] std::uint32_t width() const { return high - low; }
};

inline constexpr std::uint32_t kLowestWeightBits = 1;  // of the smallest weight that is not 0
inline std::uint32_t bits_of_weight(float weight) { return std::bit_cast<std::uint32_t>(weight); }
inline float weight_of_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

inline double above(const RangeTotals& measured, Measure measure) {
  return measure == Measure::weight ? measured.above_sum : static_cast<double>(measured.above_count);
}
inline double inside(const RangeTotals& measured, Measure measure) {
  return measure == Measure::weight ? measured.inside_sum : static_cast<double>(measured.inside_count);
}

struct CutGuess {
  BitRange range;
  bool is_few;  // probably no more than `few` weights are inside
};

// The cut is the weight at which the weights, from the heaviest on, reach `target` of a `total`, by count or by sum. Estimates from a
// sample of the weights of at least `floor` a range that contains it and, if possible, no more than `few` weights.
[[nodiscard]] CutGuess guess_cut(std::span<const float> weights, std::uint32_t floor, double target, double total, Measure measure,
                                 std::int64_t few);

// Narrows a range of weights until the weights above it stay below `target`, those above and inside together reach it, and at most `few`
// weights are inside or all of them are equal. `all` contains every weight that counts, and `total` is at least what they sum up to.
// take(range) measures a range. Returns the totals of the last range that was taken, or nothing if all weights together stay below
// `target`.
template <class Take>
[[nodiscard]] std::optional<RangeTotals> find_cut(double target, Measure measure, const BitRange& all, double total, BitRange next,
                                                  std::int64_t few, Take take) {
  // Invariant: the weights from `low` on reach the target, those from `high` on do not. It holds even if sums in different orders round
  // differently.
  BitRange open = all;
  double at_low = total, at_high = 0;
  for (int round = 0;; ++round) {
    const RangeTotals measured = take(next);
    const double until_high = above(measured, measure), until_low = until_high + inside(measured, measure);
    if (target <= until_high && next.high < open.high) {
      open.low = next.high;
      at_low = until_high;
    } else if (target > until_low && next.low == all.low) {
      return std::nullopt;
    } else if (target > until_low && next.low > open.low) {
      open.high = next.low;
      at_high = until_low;
    } else {
      if (next.width() == 1 || measured.inside_count <= few) return measured;
      open = next;
      at_low = until_low;
      at_high = until_high;
    }
    const std::uint32_t width = open.width();
    if (round % 3 < 2 && width > 16 && at_low > at_high) {  // interpolate linearly, with a margin
      const double fraction = std::clamp((at_low - target) / (at_low - at_high), 0.0, 1.0);
      const auto middle = open.low + static_cast<std::uint32_t>(fraction * (width - 1));
      next = {middle - std::min(middle - open.low, width / 8), middle + std::min(open.high - middle, width / 8 + 1)};
    } else {  // take the middle third, so that the search ends soon for any distribution
      next = {open.low + width / 3, open.low + width / 3 + std::max(width / 3, 1u)};
    }
  }
}

}  // namespace slora::cpu
