#pragma once
#include "kernels/cpu/float_tile.h"
#include "kernels/cpu/train_kernels.h"

namespace slora::cpu {

// dx = W^T dy from the panels of W: a block of a strip of inputs is turned into rows of outputs in fp32 once, and then multiplied by all
// rows of dy while it is in cache. Without rounding: an instruction for pairs of bf16 would need dy in bf16.
template <class Isa>
class LinearBackwardKernel {
 public:
  static void pack(float* out, const float* in, std::int64_t in_stride, std::int64_t rows, std::int64_t count, float factor) {
    transpose_floats<Isa>(out, rows, in, in_stride, rows, count, factor);
  }

  static void run(Tensor dx, const FloatRows& dy, const PackedWeight& weight, std::int64_t begin, std::int64_t end, float* scratch) {
    const std::int64_t block_count = (weight.out + kStripOutputs - 1) / kStripOutputs;
    for (std::int64_t block = 0; block < block_count; ++block) {
      const std::int64_t first = block * kStripOutputs, last = least(weight.out, first + kStripOutputs);
      for (std::int64_t strip = begin; strip < end; ++strip) turn(scratch + (strip - begin) * kStripFloats, weight, strip, first, last);
      for (std::int64_t i = 0; i < dy.tile_count(); ++i) {
        for (std::int64_t strip = begin; strip < end; ++strip) {
          const std::int64_t col = strip * kStripCols, rows = dy.rows_of(i);
          const FloatProduct product{.out = dx.row<float>(dy.row_begin(i)) + col,
                                     .out_stride = dx.row_stride,
                                     .x = dy.floats + dy.offset(i) + first * rows,
                                     .x_stride = rows,
                                     .w = scratch + (strip - begin) * kStripFloats,
                                     .w_stride = kCols,
                                     .count = last - first};
          multiply(rows, weight.in - col, product, block == 0 ? TileStart::zero : TileStart::out);
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kCols = kFloatVectors<Isa> * kLanes;  // of a part of a strip
  static constexpr std::int64_t kPairsOfStrip = kStripCols / 2;

  // The parts of a strip, as far as there are columns.
  static void multiply(std::int64_t rows, std::int64_t cols, FloatProduct product, TileStart start) {
    for (std::int64_t col = 0; col < least(cols, kStripCols); col += kCols) {
      if (start == TileStart::zero) {
        float_tile_of<Isa, kFloatVectors<Isa>, TileStart::zero>(rows, cols - col, product);
      } else {
        float_tile_of<Isa, kFloatVectors<Isa>, TileStart::out>(rows, cols - col, product);
      }
      product.out += kCols;
      product.w += kStripOutputs * kCols;
    }
  }

  // out [parts of the strip, kStripOutputs, kCols]: the strip's inputs of outputs [begin, end), zeros where W has none.
  static void turn(float* out, const PackedWeight& weight, std::int64_t strip, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = strip * kPairsOfStrip, pairs = least(kPairsOfStrip, weight.pairs() - first);
    for (std::int64_t n = begin; n < end; n += kLanes) {
      const std::uint32_t* words =
          weight.panel(n / PackedWeight::kPanelCols) + first * PackedWeight::kPanelCols + n % PackedWeight::kPanelCols;
      turn_square(out + (n - begin) * kCols, words, pairs);
    }
  }

  // Sixteen outputs: words [pairs, 32].
  static void turn_square(float* out, const std::uint32_t* words, std::int64_t pairs) {
    if constexpr (sizeof(typename Isa::TileFloats) == sizeof(Floats)) {
      Words block[kLanes];
      for (int k = 0; k < kLanes; ++k) block[k] = k < pairs ? load_words(words + k * PackedWeight::kPanelCols) : Words{};
      transpose_words(block);
      for (int n = 0; n < kLanes; ++n) {
        const Words even = block[n] << 16, odd = block[n] & kOddMask<Words>;
        const Ints low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
        store_words(out + n * kCols, __builtin_shuffle(even, odd, low));
        store_words(out + n * kCols + kLanes, __builtin_shuffle(even, odd, low + 8));
      }
    } else {
      for (std::int64_t pair = 0; pair < kPairsOfStrip; pair += kQuadSide) {
        const std::int64_t col = 2 * pair;
        float* part = out + col / kCols * kStripOutputs * kCols + col % kCols;
        for (std::int64_t n = 0; n < kLanes; n += kQuadSide) turn_quads(part + n * kCols, words + n, pair, pairs);
      }
    }
  }

  // Four outputs and pairs.
  static void turn_quads(float* out, const std::uint32_t* words, std::int64_t pair, std::int64_t pairs) {
    Quad quads[kQuadSide] = {};
    for (std::int64_t k = 0; k < kQuadSide && pair + k < pairs; ++k)
      __builtin_memcpy(&quads[k], words + (pair + k) * PackedWeight::kPanelCols, sizeof(Quad));
    transpose_quads(quads);
    for (std::int64_t n = 0; n < kQuadSide; ++n) {
      const Quad even = quads[n] << 16, odd = quads[n] & kOddMask<Quad>;
      const Quad low = __builtin_shufflevector(even, odd, 0, 4, 1, 5), high = __builtin_shufflevector(even, odd, 2, 6, 3, 7);
      __builtin_memcpy(out + n * kCols, &low, sizeof low);
      __builtin_memcpy(out + n * kCols + kQuadSide, &high, sizeof high);
    }
  }
};

}  // namespace slora::cpu
