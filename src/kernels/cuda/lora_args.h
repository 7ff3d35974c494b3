#pragma once
#include <cstdint>

#include "tensor/dtype.h"

// What shrink and expand take: adapters' matrices, and work lists that are made once a step.
namespace slora::cuda {

// Rows [row_begin, row_begin + row_count) of a matrix, in one piece of memory: a page of the pool holds no more of it.
struct MatrixRows {
  const Bfloat16* data;  // [row_count, columns of the matrix]
  std::int32_t row_begin;
  std::int32_t row_count;
};

// Where the rows of all matrices of a launch begin: at multiples of 16 bytes, or as they come, which is slower.
enum class MatrixAlignment : std::uint8_t { any, sixteen_bytes };

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

// B and bias of one linear module of one adapter, which act on outputs [slice_begin, slice_begin + out) of a product. B [ceil(rank / 2),
// 2 out] holds two ranks in a row: elements 2 i and 2 i + 1 of row p are ranks 2 p and 2 p + 1 of output i.
struct ExpandRecord {
  std::int32_t piece_begin;
  std::int32_t piece_count;
  std::int32_t rank;  // 0: a bias only
  std::int32_t z_begin;
  std::int32_t slice_begin;
  std::int32_t out;
  float scale;
  const float* bias;  // [out], or null
};

// A record at work on the rows of an item.
struct ExpandUse {
  std::int32_t record;
  float weight;
};

// Rows with the same uses: [use_begin, use_begin + use_count) of ExpandArgs::uses. No row is in two items.
struct ExpandItem {
  static constexpr std::int32_t kRowsMax = 16;

  std::int32_t row_begin;
  std::int32_t row_count;  // at most kRowsMax
  std::int32_t use_begin;
  std::int32_t use_count;
};

// All arrays are in device memory.
struct ExpandArgs {
  const MatrixRows* pieces;
  const ExpandRecord* records;
  const ExpandUse* uses;
  const ExpandItem* items;
  const std::int32_t* item_count;
  const float* z;  // [splits * T, z columns] of shrink: z of a row is the sum over the splits
  std::int64_t z_stride;
  std::int32_t splits;
  std::int32_t rows;  // T
};

}  // namespace slora::cuda
