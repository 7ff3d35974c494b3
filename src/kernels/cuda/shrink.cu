// z = A x by tensor cores, one block an item: each of its warps sums over a range of k, and the ranges' sums are added in order. Operands
// go from global memory into registers: for 32 values of k, a lane loads eight consecutive ones of its rank row (lane / 4) of A and of its
// rows (lane / 4, + 8) of x, beginning at 8 (lane % 4). A product of m16n8k16 takes 16 values of k from pairs of words; which ones does not
// matter, as long as both operands agree.
#include "kernels/cuda/shrink.h"

#include <algorithm>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/matrix_row.h"

namespace slora::cuda {
namespace {

// An item of decoding is a few KiB of A for each warp, which waits for memory most of the time: many short ranges wait at once. Their
// number depends on nothing, their length on the width of x alone: so a row of z has the same bits in any batch.
constexpr std::int32_t kWarps = 16;
constexpr std::int32_t kThreads = kWarps * kWarpThreads;
constexpr std::int32_t kStep = 32;  // values of k at a time
constexpr std::int32_t kRankTiles = ShrinkItem::kRanks / 8;
constexpr std::int32_t kRowTilesMax = ShrinkItem::kRowsMax / 16;

// A lane's sums of 16 rows x 16 ranks: [rank tile][element of its product].
constexpr std::int32_t kLaneSums = kRankTiles * 4;
struct ShrinkShared {
  float sums[kWarps][kRowTilesMax * kLaneSums][kWarpThreads];  // of each range
};

struct ShrinkKernelArgs {
  float* z;           // [T, z columns]
  const Bfloat16* x;  // [T, in]
  std::int64_t z_stride;
  std::int64_t x_stride;
  std::int32_t in;
  std::int32_t range_columns;  // k of a warp
  std::int32_t layer;
  const ShrinkList* list;
};

// Eight elements of a row from column k on; zeros where there is no row (null) or beyond column `end`.
template <bool kWideRows>
__device__ Words<16> load_eight(const Bfloat16* row, std::int32_t k, std::int32_t end) {
  Words<16> eight = {};
  if (row == nullptr || k >= end) return eight;
  if constexpr (kWideRows) {
    return *reinterpret_cast<const Words<16>*>(row + k);
  } else {
    for (std::int32_t i = 0; i < 8; ++i) {
      if (k + i < end) eight.words[i / 2] |= static_cast<std::uint32_t>(row[k + i].bits) << (i % 2 * 16);
    }
    return eight;
  }
}

// The row of A with this rank for column k, as matrix_row(); or null.
__device__ inline const Bfloat16* rank_row(const LoraRecord& record, std::int32_t in, std::int32_t rank, std::int32_t k) {
  if (rank >= record.shrink_rank) return nullptr;
  return matrix_row(record.a, record.a_pieces, in, rank, k);
}

// The warp's range of k, summed for 16 kRowTiles rows.
template <std::int32_t kRowTiles, bool kWideRows>
__device__ void sum_range(ShrinkShared& mine, const ShrinkKernelArgs& args, const ShrinkItem& item, const LoraRecord& record) {
  const std::int32_t group = lane_index() / 4, t = lane_index() % 4;
  const std::int32_t begin = warp_index() * args.range_columns;
  const std::int32_t end = std::min(args.in, begin + args.range_columns);
  const Bfloat16* a_rows[kRankTiles] = {};
  const auto find_rows = [&](std::int32_t k) {
    for (std::int32_t n = 0; n < kRankTiles; ++n) a_rows[n] = rank_row(record, args.in, item.rank_begin + 8 * n + group, k);
  };
  if (begin < end) find_rows(begin);
  // The lane's rows of x are 8 rows apart.
  const Bfloat16* const x = args.x + (item.row_begin + group) * args.x_stride;
  const auto x_row = [&](std::int32_t row) { return group + row < item.row_count ? x + row * args.x_stride : nullptr; };

  float sums[kRowTiles][kRankTiles][4] = {};
  [[maybe_unused]] constexpr std::int32_t kUnroll =
      kWideRows && kRowTiles == 1 ? 4 : 1;  // enough loads in flight, but no more than 128 registers
#pragma unroll kUnroll
  for (std::int32_t k = begin; k < end; k += kStep) {
    if constexpr (!kWideRows) find_rows(k);  // a step lies in one block of columns
    Words<16> a[kRankTiles];
    for (std::int32_t n = 0; n < kRankTiles; ++n) a[n] = load_eight<kWideRows>(a_rows[n], k + 8 * t, end);
    for (std::int32_t m = 0; m < kRowTiles; ++m) {
      const Words<16> low = load_eight<kWideRows>(x_row(16 * m), k + 8 * t, end);
      const Words<16> high = load_eight<kWideRows>(x_row(16 * m + 8), k + 8 * t, end);
      for (std::int32_t pair = 0; pair < 4; pair += 2) {
        for (std::int32_t n = 0; n < kRankTiles; ++n) {
          mma_m16n8k16(sums[m][n], {low.words[pair], high.words[pair], low.words[pair + 1], high.words[pair + 1]},
                       {a[n].words[pair], a[n].words[pair + 1]});
        }
      }
    }
  }
  for (std::int32_t m = 0; m < kRowTiles; ++m) {
    for (std::int32_t i = 0; i < kLaneSums; ++i) mine.sums[warp_index()][m * kLaneSums + i][lane_index()] = sums[m][i / 4][i % 4];
  }
}

// The block: z of up to 16 kRowTiles rows for the item's ranks.
template <std::int32_t kRowTiles, bool kWideRows>
__device__ void shrink_rows(const ShrinkKernelArgs& args, const ShrinkItem& item, const LoraRecord& record) {
  auto& mine = shared<ShrinkShared>();
  sum_range<kRowTiles, kWideRows>(mine, args, item, record);
  block_barrier();  // all ranges are there
  for (std::int32_t i = thread_index(); i < kRowTiles * kLaneSums * kWarpThreads; i += kThreads) {
    const std::int32_t place = i / kWarpThreads, lane = i % kWarpThreads;
    const std::int32_t tile = place / kLaneSums, element = place % 4;
    const std::int32_t row = 16 * tile + 8 * (element / 2) + lane / 4;
    const std::int32_t rank = item.rank_begin + 8 * (place / 4 % kRankTiles) + 2 * (lane % 4) + element % 2;
    if (row >= item.row_count || rank >= record.shrink_rank) continue;
    float sum = 0;
#pragma unroll
    for (std::int32_t warp = 0; warp < kWarps; ++warp) sum += mine.sums[warp][place][lane];
    if (record.gains != nullptr && record.gains->rank_gain != nullptr) sum *= record.gains->rank_gain[rank];
    args.z[(item.row_begin + row) * args.z_stride + item.z_begin + record.z_begin + rank] = sum;
  }
  block_barrier();  // before the next item's sums overwrite these
}

template <bool kWideRows>
__device__ void shrink_item(const ShrinkKernelArgs& args, ShrinkItem item, const LoraRecord& record) {
  if (item.row_count <= 16) {
    shrink_rows<1, kWideRows>(args, item, record);
  } else if constexpr (kWideRows) {
    shrink_rows<kRowTilesMax, kWideRows>(args, item, record);
  } else {  // in parts, since it would need more registers
    const std::int32_t row_end = item.row_begin + item.row_count;
    for (; item.row_begin < row_end; item.row_begin += 16) {
      item.row_count = std::min(16, row_end - item.row_begin);
      shrink_rows<1, kWideRows>(args, item, record);
    }
  }
}

// kWideX: rows of x may be read 16 bytes at a time.
template <bool kWideX>
__global__ void __launch_bounds__(kThreads) shrink_kernel(ShrinkKernelArgs args) {
  const ShrinkList list = *args.list;
  for (std::int32_t i = block_index(); i < list.item_count; i += block_count()) {
    const ShrinkItem item = list.items[i];
    const LoraRecord record = item.table.records[args.layer * item.table.per_layer];
    if (item.rank_begin >= record.shrink_rank) continue;
    if (kWideX && record.is_a_wide != 0) {
      shrink_item<kWideX>(args, item, record);
    } else {
      shrink_item<false>(args, item, record);
    }
  }
}

}  // namespace

void shrink(Stream stream, Tensor z, Tensor x, const ShrinkList* list, std::int32_t layer, std::int32_t blocks) {
  const auto in = static_cast<std::int32_t>(x.cols);
  const ShrinkKernelArgs args{.z = data_of<float>(z),
                              .x = data_of<Bfloat16>(x),
                              .z_stride = z.row_stride,
                              .x_stride = x.row_stride,
                              .in = in,
                              .range_columns = (in + kWarps * kStep - 1) / (kWarps * kStep) * kStep,
                              .layer = layer,
                              .list = list};
  launch(is_wide(x) ? shrink_kernel<true> : shrink_kernel<false>, {blocks, kThreads, sizeof(ShrinkShared)}, stream, args);
}

}  // namespace slora::cuda
