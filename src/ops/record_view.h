#pragma once
#include <cstdint>

#include "ops/sparse_matrix.h"
#include "ops/tiled_matrix.h"

namespace slora {

enum class BiasMode : std::uint8_t { add, replace };

// How A and B change a product.
enum class LowRank : std::uint8_t {
  sum,       // adds B (A x)
  hadamard,  // adds (B A o W) x, where o multiplies element by element: sum over ranks j of B[:, j] * W (A[j, :] * x)
};

// What one adapter does to one linear module, whose product is W x and whose bias is the base's:
//   y[slice] = gain * (W (input_gain * x) + weight * scale * delta_gain * B (rank_gain * (A x)) + weight * S x) + c
// where a gain multiplies element by element, one that is missing is 1, S is sparse, and c is the base's bias, or this record's instead
// (mode replace), or both (mode add, with the weight). Of several records over the same rows and outputs at most one may have an input gain
// or a gain. With `rows`, outputs row_ids[i] of the slice, or all in their order, are rows[i, :] x instead, and nothing is added to them.
// At a norm it is `gain` that counts, in place of the base's. At the embedding, `rows` are those of replaced tokens, and A has a column for
// each token. Where shards split the ranks, a shard has A of its own ranks in a record without B, and B of each shard's ranks in a record
// without A. Where they split the inputs, the gain of all outputs is in a record of its own, and so is S.
struct RecordView {
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;
  std::int32_t rank = 0;     // 0: no low-rank part
  std::int32_t z_shard = 0;  // the shard that computes the shrink result
  std::int32_t z_begin = 0;  // its first column among that shard's columns for the site
  float scale = 0;
  TiledMatrix a;  // [rank, in]
  TiledMatrix b;  // transposed: [rank, out], rows interleaved as the backend's AdapterFormat says
  LowRank low_rank = LowRank::sum;
  const float* input_gain = nullptr;  // [in]
  const float* rank_gain = nullptr;   // [rank]; of a record with A
  const float* delta_gain = nullptr;  // [out]
  const float* gain = nullptr;        // [out]
  const float* bias = nullptr;        // [out]
  BiasMode bias_mode = BiasMode::add;
  SparseMatrix sparse{};                  // S [out, in]
  TiledMatrix rows{};                     // [count, in]; at the embedding [count, out]
  const std::int32_t* row_ids = nullptr;  // [count], or null; those outside of the slice are other shards'
  TiledMatrix added_rows{};               // [count, in]; of the head: of the first tokens after the base's, for Ops::added_logits only

  [[nodiscard]] bool replaces_bias() const { return bias != nullptr && bias_mode == BiasMode::replace; }
  // Whether it does more than add B z and replace or add a bias.
  [[nodiscard]] bool is_general() const {
    return input_gain != nullptr || delta_gain != nullptr || gain != nullptr || low_rank == LowRank::hadamard || !sparse.empty() ||
           !rows.empty();
  }
};

// One record over consecutive rows of a batch: an adapter segment as kernels take it.
struct AppliedRecord {
  std::int32_t row_begin = 0;
  std::int32_t row_count = 0;
  std::int32_t z_begin = 0;  // first of the record's `rank` columns in z
  float weight = 1;
  const RecordView* record = nullptr;
};

}  // namespace slora
