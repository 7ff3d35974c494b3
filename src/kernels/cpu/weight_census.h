#pragma once
#include <cstdint>

namespace slora::cpu {

// A row is summed by blocks of so many tokens, so that a draw looks into one of them.
inline constexpr std::int64_t kWeightBlock = 1024;

// The largest value of a row and the first place that has it; -inf at 0 when there is none.
struct Peak {
  float value;
  std::int64_t index;
  bool is_orderly;  // every value is finite or -inf
};

// From `low` to before `high`.
struct WeightRange {
  float low, high;
};

// How many weights are in a range (inside) and at its end or beyond (above), and their sums.
struct Census {
  double above_sum = 0, inside_sum = 0;
  std::int64_t above_count = 0, inside_count = 0;
};

}  // namespace slora::cpu
