#pragma once
#include <span>

#include "backend/op_args.h"

namespace slora {

// Everything that a model computes with: one virtual function per op, output first, then inputs. Implementations check shapes with check().
// T = rows of the batch. All tensors are in device memory. "product" and "activation" are the backend's element types of these names. A
// result row depends on its own inputs only: never on the other rows, on how rows are split over calls, or on the number of threads. Called
// by one thread, the engine's (with several shards, each shard's own).
class Ops {
 public:
  virtual ~Ops() = default;

  // out[t, :] = table[id - first_token, :], where id is ids[t] or, if that is negative, the token of previous[-1 - ids[t]]; or zeros where
  // the table has no such row: it is another shard's. out [T, hidden] activation; table [tokens from first_token on, hidden], possibly the
  // packed head of a tied model.
  virtual void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) = 0;

  // Changes rows of out [T, hidden] activation, which embed() made, as the records of the embedding say: replaces those of tokens that they
  // have rows of, and adds weight * scale * B A[:, id]. ids and previous as embed() takes them.
  virtual void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) = 0;

  // Normalises each group of weight.cols consecutive columns: out = in / sqrt(mean(in^2) + eps) * weight. weight [1, columns of a group]
  // fp32. One group per row for a layer norm; one per head for q and k norms. in activation or fp32, out activation
  // or product; out may be in. Rows under a record of `site` have its gain for `weight`.
  virtual void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) = 0;

  // residual += x, then out = rms_norm(residual). residual [T, hidden] fp32, x [T, hidden] activation, weight [1, hidden]
  // fp32, or empty: out = residual; out [T, hidden] product. Rows under a record of `site` have its gain for `weight`.
  virtual void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) = 0;

  // z[t, z columns of (segment, record)] = rank_gain * A x[t, :] for every segment over t and every record of `site`, fp32.
  // x [T, in] product. Rows and columns outside of segments are not written.
  virtual void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) = 0;

  // y[t, :] = W x[t, :] + bias + sum over segments and records of weight * (scale * B z + bias), or with general records what RecordView
  // says, in fp32 with one rounding to y's type. x [T, in] product, y [T, out] activation or, of the head, fp32.
  virtual void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) = 0;

  // out[t, i] = activation(y[t, i]) * y[t, n + i], where y [T, 2n] is what linear would compute. out [T, n] product, W [2n, in].
  virtual void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                            Activation activation) = 0;

  // out: which rows each expert computes, by scores [T, expert_count, and one more with a shared expert] fp32, which are overwritten. A row
  // has the experts of the params.chosen_count largest of softmax(scores of the experts), or the first of equal ones; its shares are these,
  // or with normalises_shares these divided by their sum. The shared expert's is 1 / (1 + exp(-its score)).
  virtual void route(const ExpertRows& out, Tensor scores, const RouteParams& params) = 0;

  // out[t, :] = sum over the experts of row t, in their order, of share * down(activation(gate) * up), where down, gate and up are what
  // linear and linear_gated compute of x[t, :] at the expert's sites of `layer`. x [T, hidden] product, out [T, hidden] activation.
  virtual void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                           Activation activation) = 0;

  // Rotates every head of x [T, heads * table.head_stride()] activation in place by its row's position (half-split pairs, as Hugging
  // Face).
  virtual void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) = 0;

  // Writes k and v [T, kv_heads * head_dim] activation of every span into its pages.
  virtual void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) = 0;

  // Causal attention of q [T, heads * head_dim] activation over the stored keys and values; out [T, heads * head_dim] product.
  // Grouped heads: query head h reads kv head h / (heads / kv_heads).
  virtual void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) = 0;

  // out[i, :] = in[rows[i], :], same type.
  virtual void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) = 0;

  // Logits of tokens that adapters have beyond the base's: out[t, i] = added_rows[i, :] x[t, :] of the head's record over row t, and
  // -infinity where there is no such row. out [T, count] fp32, x [T, hidden] product.
  virtual void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) = 0;

  // Draws out[i] from logits row i [out.size(), vocab] fp32 as row i of the batch says; the logits are overwritten. `out` is in device
  // memory, as everything that an op writes.
  virtual void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) = 0;

  // out[i] = log softmax(logits row i)[rows[i].token], its rank, and the most likely tokens. logits [rows.size(), vocab] fp32, which
  // are overwritten. Gives the same bits as sample for the same logits.
  virtual void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) = 0;

  // Copies whole pages of the pool.
  virtual void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) = 0;

  // x = factor * x, and then, with a cap above 0, cap * tanh(x / cap), where -infinity stays. x activation or fp32.
  virtual void rescale(Tensor x, float factor, float cap) = 0;

  // Sets every element to `value`.
  virtual void fill(Tensor out, float value) = 0;
};

}  // namespace slora
