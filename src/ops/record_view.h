#pragma once
#include <cstdint>

#include "ops/tiled_matrix.h"

namespace slora {

enum class BiasMode : std::uint8_t { add, replace };

// What one adapter adds to one linear module:
// y[slice] += weight * (scale * B (A x)) and + bias (mode add), or the base's bias is replaced (mode replace).
// Where shards split the ranks, a shard has A of its own ranks in a record without B, and B of each shard's ranks in a record without A.
struct RecordView {
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;
  std::int32_t rank = 0;     // 0: no low-rank part
  std::int32_t z_shard = 0;  // the shard that computes the shrink result
  std::int32_t z_begin = 0;  // its first column among that shard's columns for the site
  float scale = 0;
  TiledMatrix a;                // [rank, in]
  TiledMatrix b;                // transposed: [rank, out], rows interleaved as the backend's AdapterFormat says
  const float* bias = nullptr;  // [out]
  BiasMode bias_mode = BiasMode::add;
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
