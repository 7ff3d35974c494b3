#pragma once
#include <cstdint>

#include "tensor/dtype.h"

// What shrink and expand take: tables of adapters, which are made once for each, and work lists, which are made once a step and name no
// layer. All lie in device memory.
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

// What a record does besides adding B z and a bias, as RecordView says; null: nothing.
struct LoraGains {
  const float* input_gain = nullptr;  // [in]: multiplies x before the base's product
  const float* rank_gain = nullptr;   // [shrink_rank]: multiplies z
  const float* delta_gain = nullptr;  // [out]: multiplies B z, or what A and B make of the base's product
  const float* gain = nullptr;        // [out]: multiplies the product and what all records add to it, but no bias
  std::int32_t out = 0;               // of the record, whatever it does
  std::int32_t hadamard_rank = 0;     // of A and B that change the base's product, LowRank::hadamard; 0: they don't
};

// What one adapter does to one linear module of one layer: A [shrink_rank, in]; B and bias, which act on outputs [slice_begin, slice_begin
// + out) of a product. B [ceil(expand_rank / 2), 2 out] holds two ranks in a row: elements 2 i and 2 i + 1 of row p are ranks 2 p and 2 p +
// 1 of output i. A matrix is in one piece of memory, or in pieces ordered by row and column.
struct LoraRecord {
  const Bfloat16* a = nullptr;            // null: in pieces
  const Bfloat16* b = nullptr;            // null: in pieces
  const MatrixPiece* a_pieces = nullptr;  // null: in one
  const MatrixPiece* b_pieces = nullptr;  // null: in one
  const float* bias = nullptr;            // [out], or null
  const LoraGains* gains = nullptr;       // null: none, as of every LoRA
  std::int32_t z_begin = 0;               // its first column among those of the adapter
  std::int32_t slice_begin = 0;
  std::int32_t out = 0;  // 0: no B, no bias and no gain
  float scale = 0;
  std::uint16_t shrink_rank = 0;  // 0: no A
  std::uint16_t expand_rank = 0;  // 0: no B
  // Whether every row begins at a multiple of 16 bytes and is whole; of B, too, that slice_begin and out are multiples of 4. Other matrices
  // are read more slowly.
  std::uint8_t is_a_wide = 0;
  std::uint8_t is_b_wide = 0;
  std::uint8_t replaces_bias = 0;  // the bias is instead of the base's, which is subtracted
};
static_assert(sizeof(LoraRecord) == 72);

// The records of an adapter at the sites of one kind: those of layer l are records[l * per_layer] and the ones behind it, per_layer of
// them. A layer with fewer has empty ones.
struct LoraTable {
  const LoraRecord* records;
  std::int32_t per_layer;
};

// z of rows [row_begin, row_begin + row_count) for 16 ranks of one record, if the layer's has so many.
struct ShrinkItem {
  static constexpr std::int32_t kRowsMax = 64;
  static constexpr std::int32_t kRanks = 16;

  LoraTable table;  // beginning with the record of layer 0
  std::int32_t row_begin;
  std::int32_t row_count;   // at most kRowsMax
  std::int32_t rank_begin;  // a multiple of kRanks
  std::int32_t z_begin;     // the adapter's first column of z
};

// What launches of shrink do, one for each layer. The launches of a graph are repeated with the same arguments, but with other lists.
struct ShrinkList {
  const ShrinkItem* items;
  std::int32_t item_count;
};

// The records of an adapter at work on the rows of an item.
struct ExpandUse {
  LoraTable table;
  std::int32_t z_begin;  // the adapter's first column of z
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

// What launches of expand do, as ShrinkList.
struct ExpandList {
  const ExpandUse* uses;
  const ExpandItem* items;
  std::int32_t item_count;
};

// A row of x on its way through products of its own: multiplied by the input gain of a record or, for LowRank::hadamard, by rows of A.
struct ScaleItem {
  static constexpr std::int32_t kRanks = 32;
  static constexpr std::int32_t kInputGain = -1;

  LoraTable table;          // beginning with the record of layer 0
  std::int32_t row;         // of x and y
  std::int32_t rank_begin;  // a multiple of kRanks, or kInputGain
  std::int32_t count;       // of scaled rows: ranks, at most kRanks, if the layer's record has so many; or 1
  std::int32_t place;       // of the first among the scaled rows of all items
  float weight;
};

// Consecutive items, which one launch takes.
struct ScaleArgs {
  const ScaleItem* items;
  std::int32_t item_count;
  std::int32_t place_begin;  // of the first
  std::int32_t layer;
};

struct ExpandArgs {
  const ExpandList* list;
  std::int32_t layer;
  const float* base_bias;  // of the product [outputs], or null
  const float* z;          // [T, z columns] of shrink
  std::int64_t z_stride;
};

}  // namespace slora::cuda
