#pragma once
#include <cstddef>
#include <cstdint>

namespace slora::cpu {

// Rows of weights are summed in blocks of this many tokens, so that a draw has to look into one block only.
inline constexpr std::int64_t kWeightBlock = 1024;

// How many blocks of weights hold `count` of them.
constexpr std::size_t weight_block_count(std::size_t count) { return (count + kWeightBlock - 1) / kWeightBlock; }

// The largest value of a row and its first index; -inf and 0 if there is none.
struct Peak {
  float value;
  std::int64_t index;
  bool is_finite;  // no value is NaN or +inf; -inf is allowed
};

// Weights in [low, high).
struct WeightRange {
  float low, high;
};

// Number and sum of the weights in a range (inside) and of those at its upper end or higher (above).
struct RangeTotals {
  double above_sum = 0, inside_sum = 0;
  std::int64_t above_count = 0, inside_count = 0;
};

}  // namespace slora::cpu
