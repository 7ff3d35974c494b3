#pragma once
#include <cstdint>

#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Where the sums of a tile of y over one range of k wait for those over the others. Used by one launch at a time.
struct LinearScratch {
  static constexpr std::int64_t kBlocksMax = 1024;                // of a launch that uses it
  static constexpr std::int64_t kSumsMax = kBlocksMax * 64 * 64;  // a tile of y each
  static constexpr std::int64_t kTilesMax = kBlocksMax / 2;

  float* sums = nullptr;             // [sums_count]
  std::uint32_t* arrived = nullptr;  // [kTilesMax] zeros, which every launch leaves as zeros
  std::int64_t sums_count = 0;       // fewer than a launch could use: fewer blocks
};

struct LinearArgs {
  const float* bias = nullptr;  // [out] in device memory, or null
  RowCount row_count;
  std::int32_t range_columns;  // of k, a multiple of 64
  LinearScratch scratch{};     // without any, each tile of y is one block's
};

// y[t, :] = W x[t, :] + bias, with one rounding. x [T, in] bf16, W [out, in] bf16, y [T, out] bf16 or fp32. Sums are fp32: over each range
// of k in ascending order, and then of the ranges in theirs. So a row's bits depend on the ranges, but not on the other rows, on their
// number, or on how many blocks share a tile of y. Requires: rows of x, W and y begin at multiples of 4 bytes; 16 are faster.
void linear(Stream stream, Tensor y, Tensor x, Tensor weight, const LinearArgs& args);

// Ranges of k for a weight [out, in] that are short enough for few rows to give work to a whole device.
[[nodiscard]] std::int32_t linear_range_columns(std::int64_t out, std::int64_t in);
// How many sums a launch for so many rows may leave in its scratch.
[[nodiscard]] std::int64_t linear_sums_count(std::int64_t rows, std::int64_t out, std::int64_t in, std::int32_t range_columns);

}  // namespace slora::cuda
