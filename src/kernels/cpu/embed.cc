#include "kernels/cpu/embed.h"

#include <algorithm>

#include "kernels/cpu/rotation.h"

namespace slora::cpu {
namespace {

// The words of one row are 128 bytes apart, each in a cache line of its own, so they are prefetched this many words ahead.
constexpr std::int64_t kPrefetchDistance = 32;

void embed_row(float* out, const PackedWeight& table, std::int64_t row) {
  const std::uint32_t* words = table.panel(row / PackedWeight::kPanelCols) + row % PackedWeight::kPanelCols;
  const std::int64_t pairs = table.pairs();
  for (std::int64_t i = 0; i < pairs; ++i) {
    __builtin_prefetch(words + std::min(i + kPrefetchDistance, pairs - 1) * PackedWeight::kPanelCols);
    const std::uint32_t word = words[i * PackedWeight::kPanelCols];
    out[2 * i] = to_float(Bfloat16{static_cast<std::uint16_t>(word)});
    if (2 * i + 1 < table.in) out[2 * i + 1] = to_float(Bfloat16{static_cast<std::uint16_t>(word >> 16)});
  }
}

void embed_row(float* out, const Int8Weight& table, std::int64_t row) {
  const std::int64_t panel = row / Int8Weight::kPanelCols;
  const std::int64_t col = row % Int8Weight::kPanelCols;
  for (std::int64_t group = 0; group < table.group_count(); ++group) {
    const std::uint32_t* words = table.group(panel, group);
    const std::int64_t quads = table.quads_of(group);
    const float scale = to_float(reinterpret_cast<const Bfloat16*>(words + quads * Int8Weight::kPanelCols)[col]);
    const std::int64_t end = std::min(table.in, (group + 1) * Int8Weight::kGroup);
    for (std::int64_t k = group * Int8Weight::kGroup; k < end; ++k) {
      const std::int64_t quad = k / 4 % Int8Weight::kGroupQuads;
      if (k % 4 == 0)
        __builtin_prefetch(words + (quad + kPrefetchDistance) * Int8Weight::kPanelCols + col);  // beyond the group is the next one
      const std::uint32_t byte = words[quad * Int8Weight::kPanelCols + col] >> (8 * (k % 4)) & 0xffu;
      out[k] = scale * static_cast<float>(static_cast<std::int32_t>(byte) - 128);
    }
    const std::int64_t begin = group * Int8Weight::kGroup;
    rotate(out + begin, end - begin);
  }
}

void embed_row(float* out, const Int4Weight& table, std::int64_t row) {
  const std::int64_t panel = row / Int4Weight::kPanelCols;
  const std::int64_t col = row % Int4Weight::kPanelCols;
  for (std::int64_t k = 0; k < table.in; ++k) {
    std::uint32_t* group = table.group(panel, k / Int4Weight::kGroup);
    const std::int64_t index = k % Int4Weight::kGroup, half = index / (Int4Weight::kGroup / 2), byte = index % (Int4Weight::kGroup / 2);
    const std::uint32_t level = group[byte / 4 * Int4Weight::kPanelCols + col] >> (8 * (byte % 4) + 4 * half) & 0xfu;
    const Float16* scales = Int4Weight::scales(group);
    out[k] = to_float(scales[col]) * static_cast<float>(level) + to_float(scales[Int4Weight::kPanelCols + col]);
  }
}

template <class Coarse, class Fine>
void embed_row(float* out, const MixedWeight<Coarse, Fine>& table, std::int64_t row) {
  if (row < table.coarse.out) {
    embed_row(out, table.coarse, row);
  } else {
    embed_row(out, table.fine, row);
  }
}

std::int64_t rows_of(const auto& table) { return table.out; }
template <class Coarse, class Fine>
std::int64_t rows_of(const MixedWeight<Coarse, Fine>& table) {
  return table.fine.out;
}

template <class Weight>
void embed_rows(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Weight& table, TokenId first_token) {
  constexpr std::int64_t kElementCost = 8;  // mostly cache misses
  pool.parallel_rows(out.rows, kElementCost * out.cols, [&](std::int64_t t) {
    const std::int64_t row = ids[static_cast<std::size_t>(t)] - first_token;
    if (row >= 0 && row < rows_of(table)) {
      embed_row(out.row<float>(t), table, row);
    } else {
      std::fill_n(out.row<float>(t), out.cols, 0.0f);
    }
  });
}

}  // namespace

void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const PackedWeight& table, TokenId first_token) {
  embed_rows(pool, out, ids, table, first_token);
}
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int8Weight& table, TokenId first_token) {
  embed_rows(pool, out, ids, table, first_token);
}
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int4Weight& table, TokenId first_token) {
  embed_rows(pool, out, ids, table, first_token);
}
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int4Int8Weight& table, TokenId first_token) {
  embed_rows(pool, out, ids, table, first_token);
}
void embed(ThreadPool& pool, Tensor out, std::span<const TokenId> ids, const Int8Bf16Weight& table, TokenId first_token) {
  embed_rows(pool, out, ids, table, first_token);
}

}  // namespace slora::cpu
