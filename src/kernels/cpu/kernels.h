#pragma once
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/cpu/int8_rows.h"
#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/packed_weight.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/train_kernels.h"
#include "kernels/cpu/weight_range.h"
#include "ops/kv_layer.h"
#include "ops/record_view.h"

namespace slora::cpu {

inline constexpr std::int64_t kLineWords = 16;  // words of 4 bytes in a cache line

// One record that a product adds, with its rows of z packed.
struct ExpandCall {
  const AppliedRecord* applied = nullptr;
  const RowTile* z_tiles = nullptr;  // of weight * scale * the record's `rank` columns of z; row_begin counts from the batch's first row
  std::size_t tile_count = 0;
  bool is_deferred = false;  // added after the product by ExpandDeferred, except for a bias that replaces the base's
};

// Records over the same few rows, to be added to columns [col_begin, col_end) of y. A slice may begin before y does.
struct ExpandDeferredItem {
  Tensor y;  // [T, out] fp32
  Tensor z;  // [T, z columns] fp32
  std::span<const AppliedRecord> records;
  std::int64_t col_begin = 0;
  std::int64_t col_end = 0;
};
inline constexpr std::int32_t kExpandDeferredRows = 8;

// The arguments of y = W x + bias + records, except for the columns to compute.
struct LinearCall {
  Tensor y;  // [T, columns of W x from col_begin on] fp32
  PackedWeight weight;
  const RowTile* x_tiles = nullptr;
  std::size_t tile_count = 0;
  std::span<const float> bias;  // [out] or empty
  std::span<const ExpandCall> records;
  std::int64_t col_begin = 0;
};

// The same with a W in 8 or 4 bits.
template <class Weight>
struct ByteLinearCall {
  Tensor y;  // [T, columns of W x from col_begin on] fp32
  Weight weight;
  std::span<const ByteRowTile<Weight>> tiles;
  std::span<const float> bias;  // [out] or empty
  std::span<const ExpandCall> records;
  std::int64_t col_begin = 0;
};

// The inner loops of products with such weights.
template <class Weight>
struct ByteKernels {
  int tile_rows;  // height of packed row tiles
  void (*linear_columns)(const ByteLinearCall<Weight>& call, std::int64_t panel_begin, std::int64_t panel_end);
  // Quantises groups [group_begin, group_end) of the tile's rows.
  void (*quantise)(const ByteRowTile<Weight>& tile, std::int64_t group_begin, std::int64_t group_end);
};

// z = A x of one record, for some of its rows (of x) and some of its ranks (rows of A).
struct ShrinkCall {
  Tensor z;  // [T, z columns] fp32
  Tensor x;  // [T, in] bf16
  const AppliedRecord* applied = nullptr;
  std::int32_t row_begin = 0;
  std::int32_t row_count = 0;
  std::int32_t rank_begin = 0;
  std::int32_t rank_count = 0;
  const std::byte* prefetch = nullptr;  // what the thread will read next, to be prefetched; or nullptr
};

// Consecutive queries of one span, for all query heads of one kv head, over some of the keys that they see.
struct AttendCall {
  Tensor out;  // [T, heads * head_dim] bf16
  Tensor q;    // [T, heads * head_dim] fp32
  const KvLayer* layer = nullptr;
  const SpanView* span = nullptr;
  const PageIndex* pages = nullptr;  // of the span
  AttendParams params{};
  std::int32_t group = 1;  // query heads of a kv head
  std::int32_t kv_head = 0;
  std::int32_t query_begin = 0;  // row within the span
  std::int32_t query_count = 0;
  std::int64_t key_begin = 0;  // absolute positions
  std::int64_t key_end = 0;
  std::byte* part = nullptr;  // where to leave a partial result for attend_merge; null: these are all keys, write to out
};

// The inner loops, compiled for one instruction set. Constant. Results may differ between instruction sets, never between calls of one.
struct Kernels {
  const char* name;
  int tile_rows;   // height of packed row tiles
  int pair_words;  // of each of their rows: 1 (two bf16) or 2 (two fp32)
  ByteKernels<Int8Weight> int8;
  ByteKernels<Int4Weight> int4;
  TrainKernels train;

