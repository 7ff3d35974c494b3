// y = x W^T + bias by tensor cores. A block computes a tile of y, kTileRows tokens x 64 outputs: while it multiplies the tiles of x and W
// for 64 values of k, which lie in one stage of shared memory, it copies those for the next 64 into the other stage.
#include "kernels/cuda/linear.h"

#include <algorithm>

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 128;
constexpr std::int32_t kTileOut = 64;
constexpr std::int32_t kTileK = 64;
constexpr std::int32_t kChunk = 8;  // elements: 16 bytes, the row of a matrix for load_matrices
constexpr std::int32_t kChunks = kTileK / kChunk;

// Rows of a tile are 128 bytes. Chunk c of row r lies at place c ^ (r % 8), so that eight rows' chunks c are in different banks.
struct Chunk {
  alignas(16) Bfloat16 elements[kChunk];
};
template <std::int32_t kRows>
struct TileShared {
  Chunk chunks[kRows][kChunks];
};
template <std::int32_t kTileRows>
struct LinearShared {
  TileShared<kTileRows> x[2];  // two stages
  TileShared<kTileOut> weight[2];
};

// The four warps' parts of the tile: 64 rows are cut 2 x 2, 16 rows only along the outputs.
template <std::int32_t kTileRows>
struct WarpTile {
  static constexpr std::int32_t kWarpsAcross = kTileRows == 64 ? 2 : 4;  // along the outputs
  static constexpr std::int32_t kRows = kTileRows == 64 ? 32 : 16;
  static constexpr std::int32_t kOut = kTileOut / kWarpsAcross;
  static constexpr std::int32_t kRowTiles = kRows / 16;
  static constexpr std::int32_t kOutTiles = kOut / 8;
};

template <class Out>
struct LinearKernelArgs {
  Out* y;                  // [T, out]
  const Bfloat16* x;       // [T, in]
  const Bfloat16* weight;  // [out, in]
  const float* bias;       // [out], or null
  std::int64_t y_stride;
  std::int64_t x_stride;
  std::int64_t weight_stride;
  std::int32_t in;
  std::int32_t out;
  std::int32_t row_tiles;
  RowCount row_count;
};

// Begins to copy rows [row_begin, ...) and columns [k, k + 64) of a matrix [rows, cols]; what lies outside of it becomes zero.
template <std::int32_t kBytes, std::int32_t kRows>
__device__ void copy_tile(TileShared<kRows>& to, const Bfloat16* from, std::int64_t stride, std::int32_t row_begin, std::int32_t rows,
                          std::int32_t k, std::int32_t cols) {
  constexpr std::int32_t kPart = kBytes / 2;  // elements of one copy
  for (std::int32_t i = thread_index(); i < kRows * kChunks; i += kThreads) {
    const std::int32_t row = i / kChunks, chunk = i % kChunks;
    Bfloat16* const target = to.chunks[row][chunk ^ row % 8].elements;
    for (std::int32_t part = 0; part < kChunk; part += kPart) {
      const std::int32_t column = k + chunk * kChunk + part;
      const std::int32_t valid = row_begin + row < rows ? std::max(0, std::min(kPart, cols - column)) : 0;
      copy_async<kBytes>(target + part, valid > 0 ? from + (row_begin + row) * stride + column : from, 2 * valid);
    }
  }
}

// sums += the warp's part of x W^T for the 64 values of k in a stage.
template <std::int32_t kTileRows>
__device__ void multiply_tiles(float (&sums)[WarpTile<kTileRows>::kRowTiles][WarpTile<kTileRows>::kOutTiles][4],
                               const TileShared<kTileRows>& x, const TileShared<kTileOut>& weight, std::int32_t row_begin,
                               std::int32_t out_begin) {
  using Part = WarpTile<kTileRows>;
  const std::int32_t lane = lane_index();
  for (std::int32_t k = 0; k < kTileK / 16; ++k) {
    // Lane l gives row l % 8 of matrix l / 8. Of x: rows 0-7 and 8-15 of chunk 2 k, then of 2 k + 1. Of W: outputs 0-7 of both chunks, then
    // 8-15.
    std::uint32_t a[Part::kRowTiles][4];
    for (std::int32_t m = 0; m < Part::kRowTiles; ++m) {
      const std::int32_t row = row_begin + 16 * m + lane % 16;
      load_matrices(a[m], &x.chunks[row][(2 * k + lane / 16) ^ row % 8]);
    }
    std::uint32_t b[Part::kOutTiles / 2][4];
    for (std::int32_t n = 0; n < Part::kOutTiles / 2; ++n) {
      const std::int32_t row = out_begin + 16 * n + lane / 16 * 8 + lane % 8;
      load_matrices(b[n], &weight.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]);
    }
    for (std::int32_t m = 0; m < Part::kRowTiles; ++m) {
      for (std::int32_t n = 0; n < Part::kOutTiles; ++n) {
        mma_m16n8k16(sums[m][n], a[m], {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]});
      }
    }
  }
}

__device__ inline void store_pair(float* to, float first, float second, bool both) {
  to[0] = first;
  if (both) to[1] = second;
}
__device__ inline void store_pair(Bfloat16* to, float first, float second, bool both) {
  const std::uint32_t pair = pack_bf16(first, second);
  if (both) {
    *reinterpret_cast<Words<4>*>(to) = {pair};
  } else {
    to->bits = static_cast<std::uint16_t>(pair);
  }
}

