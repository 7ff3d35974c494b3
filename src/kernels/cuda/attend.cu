// out = softmax(scale q k^T) v for tiles of 16 rows (queries x heads of a group), by tensor cores. Each warp of a block takes every fourth
// block of 16 keys, with stages of shared memory, a maximum and a sum of its own, so that warps wait for one another only at the end, when
// the four parts become one.
#include "kernels/cuda/attend.h"

#include <algorithm>

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kWarps = 4;
constexpr std::int32_t kThreads = kWarps * kWarpThreads;
constexpr std::int32_t kKeys = 16;  // of a block of keys
constexpr std::int32_t kRows = AttendItem::kRowsMax;
// The score of a masked key, and the maximum over no key. A block in which a row sees no key leaves sums of garbage, which the first
// maximum over a key multiplies by 2^(kNone - maximum) = 0.
constexpr float kNone = -1e30f;

struct AttendKernelArgs {
  Bfloat16* out;      // [T, heads * head_dim]
  const Bfloat16* q;  // [T, heads * head_dim]
  std::int64_t out_stride;
  std::int64_t q_stride;
  std::int32_t group;  // query heads of a kv head
  float scale;         // in base 2
  KvPages layer;
  AttendArgs op;
};

// 16 rows of keys or values, cut into chunks of 8 elements; chunk c of row r lies at place c ^ (r % 8), so that eight rows' chunks c are in
// different banks.
template <std::int32_t kDim>
struct KeyTile {
  struct alignas(16) Chunk {
    Bfloat16 elements[8];
  };
  Chunk chunks[kKeys][kDim / 8];
};
template <std::int32_t kDim>
struct KeyStages {
  KeyTile<kDim> keys[2];
  KeyTile<kDim> values[2];
};
template <std::int32_t kDim>
struct PartSums {
  // Rows 8 words longer than their numbers: the pairs that a warp's lanes write at a time are in different banks then.
  float values[kRows][kDim + 8];
};
template <std::int32_t kDim>
union WarpShared {
  KeyStages<kDim> stages;
  PartSums<kDim> sums;  // the warp's part of the output, in the end
};
template <std::int32_t kDim>
struct AttendShared {
  WarpShared<kDim> warps[kWarps];
  float maxima[kWarps][kRows];
  float weights[kWarps][kRows];  // sums of exponentials
};

// Rows of a tile: which query and which head.
struct TileRow {
  std::int32_t query;
  std::int32_t head;
};
__device__ inline TileRow tile_row(const AttendKernelArgs& args, const AttendItem& item, std::int32_t row) {
  return {item.query_begin + row / args.group, item.kv_head * args.group + row % args.group};
}

// Begins to copy 16 keys' rows from K or V, which lies at `offset` in each page; zeros where there is no key or column.
template <std::int32_t kBytes, std::int32_t kDim>
__device__ void copy_keys(KeyTile<kDim>& to, const AttendKernelArgs& args, const Span& span, std::int32_t kv_head, std::size_t offset,
                          std::int32_t key_begin, std::int32_t key_end) {
  constexpr std::int32_t kPart = kBytes / 2;
  const KvPages& layer = args.layer;
  for (std::int32_t i = lane_index(); i < kKeys * (kDim / 8); i += kWarpThreads) {
    const std::int32_t row = i / (kDim / 8), chunk = i % (kDim / 8);
    const std::int32_t key = key_begin + row;
    const Bfloat16* from = reinterpret_cast<const Bfloat16*>(layer.base);
    if (key < key_end) {
      const std::size_t page = args.op.spans.pages[span.page_begin + key / layer.page_tokens];
      from = reinterpret_cast<const Bfloat16*>(layer.base + page * layer.page_bytes + offset) +
             (kv_head * layer.page_tokens + key % layer.page_tokens) * layer.head_dim;
    }
    for (std::int32_t part = 0; part < 8; part += kPart) {
      const std::int32_t column = 8 * chunk + part;
      const bool exists = key < key_end && column < layer.head_dim;
      copy_async<kBytes>(to.chunks[row][chunk ^ row % 8].elements + part,
                         exists ? from + column : reinterpret_cast<const Bfloat16*>(layer.base), exists ? kBytes : 0);
    }
  }
}

// A warp's running softmax over the keys so far. Lane (group, t) holds rows group and group + 8.
template <std::int32_t kDim>
struct Running {
  float sums[kDim / 8][4] = {};
  float maximum[2] = {kNone, kNone};
  float weight[2] = {};  // the lane's part of the row's sum
};

