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

// The power of two at or next below sqrt(kRotatedMax / length).
float block_gain(std::int64_t length) {
  const int halvings = std::countr_zero(static_cast<std::uint64_t>(kRotatedMax / length));
  return static_cast<float>(1 << (halvings / 2));
}

// Multiplies each block by its matrix and by factor(length).
template <class Factor>
void rotate_blocks(float* values, std::int64_t count, Factor factor) {
  for (std::int64_t begin = 0; begin < count;) {
    const std::int64_t length = block_length(count - begin);
    add_pairs_from<1>(values + begin, length);
    const float multiplier = factor(length);
    if (multiplier != 1) {
      for (std::int64_t i = begin; i < begin + length; ++i) values[i] *= multiplier;
    }
    begin += length;
  }
}

}  // namespace

void rotate(float* values, std::int64_t count) { rotate_blocks(values, count, block_gain); }

void rotate_back(float* values, std::int64_t count) {
  rotate_blocks(values, count, [](std::int64_t length) { return 1.0f / (static_cast<float>(length) * block_gain(length)); });
}

}  // namespace slora::cpu
