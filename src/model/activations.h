#pragma once
#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "formats/shard_shape.h"
#include "tensor/buffer.h"

namespace slora {

// Elements from a row to the next, so that each begins at a multiple of 16 bytes.
[[nodiscard]] constexpr std::int64_t aligned_row_stride(std::int64_t cols, DType dtype) {
  const auto unit = static_cast<std::int64_t>(16 / bytes_of(dtype));
  return (cols + unit - 1) / unit * unit;
}

// What flows between ops in one forward pass, T rows. "product" and "activation" are the backend's element types of these names. q, kv and
// intermediate are the shard's widths. Rows begin at multiples of 16 bytes.
struct Activations {
  Tensor x;         // [T, hidden] activation: what the last product or the embedding gave
  Tensor residual;  // [T, hidden] fp32
  Tensor h;         // [T, hidden] product
  Tensor z;         // [T, z columns] fp32: shrink results
  Tensor z_out;     // [T, z columns] fp32: those of o and down; z itself, unless training keeps both
  Tensor qkv;       // [T, q + 2 kv] activation
  Tensor attn;      // [T, q] product
  Tensor ff;        // [T, intermediate, or the width of an expert] product
  // Of a mixture of experts; empty without one.
  Tensor router;           // [T, experts and, if one is shared, 1] fp32: their scores
  Tensor expert_in;        // [T, hidden] product
  Tensor expert_out;       // [T, hidden] activation
  ExpertRows expert_rows;  // of T rows
  // What training keeps besides, for derivatives; empty in serving.
  Tensor qk{};       // [T, q + kv] activation: q and k after their norms and RoPE, where they have norms; empty: in qkv, in place
  Tensor gate_up{};  // [T, 2 intermediate] activation; empty: linear_gated computes ff at once
  Tensor branch{};   // [T, hidden] activation: what attention and MLP give before their own norms, where they have them; empty: x
};

// Memory for the largest batch, allocated once. Owned by the model.
class ActivationBuffers {
 public:
  // The largest counts of rows, columns of z, and rows of logits.
  struct Limits {
    std::int64_t rows, z_cols, output_rows;
  };
  ActivationBuffers(const ModelConfig& config, const ShardShape& shape, Backend& backend, const Limits& limits);
  // What the constructor allocates.
  [[nodiscard]] static std::size_t bytes_for(const ModelConfig& config, const ShardShape& shape, const Backend& backend,
                                             const Limits& limits);

  // Views of the first `rows` rows; z has `z_cols` columns.
  [[nodiscard]] Activations views(std::int64_t rows, std::int64_t z_cols) const;
  [[nodiscard]] Tensor output_hidden(std::int64_t rows) const { return output_hidden_.rows_from(0, rows); }  // [rows, hidden] product
  // [rows, vocabulary stride] fp32 of this shard; on shard 0 of all shards, [rows, shards * vocabulary stride + kAddedTokensMax], where
  // the backend serves tokens that only adapters have.
  [[nodiscard]] Tensor logits(std::int64_t rows) const { return logits_.rows_from(0, rows); }

 private:
  Buffer memory_;
  Activations all_;
  Tensor expert_begins_, expert_row_ids_, expert_shares_;  // what all_.expert_rows points to
  Tensor output_hidden_, logits_;
};

}  // namespace slora
