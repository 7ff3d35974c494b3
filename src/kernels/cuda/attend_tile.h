#pragma once
#include <cstdint>

#include "kernels/cuda/attend.h"
#include "kernels/cuda/elements.h"

// What a warp of attend does with a tile of rows (queries x heads of a group), by tensor cores: 16 rows at a time with 16 more keys.
namespace slora::cuda {

inline constexpr std::int32_t kBlockKeys = AttendItem::kKeys;
inline constexpr std::int32_t kSlabRows = 16;  // of a tile's rows, those of one product
// The score of a masked key, and the maximum over no key. A block in which a row sees no key leaves sums of garbage, which the first
// maximum over a key multiplies by 2^(kNoScore - maximum) = 0.
inline constexpr float kNoScore = -1e30f;

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

// 16 rows of queries, keys or values, cut into chunks of 8 elements; chunk c of row r lies at place c ^ (r % 8), so that eight rows' chunks
// c are in different banks.
template <std::int32_t kDim>
struct RowTile {
  struct alignas(16) Chunk {
    Bfloat16 elements[8];
  };
  Chunk chunks[16][kDim / 8];
};
template <std::int32_t kDim>
struct KeyStages {
  RowTile<kDim> keys[2];
  RowTile<kDim> values[2];
};

// Rows of a tile: which query and which head.
struct TileRow {
  std::int32_t query;
  std::int32_t head;
};
__device__ inline TileRow tile_row(const AttendKernelArgs& args, std::int32_t query_begin, std::int32_t kv_head, std::int32_t row) {
  return {query_begin + row / args.group, kv_head * args.group + row % args.group};
}

// Begins to copy chunk `chunk` of a row that lies at `from`, or zeros if that is null; zeros, too, from column head_dim on.
template <std::int32_t kBytes, std::int32_t kDim>
__device__ void copy_chunk(RowTile<kDim>& to, std::int32_t row, std::int32_t chunk, const Bfloat16* from, const KvPages& layer) {
  constexpr std::int32_t kPart = kBytes / 2;
  for (std::int32_t part = 0; part < 8; part += kPart) {
    const std::int32_t column = 8 * chunk + part;
    const bool exists = from != nullptr && column < layer.head_dim;
    copy_async<kBytes>(to.chunks[row][chunk ^ row % 8].elements + part,
                       exists ? from + column : reinterpret_cast<const Bfloat16*>(layer.base), exists ? kBytes : 0);
  }
}

// One warp: 16 rows of K or V, which lies at `offset` in each page. kChunks: of a lane at a time; more need more registers.
template <std::int32_t kBytes, std::int32_t kChunks, std::int32_t kDim>
__device__ void copy_keys(RowTile<kDim>& to, const AttendKernelArgs& args, const Span& span, std::int32_t kv_head, std::size_t offset,
                          std::int32_t key_begin, std::int32_t key_end) {
  const KvPages& layer = args.layer;
#pragma unroll kChunks
  for (std::int32_t i = lane_index(); i < kBlockKeys * (kDim / 8); i += kWarpThreads) {
    const std::int32_t row = i / (kDim / 8), key = key_begin + row;
    const Bfloat16* from = nullptr;
    if (key < key_end) {
      const std::size_t page = args.op.spans.pages[span.page_begin + key / layer.page_tokens];
      from = reinterpret_cast<const Bfloat16*>(layer.base + page * layer.page_bytes + offset) +
             (kv_head * layer.page_tokens + key % layer.page_tokens) * layer.head_dim;
    }
    copy_chunk<kBytes>(to, row, i % (kDim / 8), from, layer);
  }
}

// The block: the tile's rows of q, where it has them.
template <std::int32_t kBytes, std::int32_t kSlabs, std::int32_t kDim>
__device__ void copy_queries(RowTile<kDim> (&to)[kSlabs], const AttendKernelArgs& args, const Span& span, const AttendItem& item) {
#pragma unroll 1
  for (std::int32_t i = thread_index(); i < kSlabs * kSlabRows * (kDim / 8); i += thread_count()) {
    const std::int32_t row = i / (kDim / 8);
    const Bfloat16* from = nullptr;
    if (row < item.query_count * args.group) {
      const TileRow at = tile_row(args, item.query_begin, item.kv_head, row);
      from = args.q + (span.row_begin + at.query) * args.q_stride + at.head * args.layer.head_dim;
    }
    copy_chunk<kBytes>(to[row / kSlabRows], row % kSlabRows, i % (kDim / 8), from, args.layer);
  }
}

// A warp's running softmax of 16 rows over the keys so far. Lane (group, t) holds rows group and group + 8.
template <std::int32_t kDim>
struct Running {
  float sums[kDim / 8][4] = {};
  float maximum[2] = {kNoScore, kNoScore};
  float weight[2] = {};  // the lane's part of the row's sum