// The two words of q for 16 columns from `column` on, as a product takes them.
template <std::int32_t kDim>
__device__ void load_queries(std::uint32_t (&words)[kDim / 16][4], const AttendKernelArgs& args, const Span& span, const AttendItem& item) {
  const std::int32_t group = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (std::int32_t k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (std::int32_t word = 0; word < 4; ++word) {
      const std::int32_t row = group + 8 * (word % 2), column = 16 * k + 8 * (word / 2) + 2 * t;
      words[k][word] = 0;
      if (row >= item.query_count * args.group || column >= args.layer.head_dim) continue;
      const TileRow at = tile_row(args, item, row);
      const Bfloat16* const from = args.q + (span.row_begin + at.query) * args.q_stride + at.head * args.layer.head_dim + column;
      words[k][word] = reinterpret_cast<const Words<4>*>(from)->words[0];
    }
  }
}

// Takes 16 more keys, from `key_begin` on.
template <std::int32_t kDim>
__device__ void attend_keys(Running<kDim>& running, const std::uint32_t (&queries)[kDim / 16][4], const KeyTile<kDim>& keys,
                            const KeyTile<kDim>& values, const AttendKernelArgs& args, const Span& span, const AttendItem& item,
                            std::int32_t key_begin) {
  const std::int32_t lane = lane_index(), group = lane / 4, t = lane % 4;
  float scores[2][4] = {};
#pragma unroll
  for (std::int32_t k = 0; k < kDim / 16; ++k) {
    const std::int32_t row = lane / 16 * 8 + lane % 8;
    std::uint32_t b[4];  // keys 0-7 of two chunks, then keys 8-15
    load_matrices(b, &keys.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]);
    mma_m16n8k16(scores[0], queries[k], {b[0], b[1]});
    mma_m16n8k16(scores[1], queries[k], {b[2], b[3]});
  }

  // Mask, and the softmax of each row over the keys so far.
  std::uint32_t weights[4];
#pragma unroll
  for (std::int32_t half = 0; half < 2; ++half) {
    const std::int32_t position = span.position_begin + tile_row(args, item, group + 8 * half).query;
    float maximum = running.maximum[half];
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      const std::int32_t key = key_begin + 8 * (i / 2) + 2 * t + i % 2;
      const bool is_seen = key <= position && (args.op.window == 0 || key > position - args.op.window);
      float& score = scores[i / 2][2 * half + i % 2];
      score = is_seen ? score * args.scale : kNone;
      maximum = larger(maximum, score);
    }
    maximum = larger(maximum, shuffle_xor(maximum, 1));  // the four lanes of a row
    maximum = larger(maximum, shuffle_xor(maximum, 2));
    const float correction = power_of_two(running.maximum[half] - maximum);
    running.maximum[half] = maximum;
    running.weight[half] *= correction;
#pragma unroll
    for (std::int32_t n = 0; n < 2; ++n) {
      float(&pair)[4] = scores[n];
      for (std::int32_t i = 2 * half; i < 2 * half + 2; ++i) {
        pair[i] = power_of_two(pair[i] - maximum);
        running.weight[half] += pair[i];
      }
      weights[2 * n + half] = pack_bf16(pair[2 * half], pair[2 * half + 1]);
    }
#pragma unroll
    for (std::int32_t n = 0; n < kDim / 8; ++n) {
      running.sums[n][2 * half] *= correction;
      running.sums[n][2 * half + 1] *= correction;
    }
  }

#pragma unroll
  for (std::int32_t n = 0; n < kDim / 16; ++n) {
    const std::int32_t row = lane % 16;
    std::uint32_t b[4];  // keys 0-7 and 8-15 of one chunk, then of the next
    load_matrices_transposed(b, &values.chunks[row][(2 * n + lane / 16) ^ row % 8]);
    mma_m16n8k16(running.sums[2 * n], weights, {b[0], b[1]});
    mma_m16n8k16(running.sums[2 * n + 1], weights, {b[2], b[3]});
  }
}

// Leaves the warp's part where the block finds it: in place of its stages, which nobody reads any more.
template <std::int32_t kDim>
__device__ void leave_part(AttendShared<kDim>& mine, const Running<kDim>& running) {
  const std::int32_t warp = warp_index(), group = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (std::int32_t half = 0; half < 2; ++half) {
    const std::int32_t row = group + 8 * half;
    float weight = running.weight[half] + shuffle_xor(running.weight[half], 1);
    weight += shuffle_xor(weight, 2);
    if (t == 0) {
      mine.maxima[warp][row] = running.maximum[half];
      mine.weights[warp][row] = weight;
    }
#pragma unroll
    for (std::int32_t n = 0; n < kDim / 8; ++n) {
      Words<8> pair;
      pair.words[0] = float_to_bits(running.sums[n][2 * half]);
      pair.words[1] = float_to_bits(running.sums[n][2 * half + 1]);
      store_whole(reinterpret_cast<Words<8>*>(&mine.warps[warp].sums.values[row][8 * n + 2 * t]), pair);
    }
  }
}

