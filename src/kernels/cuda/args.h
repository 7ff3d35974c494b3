#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/token.h"

// What launchers and kernels take besides tensors: flat structs of addresses in device memory and numbers. A launch that is captured in a
// graph is repeated with the same arguments, so whatever changes from step to step is read from device memory.
namespace slora::cuda {

// Launches cover all rows of their tensors, a number that depends on the captured shape alone. The rows from *count on are padding: kernels
// neither read nor write them.
using RowCount = const std::int32_t*;

// The tokens of a step. ids[t] >= 0 is a token; ids[t] < 0 means the token that the previous step sampled for its output row -1 - ids[t],
// which the host did not know yet when it planned this step.
struct StepTokens {
  const std::int32_t* ids;     // [T]
  const TokenResult* sampled;  // [output rows of the previous step]
  RowCount row_count;
};

// Consecutive tokens of one sequence: rows [row_begin, row_begin + row_count) of the batch are at positions [position_begin, ...). The
// sequence's pages for all positions from 0 on stand in StepSpans::pages from page_begin on.
struct Span {
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t position_begin;
  std::int32_t page_begin;
  std::int32_t page_count;
};
struct StepSpans {
  const Span* spans;           // by row_begin, without overlap; rows in none are padding
  const std::int32_t* count;   // one: how many spans
  const std::uint32_t* pages;  // page tables of all sequences
};

// Where the pool holds K and V of one layer: page p starts at base + p * page_bytes, with the layer's K [kv_heads, page_tokens, head_dim]
// bf16 at k_offset and its V of the same shape at v_offset.
struct KvPages {
  std::byte* base;
  std::size_t page_bytes;
  std::size_t k_offset;
  std::size_t v_offset;
  std::int32_t page_tokens;
  std::int32_t kv_heads;
  std::int32_t head_dim;
};

// Pages of the pool, as numbers.
struct PagePair {
  std::uint32_t to;
  std::uint32_t from;
};

}  // namespace slora::cuda