  // Packs pairs [pair_begin, pair_end) of a tile's rows into out, the memory of its words.
  void (*pack_rows)(std::uint32_t* out, const RowTile& tile, std::int64_t pair_begin, std::int64_t pair_end);
  void (*linear_columns)(const LinearCall& call, std::int64_t panel_begin, std::int64_t panel_end);
  void (*shrink)(const ShrinkCall& call);
  // `next`: the item that follows, whose first weights are prefetched; or nullptr. Requires: at most kExpandDeferredRows rows.
  void (*expand_deferred)(const ExpandDeferredItem& turn, const ExpandDeferredItem* next);
  // Bytes of scratch that a call of attend for `rows` pairs of query and head needs, and of the partial result that it leaves.
  std::size_t (*attend_scratch_bytes)(const KvLayer& layer, std::int64_t rows);
  std::size_t (*attend_part_bytes)(const KvLayer& layer, std::int64_t rows);
  // `next`: the call that this thread is likely to run next, whose first keys are prefetched; or null.
  void (*attend)(const AttendCall& call, const AttendCall* next, std::byte* scratch);
  // Computes rows of out from all parts of one call, in the order of their keys.
  void (*attend_merge)(std::span<const AttendCall> parts);
  // One row, in groups of weight.size() columns: out (f32 or bf16) = in / sqrt(mean(in^2) + eps) * weight.
  void (*rms_norm)(std::byte* out, DType out_type, const float* in, std::int64_t cols, std::span<const float> weight, float eps);
  void (*add)(float* sum, const float* x, std::int64_t count);
  // out [count] bf16 = activation(gate) * up.
  void (*gated_silu)(Bfloat16* out, const float* gate, const float* up, std::int64_t count);
  void (*gated_gelu_tanh)(Bfloat16* out, const float* gate, const float* up, std::int64_t count);
  // x [count] = factor * x, and then, with a cap above 0, cap * tanh(x / cap), where -infinity stays.
  void (*rescale)(float* x, std::int64_t count, float factor, float cap);
  // One head: (a, b) = (a cos - b sin, b cos + a sin).
  void (*rope)(float* a, float* b, const float* cos, const float* sin, std::int64_t half);
  Peak (*find_peak)(const float* values, std::int64_t count);
  // Sets the values whose bits in the mask are zero to -infinity. mask [ceil(count / 32)]
  void (*mask_values)(float* values, std::int64_t count, const std::uint32_t* mask);
  // The number of values above `bound`. Requires: no NaN.
  std::int64_t (*count_above)(const float* values, std::int64_t count, float bound);
  // Writes the indices of the values above `bound` in ascending order; returns their number. out [count]. Requires: no NaN.
  std::int64_t (*find_above)(std::int32_t* out, const float* values, std::int64_t count, float bound);
  // out = exp((logits - highest) * inverse_temperature), and the sum of each kWeightBlock of them; returns the sum of all. Requires: no
  // logit above `highest`, none is NaN.
  double (*exp_weights)(float* out, double* block_sums, const float* logits, std::int64_t count, float highest, float inverse_temperature);
  // Counts and sums the weights inside and above the range. Writes the sums of those above for each block of kWeightBlock to above_sums
  // [blocks], and the indices of the first inside_max that are inside to inside [inside_max + kLanes], in ascending order. Requires:
  // weights are not negative, range.low is above 0.
  RangeTotals (*measure_range)(double* above_sums, std::int32_t* inside, std::int64_t inside_max, const float* weights, std::int64_t count,
                               const WeightRange& range);

  template <class Weight>
  [[nodiscard]] const ByteKernels<Weight>& of() const {
    if constexpr (std::is_same_v<Weight, Int8Weight>) {
      return int8;
    } else {
      return int4;
    }
  }
};

[[nodiscard]] const Kernels& portable_kernels();
// Defined on x86-64. Requires: a processor with AVX-512 F, BW, VL, DQ, BF16 and VNNI.
[[nodiscard]] const Kernels& avx512_kernels();
// Defined on x86-64. Requires: a processor with AVX-512 F, BW, VL, DQ and VNNI.
[[nodiscard]] const Kernels& avx512_vnni_kernels();
// Defined on x86-64. Requires: a processor with AVX-512 F, BW, VL and DQ.
[[nodiscard]] const Kernels& avx512f_kernels();
// Defined on x86-64. Requires: a processor with AVX2, FMA and AVX-VNNI.
[[nodiscard]] const Kernels& avx2_vnni_kernels();
// Defined on x86-64. Requires: a processor with AVX2 and FMA.
[[nodiscard]] const Kernels& avx2_kernels();
// Defined on arm64.
[[nodiscard]] const Kernels& neon_kernels();
// Whether this processor has AVX-VNNI.
[[nodiscard]] bool has_avx_vnni();
// Those that this machine can run, the fastest first. The same on all processors of one model: nothing is measured.
[[nodiscard]] std::vector<const Kernels*> usable_kernels();

}  // namespace slora::cpu
