#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/int8_rows.h"
#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/weight_census.h"
#include "ops/kv_layer.h"
#include "ops/record_view.h"

namespace slora::cpu {

// One record of a product and its rows of z, packed.
struct ExpandCall {
  const AppliedRecord* applied = nullptr;
  const RowTile* z_tiles = nullptr;  // of weight * scale * the record's `rank` columns of z; row_begin counts from the batch's first row
  std::size_t tile_count = 0;
  bool is_late = false;  // added when the product is done, but for a bias in the place of the product's
};

// Records over the same few rows, on columns [col_begin, col_end) of y.
struct ExpandLateTurn {
  Tensor y;  // [T, out] fp32
  Tensor z;  // [T, z columns] fp32
  std::span<const AppliedRecord> records;
  std::int64_t col_begin = 0;
  std::int64_t col_end = 0;
};
inline constexpr std::int32_t kExpandLateRows = 8;

// All of y = W x + bias + records but which columns.
struct LinearCall {
  Tensor y;  // [T, columns of W x from col_begin on] fp32
  PackedWeight weight;
  const RowTile* x_tiles = nullptr;
  std::size_t tile_count = 0;
  std::span<const float> bias;  // [out] or empty
  std::span<const ExpandCall> records;
  std::int64_t col_begin = 0;
};

// The same where W is in bytes.
struct Int8LinearCall {
  Tensor y;  // [T, columns of W x from col_begin on] fp32
  Int8Weight weight;
  std::span<const Int8RowTile> tiles;
  std::span<const float> bias;  // [out] or empty
  std::span<const ExpandCall> records;
  std::int64_t col_begin = 0;
};

// z [rows, rank rows] of one record, for some of its rows and some of its rank rows.
struct ShrinkCall {
  Tensor z;  // [T, z columns] fp32
  Tensor x;  // [T, in] bf16
  const AppliedRecord* applied = nullptr;
  std::int32_t row_begin = 0;
  std::int32_t row_count = 0;
  std::int32_t rank_begin = 0;
  std::int32_t rank_count = 0;
  const std::byte* ahead = nullptr;  // what the thread reads then, asked for meanwhile; or nullptr
};

// Consecutive queries of one span for all heads of one kv head, over some of the keys they see.
struct AttendCall {
  Tensor out;  // [T, heads * head_dim] bf16
  Tensor q;    // [T, heads * head_dim] fp32
  const KvLayer* layer = nullptr;
  const SpanView* span = nullptr;
  AttendParams params{};
  std::int32_t group = 1;  // query heads of a kv head
  std::int32_t kv_head = 0;
  std::int32_t query_begin = 0;  // row within the span
  std::int32_t query_count = 0;
  std::int64_t key_begin = 0;  // absolute positions
  std::int64_t key_end = 0;
  std::byte* part = nullptr;  // where the result stays to be merged; null: these are all keys, and it goes to out
};

// The inner loops, compiled for one instruction set. Constant. Results may differ between sets, never between calls of one.
struct Kernels {
  const char* name;
  int tile_rows;       // height of packed row tiles
  int int8_tile_rows;  // the same over weights in bytes

  // Pairs [pair_begin, pair_end) of a tile's rows into out [pairs, rows].
  void (*pack_rows)(std::uint32_t* out, const RowTile& tile, std::int64_t pair_begin, std::int64_t pair_end);
  void (*linear_columns)(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end);
  void (*int8_linear_columns)(const Int8LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end);
  // Fills groups [group_begin, group_end) of the tile.
  void (*int8_quantise)(const Int8RowTile& tile, std::int64_t group_begin, std::int64_t group_end);
  void (*shrink)(const ShrinkCall& call);
  // `next`: what the thread does then, or nullptr. Requires: at most kExpandLateRows rows.
  void (*expand_late)(const ExpandLateTurn& turn, const ExpandLateTurn* next);
  // Bytes of scratch that a call of attend over `rows` pairs of query and head needs, and of a part it leaves.
  std::size_t (*attend_scratch_bytes)(const KvLayer& layer, std::int64_t rows);
  std::size_t (*attend_part_bytes)(const KvLayer& layer, std::int64_t rows);
  // `next`: what this thread is likely to do then, or null.
  void (*attend)(const AttendCall& call, const AttendCall* next, std::byte* scratch);
  // Rows of out from all parts of one call, in the order of their keys.
  void (*attend_merge)(std::span<const AttendCall> parts);
  // One row: out f32 or bf16 = in / sqrt(mean(in^2) + eps) * weight, group after group of weight.size() columns.
  void (*rms_norm)(std::byte* out, DType out_type, const float* in, std::int64_t cols, std::span<const float> weight, float eps);
  void (*add)(float* sum, const float* x, std::int64_t count);
  // out [count] bf16 = silu(gate) * up.
  void (*gated_silu)(Bfloat16* out, const float* gate, const float* up, std::int64_t count);
  // One head: (a, b) = (a cos - b sin, b cos + a sin).
  void (*rope)(float* a, float* b, const float* cos, const float* sin, std::int64_t half);
  Peak (*find_peak)(const float* values, std::int64_t count);
  // How many values are above `bound`. No NaN among the values.
  std::int64_t (*count_above)(const float* values, std::int64_t count, float bound);
  // Indices, ascending, of values above `bound`: how many. out [count]. No NaN among the values.
  std::int64_t (*find_above)(std::int32_t* out, const float* values, std::int64_t count, float bound);
  // out = exp((logits - highest) * inverse_temperature), and the sum of each kWeightBlock of them; returns the sum of all. Requires: no
  // logit above `highest`, none is NaN.
  double (*exp_weights)(float* out, double* block_sums, const float* logits, std::int64_t count, float highest, float inverse_temperature);
  // Counts and sums weights, and writes what is above, by blocks, and the indices, ascending, of the first inside_max that are inside.
  // above_sums [blocks], inside [inside_max + kLanes]. Requires: weights are not negative, range.low is above 0.
  Census (*take_census)(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights, std::int64_t count,
                        const WeightRange& range);
};

[[nodiscard]] const Kernels& portable_kernels();
// All that this machine can run, the fastest first.
[[nodiscard]] std::vector<const Kernels*> usable_kernels();

}  // namespace slora::cpu
