// y = x W^T + bias by tensor cores. A block computes a tile of y, kTileRows tokens x 64 outputs, over all ranges of k or over one: while it
// multiplies the tiles of x and W for 64 values of k, which lie in one stage of shared memory, those for the next ones are copied into the
// other stages. Bytes in flight keep a device's memory busy: 40 KB of W in a block with 16 rows, 24 KB with 64. Where blocks
// share a tile of y, one range each, the last to have its sums adds up those of all.
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
inline constexpr std::int32_t kStages = kTileRows == 64 ? 4 : 6;
template <std::int32_t kTileRows>
struct LinearShared {
  TileShared<kTileRows> x[kStages<kTileRows>];
  TileShared<kTileOut> weight[kStages<kTileRows>];
  std::uint32_t arrived;
};
static_assert(sizeof(LinearShared<16>) <= 96 << 10 && sizeof(LinearShared<64>) <= 96 << 10, "what every device has");

// The four warps' parts of the tile: 64 rows are cut 2 x 2, 16 rows only along the outputs.
template <std::int32_t kTileRows>
struct WarpTile {
  static constexpr std::int32_t kWarpsAcross = kTileRows == 64 ? 2 : 4;  // along the outputs
  static constexpr std::int32_t kRows = kTileRows == 64 ? 32 : 16;
  static constexpr std::int32_t kOut = kTileOut / kWarpsAcross;
  static constexpr std::int32_t kRowTiles = kRows / 16;
  static constexpr std::int32_t kOutTiles = kOut / 8;
  using Sums = float[kRowTiles][kOutTiles][4];  // a lane's, as mma_m16n8k16 spreads them
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
  std::int32_t range_steps;  // of 64 values of k
  std::int32_t sharing;      // blocks of a tile of y: 1, or one for each range
  RowCount row_count;
  LinearScratch scratch;
};

// Begins to copy rows [row_begin, ...) and columns [k, k + 64) of a matrix [rows, cols]; what lies outside of it becomes zero.
template <std::int32_t kBytes, std::int32_t kRows>
__device__ void copy_tile(TileShared<kRows>& to, const Bfloat16* from, std::int64_t stride, std::int32_t row_begin, std::int32_t rows,
                          std::int32_t k, std::int32_t cols, CachePolicy policy) {
  constexpr std::int32_t kPart = kBytes / 2;                // elements of one copy
  constexpr std::int32_t kRowsAtOnce = kThreads / kChunks;  // a multiple of 8: a thread's chunks have one place in all its rows
  const std::int32_t first_row = thread_index() / kChunks, chunk = thread_index() % kChunks;
#pragma unroll
  for (std::int32_t i = 0; i < kRows / kRowsAtOnce; ++i) {
    const std::int32_t row = first_row + i * kRowsAtOnce;
    Bfloat16* const target = to.chunks[row][chunk ^ first_row % 8].elements;
#pragma unroll
    for (std::int32_t part = 0; part < kChunk; part += kPart) {
      const std::int32_t column = k + chunk * kChunk + part;
      const std::int32_t valid = row_begin + row < rows ? std::max(0, std::min(kPart, cols - column)) : 0;
      copy_async<kBytes>(target + part, valid > 0 ? from + (row_begin + row) * stride + column : from, 2 * valid, policy);
    }
  }
}

