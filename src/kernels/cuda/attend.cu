// out = softmax(scale q k^T) v for tiles of 16 or 32 rows (queries x heads of a group). Keys are cut into ranges at fixed positions, and
// each warp of a block takes its own blocks of 16 keys of a range, with stages of shared memory, a maximum and sums of its own, so that
// warps wait for one another only at the range's end. Then their parts are joined, in order. Which warp takes a block depends on the
// block's position alone; so a row's bits are the same in any tile, and whether one item has all of its ranges or each range is an item,
// whose parts another kernel joins.
#include "kernels/cuda/attend.h"

#include <algorithm>

#include "kernels/cuda/attend_tile.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kJoinThreads = 128;

template <std::int32_t kDim>
constexpr std::int32_t kWarps = kDim <= 128 ? AttendItem::kParts : 2;  // all stages together are at most 64 KiB
template <std::int32_t kDim>
constexpr std::int32_t kThreads = kWarpThreads* kWarps<kDim>;

template <std::int32_t kDim, std::int32_t kSlabs>
struct AttendShared {
  static constexpr std::int32_t kRows = kSlabs * kSlabRows;
  union OfWarp {
    KeyStages<kDim> stages;
    // The warp's part of a range's sums. Rows 8 words longer than their numbers: the pairs that a warp's lanes write at a time are in
    // different banks then.
    float sums[kRows][kDim + 8];
  };

  OfWarp warps[kWarps<kDim>];
  RowTile<kDim> queries[kSlabs];
  float maxima[kWarps<kDim>][kRows];
  float weights[kWarps<kDim>][kRows];        // sums of exponentials
  JoinFactors factors[kWarps<kDim>][kRows];  // of the warps' parts
  float joined[kRows][kDim];                 // sums over the ranges so far
  float inverse[kRows];                      // of their weights
};

// Leaves the warp's part of 16 rows, from `row_begin` of the tile on, where the block finds it: in place of its stages, which nobody reads
// any more.
template <std::int32_t kDim, std::int32_t kSlabs>
__device__ void leave_part(AttendShared<kDim, kSlabs>& mine, const Running<kDim>& running, std::int32_t row_begin) {
  const std::int32_t warp = warp_index(), group = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (std::int32_t half = 0; half < 2; ++half) {
    const std::int32_t row = row_begin + group + 8 * half;
    const float weight = running.row_weight(half);
    if (t == 0) {
      mine.maxima[warp][row] = running.maximum[half];
      mine.weights[warp][row] = weight;
    }
#pragma unroll
    for (std::int32_t n = 0; n < kDim / 8; ++n) {
      store_whole(reinterpret_cast<Words<8>*>(&mine.warps[warp].sums[row][8 * n + 2 * t]), running.pair(n, half));
    }
  }
}

// Leaves it where join_kernel finds it.
template <std::int32_t kDim>
__device__ void leave_part(const AttendKernelArgs& args, const AttendItem& item, const Running<kDim>& running, std::int32_t row_begin) {
  const std::int32_t group = lane_index() / 4, t = lane_index() % 4;
  const std::int32_t rows = item.query_count * args.group, head_dim = args.layer.head_dim;
#pragma unroll
  for (std::int32_t half = 0; half < 2; ++half) {
    const std::int32_t row = row_begin + group + 8 * half;
    const float weight = running.row_weight(half);
    if (row >= rows) continue;
    const std::int64_t at = item.part_row + warp_index() * rows + row;
    if (t == 0) args.op.parts.weights[at] = {running.maximum[half], weight};
    float* const sums = args.op.parts.sums + at * head_dim;
#pragma unroll
    for (std::int32_t n = 0; n < kDim / 8; ++n) {
      const std::int32_t column = 8 * n + 2 * t;
      if (column < head_dim) *reinterpret_cast<Words<8>*>(sums + column) = running.pair(n, half);
    }
  }
}

// out = joined sums / joined weights, of one column.
__device__ void store_result(const AttendKernelArgs& args, const Span& span, const TileRow& at, std::int32_t column, float sum,
                             float inverse_weight) {
  const float value[1] = {sum * inverse_weight};
  store(args.out + (span.row_begin + at.query) * args.out_stride + at.head * args.layer.head_dim + column, value);
}

