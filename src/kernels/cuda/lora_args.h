#pragma once
#include <cstdint>

#include "tensor/dtype.h"

// What shrink and expand take: adapters' matrices, and work lists that are made once a step.
namespace slora::cuda {

// A part of a matrix in one piece of memory, since a page of the pool holds no more of it: whole rows or, where a row is longer than a
// page, columns [col_begin, col_begin + col_count) of one row. Blocks of columns begin at multiples of 64.
struct MatrixPiece {
  const Bfloat16* data;  // [row_count, col_count]
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t col_begin;
  std::int32_t col_count;
};

// How the matrices of a list lie in memory: in whole rows that begin at multiples of 16 bytes, or as they come, which is slower.
enum class MatrixAlignment : std::int32_t { any, sixteen_bytes };

// A of one linear module of one adapter: pieces [piece_begin, piece_begin + piece_count) of ShrinkList::pieces, ordered by row and column.
struct ShrinkRecord {
  std::int32_t piece_begin;
  std::int32_t piece_count;
  std::int32_t rank;
  std::int32_t z_begin;  // its first column of z
};

// z of rows [row_begin, row_begin + row_count) for 16 ranks of a record.
struct ShrinkItem {
  static constexpr std::int32_t kRowsMax = 64;
  static constexpr std::int32_t kRanks = 16;

  std::int32_t row_begin;
  std::int32_t row_count;  // at most kRowsMax
  std::int32_t record;
  std::int32_t rank_begin;  // a multiple of kRanks
};

// What one launch of shrink does. It lies in device memory, as everything that it names: the launches of a graph are repeated with the same
// arguments, but with other lists.
struct ShrinkList {
  const MatrixPiece* pieces;
  const ShrinkRecord* records;
  const ShrinkItem* items;
  std::int32_t item_count;
  MatrixAlignment alignment;
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
  const float* bias;           // [out], or null
  std::int32_t replaces_bias;  // 1: the bias is instead of the base's, which is subtracted
};

// A record at work on the rows of an item.
struct ExpandUse {
  std::int32_t record;
  float weight;
};

// Rows with the same uses: [use_begin, use_begin + use_count) of ExpandList::uses. No row is in two items.
struct ExpandItem {
  static constexpr std::int32_t kRowsMax = 16;

  std::int32_t row_begin;
  std::int32_t row_count;  // at most kRowsMax
  std::int32_t use_begin;
  std::int32_t use_count;
};

// What one launch of expand does, as ShrinkList. With sixteen_bytes every record's first output and number of outputs are multiples of 4,
// too.
struct ExpandList {
  const MatrixPiece* pieces;
  const ExpandRecord* records;
  const ExpandUse* uses;
  const ExpandItem* items;
  std::int32_t item_count;
  MatrixAlignment alignment;
};

// All arrays are in device memory.
struct ExpandArgs {
  const ExpandList* list;
  const float* base_bias;  // of the product [outputs], or null
  const float* z;          // [T, z columns] of shrink
  std::int64_t z_stride;
};

}  // namespace slora::cuda