// sums += the warp's part of x W^T for the 64 values of k in a stage.
template <std::int32_t kTileRows>
__device__ void multiply_tiles(typename WarpTile<kTileRows>::Sums& sums, const TileShared<kTileRows>& x, const TileShared<kTileOut>& weight,
                               std::int32_t row_begin, std::int32_t out_begin) {
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

// total += sums, which begin anew.
template <std::int32_t kRowTiles, std::int32_t kOutTiles>
__device__ void end_range(float (&total)[kRowTiles][kOutTiles][4], float (&sums)[kRowTiles][kOutTiles][4]) {
#pragma unroll
  for (std::int32_t m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (std::int32_t n = 0; n < kOutTiles; ++n) {
#pragma unroll
      for (std::int32_t i = 0; i < 4; ++i) {
        total[m][n][i] += sums[m][n][i];
        sums[m][n][i] = 0;
      }
    }
  }
}

// Leaves the block's sums for the last of the tile's blocks to come, and returns whether this is it: then `total` becomes the sum of all.
// Each thread reads the places that the thread of its index wrote in each block.
template <class Out, std::int32_t kRowTiles, std::int32_t kOutTiles>
__device__ bool join_ranges(float (&total)[kRowTiles][kOutTiles][4], std::uint32_t& arrived, const LinearKernelArgs<Out>& args,
                            std::int32_t tile, std::int32_t range) {
  constexpr std::int32_t kTileSums = kRowTiles * kOutTiles * 4 * kThreads;
  float* const sums = args.scratch.sums + static_cast<std::int64_t>(tile) * args.sharing * kTileSums + 4 * thread_index();
#pragma unroll
  for (std::int32_t m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (std::int32_t n = 0; n < kOutTiles; ++n) {
      Words<16> four;
      for (std::int32_t i = 0; i < 4; ++i) four.words[i] = float_to_bits(total[m][n][i]);
      store_whole(reinterpret_cast<Words<16>*>(sums + range * kTileSums + (m * kOutTiles + n) * 4 * kThreads), four);
    }
  }
  block_barrier();  // the sums are there
  if (thread_index() == 0) {
    fence();
    arrived = atomic_add(args.scratch.arrived + tile, 1);
    fence();
  }
  block_barrier();
  if (static_cast<std::int32_t>(arrived) + 1 < args.sharing) return false;
  if (thread_index() == 0) atomic_add(args.scratch.arrived + tile, 0u - static_cast<std::uint32_t>(args.sharing));
#pragma unroll
  for (std::int32_t m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (std::int32_t n = 0; n < kOutTiles; ++n) {
      float joined[4] = {};
#pragma unroll 4
      for (std::int32_t other = 0; other < args.sharing; ++other) {
        const auto four = *reinterpret_cast<const Words<16>*>(sums + other * kTileSums + (m * kOutTiles + n) * 4 * kThreads);
        for (std::int32_t i = 0; i < 4; ++i) joined[i] += bits_to_float(four.words[i]);
      }
      for (std::int32_t i = 0; i < 4; ++i) total[m][n][i] = joined[i];
    }
  }
  return true;
}

template <class Out, std::int32_t kTileRows, std::int32_t kBytes>
__global__ void __launch_bounds__(kThreads) linear_kernel(LinearKernelArgs<Out> args) {
  using Part = WarpTile<kTileRows>;
  constexpr std::int32_t kAhead = kStages<kTileRows> - 1;  // stages that are copied while one is multiplied
  const std::int32_t tile = block_index() / args.sharing, range = block_index() % args.sharing;
  const std::int32_t row_begin = tile % args.row_tiles * kTileRows;
  const std::int32_t out_begin = tile / args.row_tiles * kTileOut;
  const std::int32_t row_count = *args.row_count;
  if (row_begin >= row_count) return;
  auto& mine = shared<LinearShared<kTileRows>>();
  const CachePolicy weight_policy = args.row_tiles == 1 ? read_once() : read_again();
  const auto copy_stage = [&](std::int32_t step) {
    const std::int32_t stage = step % kStages<kTileRows>;
    copy_tile<kBytes>(mine.x[stage], args.x, args.x_stride, row_begin, row_count, step * kTileK, args.in, read_again());
    copy_tile<kBytes>(mine.weight[stage], args.weight, args.weight_stride, out_begin, args.out, step * kTileK, args.in, weight_policy);
  };
  const std::int32_t warp_row = warp_index() / Part::kWarpsAcross * Part::kRows;
  const std::int32_t warp_out = warp_index() % Part::kWarpsAcross * Part::kOut;
  const std::int32_t steps = (args.in + kTileK - 1) / kTileK;
  const std::int32_t step_begin = range * args.range_steps;
  const std::int32_t step_end = args.sharing == 1 ? steps : std::min(steps, step_begin + args.range_steps);

  typename Part::Sums sums = {}, total = {};
  for (std::int32_t step = step_begin; step < step_begin + kAhead; ++step) {
    if (step < step_end) copy_stage(step);
    commit_copies();
  }
  std::int32_t range_end = step_begin + args.range_steps;
  for (std::int32_t step = step_begin; step < step_end; ++step) {
    wait_copies<kAhead - 1>();
    block_barrier();  // the stage is there, and all have read the one before, which is copied next
    if (step + kAhead < step_end) copy_stage(step + kAhead);
    commit_copies();  // at the end empty groups, so that as many may always be left
    multiply_tiles<kTileRows>(sums, mine.x[step % kStages<kTileRows>], mine.weight[step % kStages<kTileRows>], warp_row, warp_out);
    if (step + 1 == range_end || step + 1 == step_end) {
      end_range(total, sums);
      range_end += args.range_steps;
    }
  }
  if (args.sharing > 1 && !join_ranges(total, mine.arrived, args, tile, range)) return;

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
        float first = total[m][n][2 * half], second = total[m][n][2 * half + 1];
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

constexpr std::int64_t kBlocksWanted = 384;  // three on each multiprocessor of the largest devices
constexpr std::int64_t kRangeStepsMin = 8;   // a block reads at least eight times what it may leave for others
constexpr std::int32_t kFewRows = 16;        // which the smaller tile holds

std::int64_t in_tiles(std::int64_t count, std::int64_t tile) { return (count + tile - 1) / tile; }
std::int64_t tile_rows(std::int64_t rows) { return rows <= kFewRows ? kFewRows : 64; }

// How many blocks share a tile of y: one for each range, unless there are so many tiles that each has enough to do.
std::int64_t sharing_of(std::int64_t rows, std::int64_t out, std::int64_t in, std::int32_t range_columns) {
  const std::int64_t ranges = in_tiles(in, range_columns);
  const std::int64_t blocks = in_tiles(rows, tile_rows(rows)) * in_tiles(out, kTileOut) * ranges;
  return blocks <= LinearScratch::kBlocksMax ? ranges : 1;
}

template <class Out, std::int32_t kTileRows>
void launch_linear(Stream stream, const Tensor& y, const Tensor& x, const Tensor& weight, const LinearArgs& args) {
  const auto row_tiles = static_cast<std::int32_t>(in_tiles(y.rows, kTileRows));
  const std::int64_t sums_count = linear_sums_count(y.rows, y.cols, x.cols, args.range_columns);
  const bool shares = sums_count > 0 && sums_count <= args.scratch.sums_count;
  const LinearKernelArgs<Out> kernel_args{
      .y = data_of<Out>(y),
      .x = data_of<Bfloat16>(x),
      .weight = data_of<Bfloat16>(weight),
      .bias = args.bias,
      .y_stride = y.row_stride,
      .x_stride = x.row_stride,
      .weight_stride = weight.row_stride,
      .in = static_cast<std::int32_t>(x.cols),
      .out = static_cast<std::int32_t>(y.cols),
      .row_tiles = row_tiles,
      .range_steps = args.range_columns / kTileK,
      .sharing = shares ? static_cast<std::int32_t>(sharing_of(y.rows, y.cols, x.cols, args.range_columns)) : 1,
      .row_count = args.row_count,
      .scratch = args.scratch};
  const auto tiles = static_cast<std::int32_t>(row_tiles * in_tiles(y.cols, kTileOut));
  const LaunchShape shape{tiles * kernel_args.sharing, kThreads, sizeof(LinearShared<kTileRows>)};
  const bool wide = begins_at(x, 16) && begins_at(weight, 16);
  launch(wide ? linear_kernel<Out, kTileRows, 16> : linear_kernel<Out, kTileRows, 4>, shape, stream, kernel_args);
}

template <class Out>
void launch_linear(Stream stream, const Tensor& y, const Tensor& x, const Tensor& weight, const LinearArgs& args) {
  if (y.rows <= kFewRows) {
    launch_linear<Out, kFewRows>(stream, y, x, weight, args);
  } else {
    launch_linear<Out, 64>(stream, y, x, weight, args);
  }
}

}  // namespace

void linear(Stream stream, Tensor y, Tensor x, Tensor weight, const LinearArgs& args) {
  check(x.rows == y.rows && weight.rows == y.cols && weight.cols == x.cols, "expected y [T, out], x [T, in] and a weight [out, in]");
  check(begins_at(x, 4) && begins_at(weight, 4) && begins_at(y, 4), "expected rows at multiples of 4 bytes");
  check(args.range_columns > 0 && args.range_columns % kTileK == 0, "expected ranges of k that are multiples of 64");
  if (y.dtype == DType::f32) {
    launch_linear<float>(stream, y, x, weight, args);
  } else {
    launch_linear<Bfloat16>(stream, y, x, weight, args);
  }
}

std::int32_t linear_range_columns(std::int64_t out, std::int64_t in) {
  const std::int64_t ranges = in_tiles(kBlocksWanted, in_tiles(out, kTileOut));
  return static_cast<std::int32_t>(kTileK * std::max(kRangeStepsMin, in_tiles(in_tiles(in, kTileK), ranges)));
}

std::int64_t linear_sums_count(std::int64_t rows, std::int64_t out, std::int64_t in, std::int32_t range_columns) {
  const std::int64_t sharing = sharing_of(rows, out, in, range_columns);
  return sharing == 1 ? 0 : in_tiles(rows, tile_rows(rows)) * in_tiles(out, kTileOut) * sharing * tile_rows(rows) * kTileOut;
}

}  // namespace slora::cuda
