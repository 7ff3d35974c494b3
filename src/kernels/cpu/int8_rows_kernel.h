#pragma once
#include "kernels/cpu/int8_linear_kernel.h"
#include "kernels/cpu/rotation.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Rounds rows of bf16 group by group to 255 levels symmetric about 0, the outermost at the group's largest magnitude; before that rotates
// them (rotation.h) if the weight is.
template <class Isa, class Weight>
class ByteRowsKernel {
 public:
  // Groups [group_begin, group_end) of every row of the tile.
  static void quantise(const ByteRowTile<Weight>& tile, std::int64_t group_begin, std::int64_t group_end) {
    const std::int64_t rows = tile.rows;
    const std::int64_t cols = tile.source.cols;
    for (std::int64_t group = group_begin; group < group_end; ++group) {
      const std::int64_t begin = group * Weight::kGroup;
      const std::int64_t count = least(Weight::kGroup, cols - begin);
      const std::int64_t quads = Weight::quads_for(count);
      std::uint32_t* out = tile.group(group);
      Row quantised[ByteLinearKernel<Isa, Weight>::Tiles::kTileRows];
      for (std::int64_t r = 0; r < rows; ++r) quantise_row(quantised[r], tile.source.template row<const Bfloat16>(r) + begin, count);
      for (std::int64_t i = 0; i < quads; ++i) {  // writes in the order of memory; only the reads are scattered over the rows
        for (std::int64_t r = 0; r < rows; ++r) __builtin_memcpy(out + i * rows + r, quantised[r].bytes + 4 * i, sizeof *out);
      }
      out += quads * rows;
      for (std::int64_t r = 0; r < rows; ++r) {
        __builtin_memcpy(out + r, &quantised[r].scale, sizeof *out);
        __builtin_memcpy(out + rows + r, &quantised[r].sum, sizeof *out);
      }
    }
  }

 private:
  static constexpr int kVectors = Weight::kGroup / kLanes;
  static constexpr float kLargestMin = 0x1p-100f;  // below this, 127 / largest might overflow: such a group becomes 0
  static constexpr float kLargestMax = 0x1.fffffep+127f;

  using Bytes [[gnu::vector_size(kLanes)]] = std::int8_t;

  using Sum = std::conditional_t<std::is_same_v<Weight, Int8Weight>, std::int32_t, float>;

  struct Row {
    alignas(64) std::int8_t bytes[Weight::kGroup];
    float scale;
    Sum sum;  // of bytes, as ByteRowTile has it
  };

  static void quantise_row(Row& out, const Bfloat16* from, std::int64_t count) {
    Floats values[kVectors];
    load_group(values, from, count);
    Ints largest = {};  // of magnitudes, compared by their bits: these have the order of the numbers, and NaN is above all
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const Ints magnitude = __builtin_bit_cast(Ints, as_words(values[v]) & 0x7fffffffu);
      largest = magnitude > largest ? magnitude : largest;
    }
    const float limit = __builtin_bit_cast(float, fold(largest, [](Ints a, Ints b) { return a > b ? a : b; }));
    if (!(limit <= kLargestMax)) {  // NaN and infinity have no nearest integer
      __builtin_memset(out.bytes, 0, sizeof out.bytes);
      out.scale = __builtin_nanf("");
      out.sum = 0;
      return;
    }
    const bool tiny = limit < kLargestMin;
    const Floats inverse = broadcast(tiny ? 0.0f : 127.0f / limit);
    Ints sum = {};
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const Ints rounded = Isa::nearest(values[v] * inverse);
      sum += rounded;
      const Bytes bytes = __builtin_convertvector(rounded, Bytes);
      __builtin_memcpy(out.bytes + v * kLanes, &bytes, sizeof bytes);
    }
    out.scale = tiny ? 0.0f : limit / 127.0f;
    const std::int32_t total = fold(sum, [](Ints a, Ints b) { return a + b; });
    if constexpr (std::is_same_v<Weight, Int8Weight>) {
      out.sum = -128 * total;
    } else {
      out.sum = out.scale * static_cast<float>(total);
    }
  }

  // The group's elements, zeros beyond them, rotated if they have to be.
  [[gnu::always_inline]] static void load_group(Floats (&values)[kVectors], const Bfloat16* from, std::int64_t count) {
    alignas(64) Bfloat16 padded[Weight::kGroup] = {};
    if (count < Weight::kGroup) {
      __builtin_memcpy(padded, from, static_cast<std::size_t>(count) * sizeof(Bfloat16));
      from = padded;
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      Halves halves;
      __builtin_memcpy(&halves, from + v * kLanes, sizeof halves);
      values[v] = as_floats(__builtin_convertvector(halves, Words) << 16);
    }
    if constexpr (Weight::kIsRotated) {
      if (count == Weight::kGroup) return rotate_block(values);
      alignas(64) float rest[Weight::kGroup];
      __builtin_memcpy(rest, values, sizeof rest);
      rotate(rest, count);
      __builtin_memcpy(values, rest, sizeof rest);
    }
  }

  template <class Combine>
  [[gnu::always_inline]] static std::int32_t fold(Ints value, Combine combine) {
    value = combine(value, __builtin_shufflevector(value, value, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    value = combine(value, __builtin_shufflevector(value, value, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    value = combine(value, __builtin_shufflevector(value, value, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    value = combine(value, __builtin_shufflevector(value, value, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    return value[0];
  }
};

}  // namespace slora::cpu
