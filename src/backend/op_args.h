#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/activation.h"
#include "base/ids.h"
#include "base/site.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace slora {

// The views that Ops take. All of them borrow; what they point to outlives the step.

// The weight of one linear product y = W x + bias, W [out, in], in the layout of the backend that packed it.
struct LinearWeight {
  std::int64_t out = 0;
  std::int64_t in = 0;
  Buffer packed;
  std::vector<float> bias;  // [out], or empty
};

// Where the K and V of one layer lie in the pool: page p starts at base + p * page_bytes; the layer's K
// [kv_heads, page_tokens, head_dim] at k_offset in it, its V of the same size at v_offset. How elements lie inside
// is the backend's choice.
struct KvLayer {
  std::byte* base = nullptr;
  std::size_t page_bytes = 0;
  std::size_t k_offset = 0;
  std::size_t v_offset = 0;
  std::int32_t page_tokens = 0;
  std::int32_t kv_heads = 0;
  std::int32_t head_dim = 0;
};

// Consecutive tokens of one sequence: rows [row_begin, row_begin + row_count) of the batch stand at positions
// [position_begin, position_begin + row_count); `pages` covers all positions from 0 on.
struct SpanView {
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t position_begin;
  std::span<const PageIndex> pages;
};

struct AttendParams {
  float scale;          // of q k^T, usually 1 / sqrt(head_dim)
  std::int32_t window;  // keys a query sees, itself included; 0 = all before it
};

// cos and sin of every (position, frequency), scaled by the attention factor of the RoPE kind: [positions, head_dim / 2] fp32.
struct RopeTable {
  Tensor cos;
  Tensor sin;
};

enum class BiasMode : std::uint8_t { add, replace };

// What one adapter does to one linear module (adapters.md 2.1, K = 1 parts that kernels serve today):
// y[slice] += weight * (scale * B (d * (A x))) and + bias (mode add), or the base's bias is replaced (mode replace).
struct RecordView {
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;
  std::int32_t rank = 0;     // 0: no low-rank part
  std::int32_t z_begin = 0;  // first column of this record's shrink result within the site's
  float scale = 0;
  TiledMatrix a;                 // [rank, in]
  TiledMatrix b;                 // transposed: [rank, out], rows interleaved as the backend's AdapterFormat says
  const float* bias = nullptr;  // [out]
  BiasMode bias_mode = BiasMode::add;
};

// One resident adapter as kernels see it. Constant after construction; made by the engine's loader when the image has landed.
struct AdapterView {
  std::vector<RecordView> records;  // ordered by site
  std::vector<Tile> tiles;          // what the records' matrices point into
  struct Range {
    std::int32_t begin = 0, count = 0;
    std::int32_t z_cols = 0;  // sum of the ranks of the records of this site
  };
  std::vector<Range> sites;  // [layers * kSiteKindCount]
  std::int32_t z_cols_max = 0;

  [[nodiscard]] const Range& range_of(Site site) const {
    return sites[static_cast<std::size_t>(site.layer * kSiteKindCount + static_cast<int>(site.kind))];
  }
  [[nodiscard]] std::span<const RecordView> at(Site site) const {
    const Range& range = range_of(site);
    return {records.data() + range.begin, static_cast<std::size_t>(range.count)};
  }
};

// Consecutive rows of the batch under one adapter with its weight. Segments that overlap add up and have z columns of
// their own. Rows in no segment get exactly the base model.
struct AdapterSegment {
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t z_begin;  // first z column of this segment
  float weight;
  const AdapterView* adapter;
};

struct AdapterBatch {
  std::span<const AdapterSegment> segments;
  std::int32_t z_cols = 0;  // columns of z that the segments need, at most
};

struct TokenCount {
  TokenId token;
  std::int32_t count;
};
struct TokenBias {
  TokenId token;
  float bias;
};
struct TokenLogprob {
  TokenId token;
  float logprob;
};

// How one row of logits becomes a token. Order as vLLM: bias, penalties, temperature, min-p, top-k, top-p, draw.
struct SampleRow {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  std::int32_t top_k = 0;  // 0: all
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;
  std::uint32_t position = 0;                // draws are keyed by (seed, choice, position)
  std::span<const TokenCount> output_counts;  // tokens generated so far, sorted by token
  std::span<const TokenId> prompt_tokens;     // distinct tokens of the prompt, sorted (repetition penalty counts them too)
  std::span<const TokenBias> logit_bias;
  std::span<const TokenId> banned;            // never drawn (min_tokens bans end tokens)
  std::int32_t logprob_count = -1;            // -1: none; n: the chosen token's and the n most likely
};

// `logprob` and `top` are of the model's own distribution, before bias, penalties and temperature, as vLLM's default
// ("raw_logprobs").
struct SampledToken {
  TokenId token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // most likely first
};

struct PageCopy {
  PageIndex to, from;
};

}  // namespace slora