template <class Out, std::int32_t kTileRows, std::int32_t kBytes>
__global__ void __launch_bounds__(kThreads) linear_kernel(LinearKernelArgs<Out> args) {
  using Part = WarpTile<kTileRows>;
  const std::int32_t row_begin = block_index() % args.row_tiles * kTileRows;
  const std::int32_t out_begin = block_index() / args.row_tiles * kTileOut;
  const std::int32_t row_count = *args.row_count;
  if (row_begin >= row_count) return;
  auto& mine = shared<LinearShared<kTileRows>>();
  const auto copy_stage = [&](std::int32_t step) {
    copy_tile<kBytes>(mine.x[step % 2], args.x, args.x_stride, row_begin, row_count, step * kTileK, args.in);
    copy_tile<kBytes>(mine.weight[step % 2], args.weight, args.weight_stride, out_begin, args.out, step * kTileK, args.in);
  };
  const std::int32_t warp_row = warp_index() / Part::kWarpsAcross * Part::kRows;
  const std::int32_t warp_out = warp_index() % Part::kWarpsAcross * Part::kOut;
  const std::int32_t steps = (args.in + kTileK - 1) / kTileK;

  float sums[Part::kRowTiles][Part::kOutTiles][4] = {};
  copy_stage(0);
  commit_copies();
  for (std::int32_t step = 0; step < steps; ++step) {
    if (step + 1 < steps) copy_stage(step + 1);
    commit_copies();  // the last time an empty group, so that one group may always be left
    wait_copies<1>();
    block_barrier();
    multiply_tiles<kTileRows>(sums, mine.x[step % 2], mine.weight[step % 2], warp_row, warp_out);
    block_barrier();  // before the next copies overwrite this stage
  }

  const std::int32_t group = lane_index() / 4, pair = lane_index() % 4 * 2;
#pragma unroll
  for (std::int32_t m = 0; m < Part::kRowTiles; ++m) {
#pragma unroll
    for (std::int32_t half = 0; half < 2; ++half) {
      const std::int32_t row = row_begin + warp_row + 16 * m + 8 * half + group;
      if (row >= row_count) continue;
#pragma unroll
      for (std::int32_t n = 0; n < Part::kOutTiles; ++n) {
        const std::int32_t column = out_begin + warp_out + 8 * n + pair;
        if (column >= args.out) continue;
        const bool both = column + 1 < args.out;
        float first = sums[m][n][2 * half], second = sums[m][n][2 * half + 1];
        if (args.bias != nullptr) {
          first += args.bias[column];
          if (both) second += args.bias[column + 1];
        }
        store_pair(args.y + row * args.y_stride + column, first, second, both);
      }
    }
  }
}

bool begins_at(const Tensor& tensor, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::uintptr_t>(bytes) == 0 &&
         tensor.row_stride * static_cast<std::int64_t>(bytes_of(tensor.dtype)) % bytes == 0;
}

template <class Out, std::int32_t kTileRows>
void launch_linear(Stream stream, const Tensor& y, const Tensor& x, const Tensor& weight, const float* bias, RowCount row_count) {
  const auto row_tiles = static_cast<std::int32_t>((y.rows + kTileRows - 1) / kTileRows);
  const LinearKernelArgs<Out> args{.y = data_of<Out>(y),
                                   .x = data_of<Bfloat16>(x),
                                   .weight = data_of<Bfloat16>(weight),
                                   .bias = bias,
                                   .y_stride = y.row_stride,
                                   .x_stride = x.row_stride,
                                   .weight_stride = weight.row_stride,
                                   .in = static_cast<std::int32_t>(x.cols),
                                   .out = static_cast<std::int32_t>(y.cols),
                                   .row_tiles = row_tiles,
                                   .row_count = row_count};
  const LaunchShape shape{row_tiles * ((args.out + kTileOut - 1) / kTileOut), kThreads, sizeof(LinearShared<kTileRows>)};
  const bool wide = begins_at(x, 16) && begins_at(weight, 16);
  launch(wide ? linear_kernel<Out, kTileRows, 16> : linear_kernel<Out, kTileRows, 4>, shape, stream, args);
}

template <class Out>
void launch_linear(Stream stream, const Tensor& y, const Tensor& x, const Tensor& weight, const float* bias, RowCount row_count) {
  if (y.rows <= 16) {
    launch_linear<Out, 16>(stream, y, x, weight, bias, row_count);
  } else {
    launch_linear<Out, 64>(stream, y, x, weight, bias, row_count);
  }
}

}  // namespace

void linear(Stream stream, Tensor y, Tensor x, Tensor weight, const float* bias, RowCount row_count) {
  check(x.rows == y.rows && weight.rows == y.cols && weight.cols == x.cols, "expected y [T, out], x [T, in] and a weight [out, in]");
  check(begins_at(x, 4) && begins_at(weight, 4) && begins_at(y, 4), "expected rows at multiples of 4 bytes");
  if (y.dtype == DType::f32) {
    launch_linear<float>(stream, y, x, weight, bias, row_count);
  } else {
    launch_linear<Bfloat16>(stream, y, x, weight, bias, row_count);
  }
}

}  // namespace slora::cuda