// Joins the warps' parts of a range to the ranges before, and writes the result after the last. `joined`: of row thread_index().
template <std::int32_t kDim, std::int32_t kSlabs>
__device__ void join_range(AttendShared<kDim, kSlabs>& mine, JoinedRow& joined, const AttendKernelArgs& args, const Span& span,
                           const AttendItem& item, bool is_first, bool is_last) {
  const std::int32_t rows = item.query_count * args.group;
  block_barrier();  // all parts are there
  if (thread_index() < rows) {
    const std::int32_t row = thread_index();
    for (std::int32_t warp = 0; warp < kWarps<kDim>; ++warp) {
      store_whole(&mine.factors[warp][row], joined.add(mine.maxima[warp][row], mine.weights[warp][row]));
    }
    mine.inverse[row] = reciprocal(joined.weight);
  }
  block_barrier();  // all factors are there
  for (std::int32_t i = thread_index(); i < rows * kDim; i += kThreads<kDim>) {
    const std::int32_t row = i / kDim, column = i % kDim;
    if (column >= args.layer.head_dim) continue;
    float sum = is_first ? 0 : mine.joined[row][column];
    for (std::int32_t warp = 0; warp < kWarps<kDim>; ++warp) sum = mine.factors[warp][row].join(sum, mine.warps[warp].sums[row][column]);
    if (is_last) {
      store_result(args, span, tile_row(args, item.query_begin, item.kv_head, row), column, sum, mine.inverse[row]);
    } else {
      mine.joined[row][column] = sum;
    }
  }
  block_barrier();  // before the next keys overwrite the parts
}

// A warp's part of keys [key_begin, key_end): its blocks of them. With the first range of an item come the queries, whose copies the
// block's threads have begun.
template <std::int32_t kBytes, std::int32_t kSlabs, std::int32_t kDim>
__device__ void attend_range(Running<kDim> (&running)[kSlabs], AttendShared<kDim, kSlabs>& mine, const AttendKernelArgs& args,
                             const Span& span, std::int32_t kv_head, const std::int32_t (&positions)[kSlabs][2], std::int32_t key_begin,
                             std::int32_t key_end, bool is_first) {
  constexpr std::int32_t kBlocks = kWarps<kDim>;  // of a step
  // The addresses of more would take registers that sums have.
  constexpr std::int32_t kChunks = kBytes < 16 ? 1 : kSlabs == 1 && kDim <= 128 ? 4 : 2;
  KeyStages<kDim>& stages = mine.warps[warp_index()].stages;
  const std::int32_t steps_before = (key_begin / kBlockKeys + kBlocks - 1 - warp_index()) / kBlocks;
  const auto block_begin = [&](std::int32_t step) { return ((steps_before + step) * kBlocks + warp_index()) * kBlockKeys; };
  const auto copy_stage = [&](std::int32_t step) {
    if (block_begin(step) < key_end) {
      copy_keys<kBytes, kChunks>(stages.keys[step % 2], args, span, kv_head, args.layer.k_offset, block_begin(step), key_end);
      copy_keys<kBytes, kChunks>(stages.values[step % 2], args, span, kv_head, args.layer.v_offset, block_begin(step), key_end);
    }
    commit_copies();  // in the end empty groups
  };
  copy_stage(0);
  copy_stage(1);
  if (is_first) {
    wait_copies<1>();
    block_barrier();  // all have copied their part of the queries
  }
  for (std::int32_t step = 0; block_begin(step) < key_end; ++step) {
    wait_copies<1>();
    warp_barrier();
    attend_keys(running, mine.queries, stages.keys[step % 2], stages.values[step % 2], args, positions, block_begin(step));
    warp_barrier();  // before the next copies overwrite this stage
    copy_stage(step + 2);
  }
}

template <std::int32_t kDim, std::int32_t kSlabs, std::int32_t kBytes>
__global__ void __launch_bounds__(kThreads<kDim>) attend_kernel(AttendKernelArgs args) {
  auto& mine = shared<AttendShared<kDim, kSlabs>>();
  const AttendList& list = *args.op.list;
  const std::int32_t range_keys = args.op.range_keys;
  for (std::int32_t index = block_index(); index < list.item_count; index += block_count()) {
    const AttendItem& item = list.items[index];
    const Span span = args.op.spans.spans[item.span];
    const std::int32_t first = span.position_begin + item.query_begin;
    const std::int32_t key_begin = args.op.window == 0 ? 0 : std::max(0, first - args.op.window + 1);
    const std::int32_t key_end = first + item.query_count;
    std::int32_t positions[kSlabs][2];  // of the lane's rows
#pragma unroll
    for (std::int32_t slab = 0; slab < kSlabs; ++slab) {
      for (std::int32_t half = 0; half < 2; ++half) {
        positions[slab][half] = first + (slab * kSlabRows + 8 * half + lane_index() / 4) / args.group;
      }
    }
    copy_queries<kBytes>(mine.queries, args, span, item);

    const bool is_range = item.range != AttendItem::kAllRanges;
    const std::int32_t range_begin = is_range ? item.range : key_begin / range_keys;
    const std::int32_t range_end = is_range ? item.range + 1 : (key_end + range_keys - 1) / range_keys;
    JoinedRow joined;
    for (std::int32_t range = range_begin; range < range_end; ++range) {
      Running<kDim> running[kSlabs];
      attend_range<kBytes>(running, mine, args, span, item.kv_head, positions, std::max(key_begin, range * range_keys),
                           std::min(key_end, (range + 1) * range_keys), range == range_begin);
#pragma unroll
      for (std::int32_t slab = 0; slab < kSlabs; ++slab) {
        if (is_range) {
          leave_part(args, item, running[slab], slab * kSlabRows);
        } else {
          leave_part(mine, running[slab], slab * kSlabRows);
        }
      }
      if (is_range) {
        block_barrier();  // all have read the queries
      } else {
        join_range(mine, joined, args, span, item, range == range_begin, range + 1 == range_end);
      }
    }
  }
}

