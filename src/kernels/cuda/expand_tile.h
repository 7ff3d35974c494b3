#pragma once
#include <cstdint>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/lora_args.h"

namespace slora::cuda {

// What a warp adds to y: up to 16 rows x 32 outputs. Lane (group, t) = (lane / 4, lane % 4) holds rows group and group + 8 of outputs 8 t
// .. 8 t + 7.
struct ExpandTile {
  static constexpr std::int32_t kOut = 32;

  // Four products of 8 outputs each. A lane's load of 16 bytes of B is two ranks of four outputs, 4 group .. 4 group + 3; each word goes to
  // a product of its own. So column c of product i is output 4 c + i, and a lane's columns 2 t and 2 t + 1 of all four are eight outputs in
  // a row.
  float sums[4][4] = {};

  __device__ float& at(std::int32_t half, std::int32_t i) { return sums[i % 4][2 * half + i / 4]; }
};

// z of a row at a rank, times `factor`; zero where there is no such rank. `z_begin`: the record's first column.
__device__ inline float load_z(const ExpandArgs& args, const LoraRecord& record, std::int32_t z_begin, std::int32_t row, std::int32_t rank,
                               float factor) {
  if (row < 0 || rank >= record.expand_rank) return 0;
  return args.z[row * args.z_stride + z_begin + rank] * factor;
}

// Four words of B: ranks 2 pair and 2 pair + 1 of the outputs [out, out + 4) of the record's slice; zeros where there are none.
template <bool kWideRows>
__device__ Words<16> load_pair(const LoraRecord& record, std::int32_t pair, std::int32_t out) {
  Words<16> words = {};
  if (2 * pair >= record.expand_rank || out + 3 < 0 || out >= record.out) return words;
  const MatrixPiece* piece = record.b_pieces;
  if (piece != nullptr) {
    while (pair >= piece->row_begin + piece->row_count) ++piece;
  }
  if constexpr (kWideRows) {
    const Bfloat16* const rows = piece == nullptr ? record.b : piece->data - static_cast<std::int64_t>(piece->row_begin) * record.out * 2;
    words = *reinterpret_cast<const Words<16>*>(rows + (static_cast<std::int64_t>(pair) * record.out + out) * 2);
  } else {
    for (std::int32_t i = 0; i < 4; ++i) {
      if (out + i < 0 || out + i >= record.out) continue;
      const std::int32_t column = 2 * (out + i);
      const Bfloat16* row = record.b + static_cast<std::int64_t>(pair) * record.out * 2;
      if (piece != nullptr) {
        while (column >= piece->col_begin + piece->col_count) ++piece;
        row = piece->data + static_cast<std::int64_t>(pair - piece->row_begin) * piece->col_count - piece->col_begin;
      }
      words.words[i] = reinterpret_cast<const Words<4>*>(row + column)->words[0];
    }
  }
  if (2 * pair + 1 == record.expand_rank) {  // an odd rank: memory may hold anything in place of the second
    for (std::uint32_t& word : words.words) word &= 0xffffu;
  }
  return words;
}

// tile += weight * scale * B z for outputs [out_begin, out_begin + 32) of y and the rows of an item.
template <bool kWideRows>
__device__ void expand_tile(ExpandTile& tile, const ExpandArgs& args, const ExpandItem& item, const ExpandUse& use,
                            const LoraRecord& record, std::int32_t out_begin) {
  // The high part of z alone has 8 bits, both have 16: with hundreds of ranks the other rounding is larger.
  constexpr std::int32_t kBothPartsRankMax = 128;
  const std::int32_t group = lane_index() / 4, t = lane_index() % 4;
  const std::int32_t slice_out = out_begin - record.slice_begin;
  const std::int32_t z_begin = use.z_begin + record.z_begin;
  const float factor = use.weight * record.scale;
  for (std::int32_t rank = 0; rank < record.expand_rank; rank += 16) {
    std::uint32_t high[4], low[4];
#pragma unroll
    for (std::int32_t word = 0; word < 4; ++word) {
      const std::int32_t row = group + 8 * (word % 2);
      const std::int32_t of_batch = row < item.row_count ? item.row_begin + row : -1;
      const std::int32_t k = rank + 8 * (word / 2) + 2 * t;
      const float first = load_z(args, record, z_begin, of_batch, k, factor);
      const float second = load_z(args, record, z_begin, of_batch, k + 1, factor);
      high[word] = pack_bf16(first, second);
      low[word] = pack_bf16(first - bits_to_float(high[word] << 16), second - bits_to_float(high[word] & 0xffff0000u));
    }
    const Words<16> b_first = load_pair<kWideRows>(record, rank / 2 + t, slice_out + 4 * group);
    const Words<16> b_second = load_pair<kWideRows>(record, rank / 2 + 4 + t, slice_out + 4 * group);
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      mma_m16n8k16(tile.sums[i], high, {b_first.words[i], b_second.words[i]});
      if (record.expand_rank <= kBothPartsRankMax) mma_m16n8k16(tile.sums[i], low, {b_first.words[i], b_second.words[i]});
    }
  }
}

// Calls visit(i, output of the record's slice) for those of the lane's eight outputs that are in it.
template <class Visit>
__device__ void for_each_output(const LoraRecord& record, std::int32_t out_begin, const Visit& visit) {
  const std::int32_t first = out_begin - record.slice_begin + 8 * (lane_index() % 4);
#pragma unroll
  for (std::int32_t i = 0; i < 8; ++i) {
    const std::int32_t out = first + i;
    if (out >= 0 && out < record.out) visit(i, out);
  }
}

// tile = before + delta_gain * tile
__device__ inline void scale_delta(ExpandTile& tile, const ExpandTile& before, const LoraRecord& record, std::int32_t out_begin) {
  const float* const gain = record.gains->delta_gain;
  for_each_output(record, out_begin, [&](std::int32_t i, std::int32_t out) {
    for (std::int32_t half = 0; half < 2; ++half) tile.at(half, i) *= gain[out];
  });
#pragma unroll
  for (std::int32_t i = 0; i < 16; ++i) tile.sums[i / 4][i % 4] += before.sums[i / 4][i % 4];
}

// tile += weight * bias, or bias - base bias where the record's replaces it.
__device__ inline void add_bias(ExpandTile& tile, const ExpandArgs& args, const ExpandUse& use, const LoraRecord& record,
                                std::int32_t out_begin) {
  for_each_output(record, out_begin, [&](std::int32_t i, std::int32_t out) {
    float bias = (record.replaces_bias != 0 ? 1.0f : use.weight) * record.bias[out];
    if (record.replaces_bias != 0 && args.base_bias != nullptr) bias -= args.base_bias[record.slice_begin + out];
    tile.at(0, i) += bias;
    tile.at(1, i) += bias;
  });
}

}  // namespace slora::cuda
