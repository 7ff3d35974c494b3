#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/cpu/weight_census.h"

namespace slora::cpu {

enum class Measure { weight, count };

// Weights are not negative, so their bits are in their order: a range of bits, from `low` to before `high`, is one of weights.
struct BitRange {
  std::uint32_t low, high;
  [[nodiscard]] std::uint32_t width() const { return high - low; }
};

inline constexpr std::uint32_t kLowestWeightBits = 1;  // of the smallest weight that is not 0
inline std::uint32_t bits_of_weight(float weight) { return std::bit_cast<std::uint32_t>(weight); }
inline float weight_of_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

inline double above(const Census& census, Measure measure) {
  return measure == Measure::weight ? census.above_sum : static_cast<double>(census.above_count);
}
inline double inside(const Census& census, Measure measure) {
  return measure == Measure::weight ? census.inside_sum : static_cast<double>(census.inside_count);
}

struct CutGuess {
  BitRange range;
  bool is_few;  // so many that may be inside
};

// Where to begin looking for the range at which the weights from the heaviest on measure `target`, of `total` altogether: from a sample of
// the weights of at least `floor`, with as many of them around it as are few.
[[nodiscard]] CutGuess guess_cut(std::span<const float> weights, std::uint32_t floor, double target, double total, Measure measure,
                                 std::int64_t few);

// Narrows a range of weights until what is above it measures less than `target`, with what is inside it does not, and few are inside, or
// all inside are equal. `all` holds every weight that counts; `total` is what they measure, or more. take(range) returns a census. Nothing
// when all of them measure less than `target`; otherwise the census of the last range that was taken.
template <class Take>
[[nodiscard]] std::optional<Census> find_cut(double target, Measure measure, const BitRange& all, double total, BitRange next,
                                             std::int64_t few, Take take) {
  // Known: the target is reached at or above `low`, and not at or above `high`. It stays true, whatever a sum in another order rounds to.
  BitRange open = all;
  double at_low = total, at_high = 0;
  for (int turn = 0;; ++turn) {
    const Census census = take(next);
    const double until_high = above(census, measure), until_low = until_high + inside(census, measure);
    if (target <= until_high && next.high < open.high) {
      open.low = next.high;
      at_low = until_high;
    } else if (target > until_low && next.low == all.low) {
      return std::nullopt;
    } else if (target > until_low && next.low > open.low) {
      open.high = next.low;
      at_high = until_low;
    } else {
      if (next.width() == 1 || census.inside_count <= few) return census;
      open = next;
      at_low = until_low;
      at_high = until_high;
    }
    const std::uint32_t width = open.width();
    if (turn % 3 < 2 && width > 16 && at_low > at_high) {  // where a straight line says, and a little around it
      const double fraction = std::clamp((at_low - target) / (at_low - at_high), 0.0, 1.0);
      const auto middle = open.low + static_cast<std::uint32_t>(fraction * (width - 1));
      next = {middle - std::min(middle - open.low, width / 8), middle + std::min(open.high - middle, width / 8 + 1)};
    } else {  // the middle third, so that it ends soon whatever the weights are
      next = {open.low + width / 3, open.low + width / 3 + std::max(width / 3, 1u)};
    }
  }
}

}  // namespace slora::cpu
