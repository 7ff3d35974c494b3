#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace slora {

// The most tokens that an adapter may have beyond the base's vocabulary: logits have memory for them.
inline constexpr std::int32_t kAddedTokensMax = 8192;

// How a backend stores the matrices of adapters in pages: element type, and how many rank rows of B are interleaved (2: elements
// (rank 2k, rank 2k + 1) of each output next to each other; an odd last rank is paired with zeros).
struct AdapterFormat {
  DType dtype = DType::f32;  // f32, f16 or bf16
  std::int32_t b_interleave = 1;
  bool has_sparse_records = true;  // whether its ops know records with a sparse matrix (RecordView::sparse)
  bool has_other_sites = true;     // whether its ops know records of norms and of the embedding, and replaced rows of the head
};

}  // namespace slora