  __device__ float row_weight(std::int32_t half) const {
    float sum = weight[half] + shuffle_xor(weight[half], 1);
    sum += shuffle_xor(sum, 2);
    return sum;
  }
  __device__ Words<8> pair(std::int32_t n, std::int32_t half) const {
    return {{float_to_bits(sums[n][2 * half]), float_to_bits(sums[n][2 * half + 1])}};
  }
};

// Masks the scores of 16 rows with 16 keys, from `key_begin` on, and turns them into weights, as a product takes them. positions: of
// the lane's two rows.
template <std::int32_t kDim>
__device__ void weigh_keys(std::uint32_t (&weights)[4], Running<kDim>& running, float (&scores)[2][4], const std::int32_t (&positions)[2],
                           const AttendKernelArgs& args, std::int32_t key_begin) {
  const std::int32_t t = lane_index() % 4;
#pragma unroll
  for (std::int32_t half = 0; half < 2; ++half) {
    const std::int32_t position = positions[half];
    float maximum = running.maximum[half];
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      const std::int32_t key = key_begin + 8 * (i / 2) + 2 * t + i % 2;
      const bool is_seen = key <= position && (args.op.window == 0 || key > position - args.op.window);
      float& score = scores[i / 2][2 * half + i % 2];
      score = is_seen ? score * args.scale : kNoScore;
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
}

// Takes 16 more keys, from `key_begin` on, for all rows of a tile.
template <std::int32_t kSlabs, std::int32_t kDim>
__device__ void attend_keys(Running<kDim> (&running)[kSlabs], const RowTile<kDim> (&queries)[kSlabs], const RowTile<kDim>& keys,
                            const RowTile<kDim>& values, const AttendKernelArgs& args, const std::int32_t (&positions)[kSlabs][2],
                            std::int32_t key_begin) {
  const std::int32_t lane = lane_index();
  float scores[kSlabs][2][4] = {};
#pragma unroll
  for (std::int32_t k = 0; k < kDim / 16; ++k) {
    const std::int32_t row = lane / 16 * 8 + lane % 8;
    std::uint32_t b[4];  // keys 0-7 of two chunks, then keys 8-15
    load_matrices(b, &keys.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]);
#pragma unroll
    for (std::int32_t slab = 0; slab < kSlabs; ++slab) {
      const std::int32_t query = lane % 16;
      std::uint32_t a[4];  // rows 0-7 and 8-15 of one chunk, then of the next
      load_matrices(a, &queries[slab].chunks[query][(2 * k + lane / 16) ^ query % 8]);
      mma_m16n8k16(scores[slab][0], a, {b[0], b[1]});
      mma_m16n8k16(scores[slab][1], a, {b[2], b[3]});
    }
  }
  std::uint32_t weights[kSlabs][4];
#pragma unroll
  for (std::int32_t slab = 0; slab < kSlabs; ++slab) {
    weigh_keys(weights[slab], running[slab], scores[slab], positions[slab], args, key_begin);
  }
#pragma unroll
  for (std::int32_t n = 0; n < kDim / 16; ++n) {
    const std::int32_t row = lane % 16;
    std::uint32_t b[4];  // keys 0-7 and 8-15 of one chunk, then of the next
    load_matrices_transposed(b, &values.chunks[row][(2 * n + lane / 16) ^ row % 8]);
#pragma unroll
    for (std::int32_t slab = 0; slab < kSlabs; ++slab) {
      mma_m16n8k16(running[slab].sums[2 * n], weights[slab], {b[0], b[1]});
      mma_m16n8k16(running[slab].sums[2 * n + 1], weights[slab], {b[2], b[3]});
    }
  }
}

// Sums of a row over more keys are joined to those of the keys before it. One of the factors is always 1.
struct alignas(8) JoinFactors {
  float before;
  float part;

  __device__ float join(float sum, float part_sum) const { return multiply_add(part, part_sum, before * sum); }
};
struct JoinedRow {
  float maximum = kNoScore;
  float weight = 0;

  __device__ JoinFactors add(float part_maximum, float part_weight) {
    const float larger_maximum = larger(maximum, part_maximum);
    const JoinFactors factors{power_of_two(maximum - larger_maximum), power_of_two(part_maximum - larger_maximum)};
    maximum = larger_maximum;
    weight = factors.join(weight, part_weight);
    return factors;
  }
};

}  // namespace slora::cuda