// out = sum of the parts' sums / sum of their weights, each times 2^(its maximum - the largest).
template <std::int32_t kDim>
__device__ void join_parts(const AttendShared<kDim>& mine, const AttendKernelArgs& args, const Span& span, const AttendItem& item) {
  const std::int32_t head_dim = args.layer.head_dim;
  for (std::int32_t i = thread_index(); i < item.query_count * args.group * kDim; i += kThreads) {
    const std::int32_t row = i / kDim, column = i % kDim;
    if (column >= head_dim) continue;
    float maximum = kNone;
    for (std::int32_t warp = 0; warp < kWarps; ++warp) maximum = larger(maximum, mine.maxima[warp][row]);
    float sum = 0, weight = 0;
    for (std::int32_t warp = 0; warp < kWarps; ++warp) {
      const float factor = power_of_two(mine.maxima[warp][row] - maximum);
      sum += factor * mine.warps[warp].sums.values[row][column];
      weight += factor * mine.weights[warp][row];
    }
    const TileRow at = tile_row(args, item, row);
    const float value[1] = {sum * reciprocal(weight)};
    store(args.out + (span.row_begin + at.query) * args.out_stride + at.head * head_dim + column, value);
  }
}

template <std::int32_t kDim, std::int32_t kBytes>
__global__ void __launch_bounds__(kThreads) attend_kernel(AttendKernelArgs args) {
  auto& mine = shared<AttendShared<kDim>>();
  KeyStages<kDim>& stages = mine.warps[warp_index()].stages;
  const AttendList list = *args.op.list;
  for (std::int32_t index = block_index(); index < list.item_count; index += block_count()) {
    const AttendItem item = list.items[index];
    const Span span = args.op.spans.spans[item.span];
    const std::int32_t first = span.position_begin + item.query_begin;
    const std::int32_t key_end = first + item.query_count;
    // A key's warp depends on its position alone, so that a row adds up the same parts in whichever item it is.
    constexpr std::int32_t kAll = kWarps * kKeys;
    const std::int32_t key_begin = args.op.window == 0 ? 0 : std::max(0, first - args.op.window + 1) / kAll * kAll;
    const auto block_begin = [&](std::int32_t step) { return key_begin + (step * kWarps + warp_index()) * kKeys; };
    const auto copy_stage = [&](std::int32_t step) {
      copy_keys<kBytes>(stages.keys[step % 2], args, span, item.kv_head, args.layer.k_offset, block_begin(step), key_end);
      copy_keys<kBytes>(stages.values[step % 2], args, span, item.kv_head, args.layer.v_offset, block_begin(step), key_end);
    };

    std::uint32_t queries[kDim / 16][4];
    load_queries<kDim>(queries, args, span, item);
    Running<kDim> running;
    if (block_begin(0) < key_end) copy_stage(0);
    commit_copies();
    for (std::int32_t step = 0; block_begin(step) < key_end; ++step) {
      if (block_begin(step + 1) < key_end) copy_stage(step + 1);
      commit_copies();  // the last time an empty group
      wait_copies<1>();
      warp_barrier();
      attend_keys<kDim>(running, queries, stages.keys[step % 2], stages.values[step % 2], args, span, item, block_begin(step));
      warp_barrier();  // before the next copies overwrite this stage
    }
    leave_part(mine, running);
    block_barrier();
    join_parts(mine, args, span, item);
    block_barrier();  // before the next item's parts
  }
}

template <std::int32_t kDim>
void launch_attend(Stream stream, const AttendKernelArgs& args, bool wide, std::int32_t blocks) {
  const LaunchShape shape{blocks, kThreads, sizeof(AttendShared<kDim>)};
  launch(wide ? attend_kernel<kDim, 16> : attend_kernel<kDim, 4>, shape, stream, args);
}

}  // namespace

void attend(Stream stream, Tensor out, Tensor q, const KvPages& layer, const AttendArgs& args, std::int32_t blocks) {
  constexpr float kLog2E = 1.44269504f;
  const std::int64_t heads = q.cols / layer.head_dim;
  check(out.cols == q.cols && q.cols % layer.head_dim == 0 && heads % layer.kv_heads == 0, "expected whole groups of heads");
  check(heads / layer.kv_heads <= kRows && layer.head_dim % 2 == 0 && layer.head_dim <= 128, "expected heads that a tile can hold");
  check(q.row_stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(q.data) % 4 == 0, "expected rows of q at multiples of 4 bytes");
  const AttendKernelArgs kernel_args{.out = data_of<Bfloat16>(out),
                                     .q = data_of<Bfloat16>(q),
                                     .out_stride = out.row_stride,
                                     .q_stride = q.row_stride,
                                     .group = static_cast<std::int32_t>(heads / layer.kv_heads),
                                     .scale = args.scale * kLog2E,
                                     .layer = layer,
                                     .op = args};
  const bool wide = layer.head_dim % kWide == 0 &&
                    (reinterpret_cast<std::uintptr_t>(layer.base) | layer.page_bytes | layer.k_offset | layer.v_offset) % 16 == 0;
  if (layer.head_dim <= 64) {
    launch_attend<64>(stream, kernel_args, wide, blocks);
  } else {
    launch_attend<128>(stream, kernel_args, wide, blocks);
  }
}

}  // namespace slora::cuda
