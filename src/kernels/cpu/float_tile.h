#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"

namespace slora::cpu {

// The product of derivatives: out [rows, cols] (= or +=) sum over i of x [count, rows] * w [count, cols], all fp32. Every element is one
// chain of multiply-adds in the order of i, so its bits depend neither on the tile's shape nor on how the sum is split over calls.
struct FloatProduct {
  float* out = nullptr;
  std::ptrdiff_t out_stride = 0;
  const float* x = nullptr;
  std::ptrdiff_t x_stride = 0;  // from i to i + 1
  const float* w = nullptr;     // read in whole vectors, also beyond `cols`
  std::ptrdiff_t w_stride = 0;  // from i to i + 1
  std::ptrdiff_t count = 0;
};

// Columns of the tiles, in vectors, whose rows are the most.
template <class Isa>
inline constexpr int kFloatVectors = Isa::kTileRows <= Isa::rows_max(2) ? 2 : 1;

// kRows x (kVectors * 16) sums stay in registers.
template <class Isa, int kRows, int kVectors, TileStart kStart>
void float_tile(const FloatProduct& product) {
  using Sums = typename Isa::TileFloats;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  constexpr int kRegisters = kVectors * kLanes / kWidth;
  Sums sums[kRows][kRegisters];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      sums[r][v] = Sums{};
      if constexpr (kStart == TileStart::out)
        __builtin_memcpy(&sums[r][v], product.out + r * product.out_stride + v * kWidth, sizeof(Sums));
    }
  }
  const auto* x = reinterpret_cast<const std::uint32_t*>(product.x);
  const float* w = product.w;
  for (std::ptrdiff_t i = 0; i < product.count; ++i, x += product.x_stride, w += product.w_stride) {
    add_products<Isa>(sums, x, 1, [&](int v) {
      Sums column;
      __builtin_memcpy(&column, w + v * kWidth, sizeof column);
      return column;
    });
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) __builtin_memcpy(product.out + r * product.out_stride + v * kWidth, &sums[r][v], sizeof(Sums));
  }
}

// The tile of `rows` rows and the first `cols` of kVectors * 16 columns; fewer are computed into a copy. Requires: 1 <= rows <=
// Isa::rows_max(kVectors).
template <class Isa, int kVectors, TileStart kStart>
void float_tile_of(std::ptrdiff_t rows, std::ptrdiff_t cols, const FloatProduct& product) {
  static constexpr auto kTable = []<int... kRow>(std::integer_sequence<int, kRow...>) {
    return std::array<void (*)(const FloatProduct&), sizeof...(kRow)>{&float_tile<Isa, kRow + 1, kVectors, kStart>...};
  }
  (std::make_integer_sequence<int, Isa::rows_max(kVectors)>{});
  constexpr std::ptrdiff_t kCols = kVectors * kLanes;
  if (cols >= kCols) return kTable[static_cast<std::size_t>(rows - 1)](product);
  alignas(64) float copy[Isa::rows_max(kVectors) * kCols];
  FloatProduct inner = product;
  inner.out = copy;
  inner.out_stride = kCols;
  const std::size_t bytes = static_cast<std::size_t>(cols) * sizeof(float);
  if constexpr (kStart == TileStart::out) {
    __builtin_memset(copy, 0, sizeof copy);
    for (std::ptrdiff_t r = 0; r < rows; ++r) __builtin_memcpy(copy + r * kCols, product.out + r * product.out_stride, bytes);
  }
  kTable[static_cast<std::size_t>(rows - 1)](inner);
  for (std::ptrdiff_t r = 0; r < rows; ++r) __builtin_memcpy(product.out + r * product.out_stride, copy + r * kCols, bytes);
}

// Any number of rows and columns, in tiles of nearly equal height.
template <class Isa, TileStart kStart>
void multiply_floats(std::ptrdiff_t rows, std::ptrdiff_t cols, const FloatProduct& product) {
  constexpr std::ptrdiff_t kCols = kFloatVectors<Isa> * kLanes;
  const std::ptrdiff_t tile_count = (rows + Isa::kTileRows - 1) / Isa::kTileRows;
  for (std::ptrdiff_t i = 0; i < tile_count; ++i) {
    const std::ptrdiff_t begin = rows * i / tile_count, height = rows * (i + 1) / tile_count - begin;
    FloatProduct tile = product;
    tile.out += begin * product.out_stride;
    tile.x += begin;
    std::ptrdiff_t left = cols;
    for (; left > kLanes; left -= kCols, tile.out += kCols, tile.w += kCols)
      float_tile_of<Isa, kFloatVectors<Isa>, kStart>(height, left, tile);
    if (left > 0) float_tile_of<Isa, 1, kStart>(height, left, tile);
  }
}

// The bf16 at `from`, as fp32.
[[gnu::always_inline]] inline Floats widen(const Bfloat16* from) {
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  return as_floats(__builtin_convertvector(halves, Words) << 16);
}

// out [count, rows] = the transpose of in [rows, count], in_stride apart, times `factor`. Surplus lanes are stored beyond a row of out, and
// then overwritten by the next: out has kLanes more elements at its end. Requires: at most kLanes rows.
template <class Isa>
void transpose_floats(float* out, std::int64_t out_stride, const float* in, std::int64_t in_stride, std::int64_t rows, std::int64_t count,
                      float factor) {
  std::int64_t i = 0;
  if constexpr (sizeof(typename Isa::TileFloats) == sizeof(Floats)) {
    for (; i + kLanes <= count; i += kLanes) {
      Words block[kLanes];
      for (std::int64_t r = 0; r < kLanes; ++r) block[r] = as_words(load(in + least(r, rows - 1) * in_stride + i) * factor);
      transpose_words(block);
      for (int k = 0; k < kLanes; ++k) store_words(out + (i + k) * out_stride, block[k]);
    }
  } else {
    constexpr std::int64_t kBlocks = kLanes / kQuadSide;
    using QuadFloats [[gnu::vector_size(16)]] = float;
    for (; i + kQuadSide <= count; i += kQuadSide) {
      const std::int64_t blocks = (rows + kQuadSide - 1) / kQuadSide;
      Quad words[kBlocks][kQuadSide];
      for (std::int64_t block = 0; block < blocks; ++block) {
        for (std::int64_t r = 0; r < kQuadSide; ++r) {
          QuadFloats four;
          __builtin_memcpy(&four, in + least(block * kQuadSide + r, rows - 1) * in_stride + i, sizeof four);
          words[block][r] = __builtin_bit_cast(Quad, four * factor);
        }
        transpose_quads(words[block]);
      }
      for (std::int64_t k = 0; k < kQuadSide; ++k) {
        for (std::int64_t block = 0; block < blocks; ++block)
          __builtin_memcpy(out + (i + k) * out_stride + block * kQuadSide, &words[block][k], sizeof(Quad));
      }
    }
  }
  for (out += i * out_stride; i < count; ++i, out += out_stride) {
    for (std::int64_t r = 0; r < rows; ++r) out[r] = in[r * in_stride + i] * factor;
  }
}

}  // namespace slora::cpu
