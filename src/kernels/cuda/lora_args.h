#pragma once
#include <cstdint>

#include "tensor/dtype.h"

// What shrink and expand take: adapters' matrices, and work lists that are made once a step.
namespace slora::cuda {

// Rows [row_begin, row_begin + row_count) of A [rank, in], in one piece of memory: a page of the pool holds no more of it.
struct RankRows {
  const Bfloat16* data;  // [row_count, in]
  std::int32_t row_begin;
  std::int32_t row_count;
};

// A of one linear module of one adapter: pieces [piece_begin, piece_begin + piece_count) of ShrinkArgs::pieces, in order.
struct ShrinkRecord {
  std::int32_t piece_begin;
  std::int32_t piece_count;
  std::int32_t rank;
  std::int32_t z_begin;  // its first column of z
};

// z of rows [row_begin, row_begin + row_count) for 16 ranks of a record, summed over one range of k.
struct ShrinkItem {
  static constexpr std::int32_t kRowsMax = 64;
  static constexpr std::int32_t kRanks = 16;

  std::int32_t row_begin;
  std::int32_t row_count;  // at most kRowsMax
  std::int32_t record;
  std::int32_t rank_begin;  // a multiple of kRanks
  std::int32_t split;       // k from split * split_columns on
};

}  // namespace slora::cuda
