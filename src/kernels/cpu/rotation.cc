#include "kernels/cpu/rotation.h"

#include <bit>

namespace slora::cpu {
namespace {

// One stage of a block: pairs `stride` apart become sum and difference. A constant stride lets the compiler use vectors.
template <std::int64_t kStride>
void add_pairs(float* values, std::int64_t length) {
  for (std::int64_t begin = 0; begin < length; begin += 2 * kStride) {
    for (std::int64_t i = begin; i < begin + kStride; ++i) {
      const float lower = values[i], upper = values[i + kStride];
      values[i] = lower + upper;
      values[i + kStride] = lower - upper;
    }
  }
}

template <std::int64_t kStride>
void add_pairs_from(float* values, std::int64_t length) {
  if (kStride >= length) return;
  add_pairs<kStride>(values, length);
  if constexpr (kStride < kRotatedMax / 2) add_pairs_from<2 * kStride>(values, length);
}

std::int64_t block_length(std::int64_t left) { return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(left))); }

}  // namespace

void rotate(float* values, std::int64_t count) {
  for (std::int64_t begin = 0; begin < count; begin += block_length(count - begin)) {
    add_pairs_from<1>(values + begin, block_length(count - begin));
  }
}

void rotate_back(float* values, std::int64_t count) {
  rotate(values, count);
  for (std::int64_t begin = 0; begin < count;) {
    const std::int64_t length = block_length(count - begin);
    const float inverse = 1.0f / static_cast<float>(length);
    for (std::int64_t i = begin; i < begin + length; ++i) values[i] *= inverse;
    begin += length;
  }
}

}  // namespace slora::cpu
