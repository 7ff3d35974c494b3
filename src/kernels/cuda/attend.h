#pragma once
#include <cstdint>

#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// A few consecutive queries of one span with the query heads of one kv head: the rows of one tile. It attends to all keys that its queries
// see, or to one range of them.
struct AttendItem {
  static constexpr std::int32_t kRowsMax = 16;  // queries times heads of the group, where AttendArgs::tile_rows allows no more
  static constexpr std::int32_t kKeys = 16;     // of a product
  static constexpr std::int32_t kParts = 4;     // that a range of keys gives
  static constexpr std::int32_t kAllRanges = -1;

  std::int32_t span;
  std::int32_t query_begin;  // in the span
  std::int32_t query_count;
  std::int32_t kv_head;
  std::int32_t range = kAllRanges;  // keys [range * range_keys, (range + 1) * range_keys)
  std::int32_t part_row = 0;        // of a range: where its parts begin in AttendParts
};

// A tile of which each range of keys was an item: its result is made of their parts.
struct AttendJoin {
  std::int32_t span;
  std::int32_t query_begin;
  std::int32_t query_count;
  std::int32_t kv_head;
  std::int32_t part_row;     // of the first range; the others' follow
  std::int32_t range_count;  // from the first key on that the first query sees
};

// Results over some of a row's keys. A range has kParts parts of as many rows as its tile; part p of row r is at part_row + p * rows + r.
struct AttendParts {
  struct alignas(8) Weight {
    float maximum;  // of the scores, in base 2
    float sum;      // of 2^(score - maximum)
  };
  float* sums = nullptr;      // [rows of parts, head_dim]: of 2^(score - maximum) v
  Weight* weights = nullptr;  // [rows of parts]
};

// Rows of the largest tiles. They read keys and values once for more queries, which is what prompts need; a few queries of a sequence leave
// most of one empty.
constexpr std::int32_t attend_tile_rows(std::int32_t head_dim) { return head_dim <= 128 ? 32 : AttendItem::kRowsMax; }

// What one launch of attend does. It lies in device memory, as the items: the launches of a graph are repeated with the same arguments, but
// with other lists.
struct AttendList {
  const AttendItem* items;
  std::int32_t item_count;
  std::int32_t join_count = 0;
  const AttendJoin* joins = nullptr;
};

// All arrays are in device memory; the launches depend on none of them but on `blocks`, on the rows of tiles, and on whether there is
// memory for parts.
struct AttendArgs {
  // A range's keys and values are 128 KiB at a head_dim of 64; the parts of 4 query heads are 3 % of that.
  static constexpr std::int32_t kRangeKeys = 512;

  StepSpans spans;
  const AttendList* list;
  float scale;                                    // of q k^T
  std::int32_t window;                            // keys a query sees, itself included; 0 = all before it
  std::int32_t range_keys = kRangeKeys;           // a multiple of AttendItem::kKeys
  AttendParts parts{};                            // of items of one range; without, there are none, and no joins
  std::int32_t tile_rows = AttendItem::kRowsMax;  // queries times heads of an item at most: that, or attend_tile_rows(head_dim)
};

// Causal attention of q [T, heads * head_dim] bf16 over the stored keys and values; out [T, heads * head_dim] bf16. Query head h reads kv
// head h / (heads / kv_heads). Requires: at most 16 query heads a kv head, an even head_dim up to 256. A row's bits depend on its own keys
// and on range_keys alone: not on the other rows of its tile, on the tile's size, nor on whether its ranges are items.
void attend(Stream stream, Tensor out, Tensor q, const KvPages& layer, const AttendArgs& args, std::int32_t blocks);

}  // namespace slora::cuda