// Joins the parts of ranges, each kPartsOfRange. A block a row, where the tile has it.
template <std::int32_t kPartsOfRange>
__global__ void __launch_bounds__(kJoinThreads) join_kernel(AttendKernelArgs args) {
  const AttendList& list = *args.op.list;
  const std::int32_t head_dim = args.layer.head_dim;
  for (std::int32_t index = block_index(); index < list.join_count * args.op.tile_rows; index += block_count()) {
    const AttendJoin join = list.joins[index / args.op.tile_rows];
    const std::int32_t row = index % args.op.tile_rows, rows = join.query_count * args.group;
    const std::int32_t column = 2 * thread_index();
    if (row >= rows || column >= head_dim) continue;
    JoinedRow joined;
    float sums[2] = {};
#pragma unroll 4
    for (std::int32_t part = 0; part < join.range_count * kPartsOfRange; ++part) {
      const std::int64_t at = join.part_row + (part / kPartsOfRange * AttendItem::kParts + part % kPartsOfRange) * rows + row;
      const AttendParts::Weight weight = args.op.parts.weights[at];
      const auto part_sums = *reinterpret_cast<const Words<8>*>(args.op.parts.sums + at * head_dim + column);
      const JoinFactors factors = joined.add(weight.maximum, weight.sum);
      for (std::int32_t i = 0; i < 2; ++i) sums[i] = factors.join(sums[i], bits_to_float(part_sums.words[i]));
    }
    const TileRow to = tile_row(args, join.query_begin, join.kv_head, row);
    for (std::int32_t i = 0; i < 2; ++i) {
      store_result(args, args.op.spans.spans[join.span], to, column + i, sums[i], reciprocal(joined.weight));
    }
  }
}

template <std::int32_t kDim, std::int32_t kSlabs>
void launch_attend(Stream stream, const AttendKernelArgs& args, bool wide, std::int32_t blocks) {
  const LaunchShape shape{blocks, kThreads<kDim>, sizeof(AttendShared<kDim, kSlabs>)};
  launch(wide ? attend_kernel<kDim, kSlabs, 16> : attend_kernel<kDim, kSlabs, 4>, shape, stream, args);
  if (args.op.parts.sums == nullptr) return;
  launch(join_kernel<kWarps<kDim>>, {blocks, kJoinThreads}, stream, args);
}

template <std::int32_t kDim>
void launch_attend(Stream stream, const AttendKernelArgs& args, bool wide, std::int32_t blocks) {
  if (args.op.tile_rows == kSlabRows) {
    launch_attend<kDim, 1>(stream, args, wide, blocks);
  } else {
    launch_attend<kDim, attend_tile_rows(kDim) / kSlabRows>(stream, args, wide, blocks);
  }
}

}  // namespace

void attend(Stream stream, Tensor out, Tensor q, const KvPages& layer, const AttendArgs& args, std::int32_t blocks) {
  constexpr float kLog2E = 1.44269504f;
  constexpr std::int32_t kHeadDimMax = 2 * kJoinThreads;
  const std::int64_t heads = q.cols / layer.head_dim;
  check(out.cols == q.cols && q.cols % layer.head_dim == 0 && heads % layer.kv_heads == 0, "expected whole groups of heads");
  check(heads / layer.kv_heads <= AttendItem::kRowsMax && layer.head_dim % 2 == 0 && layer.head_dim <= kHeadDimMax,
        "expected heads that a tile can hold");
  check(q.row_stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(q.data) % 4 == 0, "expected rows of q at multiples of 4 bytes");
  check(args.range_keys > 0 && args.range_keys % AttendItem::kKeys == 0, "expected ranges of whole blocks of keys");
  check(args.tile_rows == AttendItem::kRowsMax || args.tile_rows == attend_tile_rows(layer.head_dim), "expected tiles of a known size");
  const AttendKernelArgs kernel_args{.out = data_of<Bfloat16>(out),
                                     .q = data_of<Bfloat16>(q),
                                     .out_stride = out.row_stride,
                                     .q_stride = q.row_stride,
                                     .group = static_cast<std::int32_t>(heads / layer.kv_heads),
                                     .scale = args.scale * kLog2E,
                                     .layer = layer,
                                     .op = args};
  const bool wide = layer.head_dim % kWide == 0 && is_wide(q) &&
                    (reinterpret_cast<std::uintptr_t>(layer.base) | layer.page_bytes | layer.k_offset | layer.v_offset) % 16 == 0;
  if (layer.head_dim <= 64) {
    launch_attend<64>(stream, kernel_args, wide, blocks);
  } else if (layer.head_dim <= 128) {
    launch_attend<128>(stream, kernel_args, wide, blocks);
  } else {
    launch_attend<256>(stream, kernel_args, wide, blocks);
  }
}

}  // namespace slora::cuda
