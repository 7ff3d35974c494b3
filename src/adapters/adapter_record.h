#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/site.h"
#include "formats/rope_config.h"

namespace slora {

// A tensor of an adapter's file: index into its header's list, in the order of the bytes.
using SourceTensor = Id<struct SourceTensorTag, std::uint32_t>;

// What an adapter does to one linear module W [out, in] of the base, for every family:
//   y = sum_k g_k * W(u_k * x) + g_1 * e * scale * B(d * (A x)) + S x + c
// Parts that are absent cost nothing. Plain data: which tensor fills which part; made by an importer, const afterwards.
struct AdapterRecord {
  Site site{};
  std::int32_t slice_begin = 0;  // first output column of the module within its site
  std::int32_t out = 0;
  std::int32_t in = 0;

  std::int32_t rank = 0;  // 0: no low-rank part
  float scale = 1;
  std::optional<SourceTensor> a;  // [rank, in]
  std::optional<SourceTensor> b;  // [out, rank]
  std::optional<SourceTensor> d;  // [rank]
  std::optional<SourceTensor> e;  // [out]

  struct Term {
    std::optional<SourceTensor> u;  // [in]
    std::optional<SourceTensor> g;  // [out]
  };
  std::vector<Term> terms;  // [K]; empty: one term W x

  struct Sparse {
    SourceTensor indices;  // [2, nonzeros]: rows, columns
    SourceTensor values;   // [nonzeros]
  };
  std::optional<Sparse> s;

  // c = replacing + scale * added when `replacing` is there, which takes the place of the base's bias; else base + scale * added.
  std::optional<SourceTensor> bias_replacing;  // [out]
  std::optional<SourceTensor> bias_added;      // [out]

  [[nodiscard]] bool has_bias() const { return bias_replacing || bias_added; }
  // Whether every part of the record has a kernel today: low rank and bias. Importers refuse all others.
  [[nodiscard]] bool is_served() const { return !d && !e && terms.empty() && !s && a.has_value() == b.has_value(); }
};

// What an adapter does beside its linear modules. All parts are optional.
struct AdapterSide {
  struct EmbedRows {
    std::vector<TokenId> tokens;  // sorted
    SourceTensor rows;            // [tokens.size(), hidden], in the place of the base's
  };
  struct EmbedLowRank {
    SourceTensor a;                 // [rank, vocab]
    SourceTensor b;                 // [hidden, rank]
    std::optional<SourceTensor> g;  // [hidden]
    float scale = 1;
  };
  struct NormGain {
    std::string module;  // path of a norm of the base
    SourceTensor gain;   // [hidden]
  };
  std::optional<EmbedRows> embed_rows;
  std::optional<EmbedLowRank> embed_low_rank;
  std::vector<NormGain> norm_gains;
  std::optional<SourceTensor> lm_head;     // [vocab, hidden], in the place of the base's
  std::optional<RopeConfig> rope;          // positions as this adapter was trained with
  std::int32_t vocab_added = 0;            // tokens behind the base's vocabulary
  std::vector<TokenId> invocation_tokens;  // acts from their last occurrence on; empty: everywhere
};

// All that an importer found out from a folder without reading a weight.
struct AdapterPlan {
  std::vector<AdapterRecord> records;  // ordered by (site, slice_begin), one per module
  AdapterSide side;
  std::vector<std::string> warnings;
};

}  // namespace slora
