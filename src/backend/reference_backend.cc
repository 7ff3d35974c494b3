#include <algorithm>
#include <utility>

#include "backend/backends.h"
#include "backend/expert_groups.h"
#include "backend/host_backend.h"
#include "backend/reference_train_ops.h"
#include "kernels/reference/adapt_embedding.h"
#include "kernels/reference/add_shares.h"
#include "kernels/reference/added_logits.h"
#include "kernels/reference/attend.h"
#include "kernels/reference/copy_pages.h"
#include "kernels/reference/embed.h"
#include "kernels/reference/fill.h"
#include "kernels/reference/gated.h"
#include "kernels/reference/gather_rows.h"
#include "kernels/reference/linear.h"
#include "kernels/reference/rescale.h"
#include "kernels/reference/rms_norm.h"
#include "kernels/reference/rope.h"
#include "kernels/reference/route.h"
#include "kernels/reference/sample.h"
#include "kernels/reference/score.h"
#include "kernels/reference/shrink.h"
#include "kernels/reference/store_kv.h"
#include "tensor/int4.h"

namespace slora {
namespace {

Tensor matrix_of(const LinearWeight& weight) { return weight.packed.view(DType::f32, weight.out, weight.in); }

// Owned by its backend, used by the engine thread.
class ReferenceOps final : public Ops {
 public:
  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override {
    check(std::cmp_equal(out.rows, ids.size()) && out.cols == table.in, "expected out [T, hidden]");
    reference::embed(out, inputs_.find(ids, previous), matrix_of(table), first_token);
  }

  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override {
    check(std::cmp_equal(out.rows, ids.size()), "expected out [T, hidden]");
    adapters.find_records(records_, kEmbeddingSite, RecordUse::expand);
    reference::adapt_embedding(out, inputs_.find(ids, previous), records_, 1);
  }

  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    check(out.rows == in.rows && out.cols == in.cols && in.cols % weight.cols == 0, "expected out of the shape of in, in whole groups");
    adapters.find_records(records_, site, RecordUse::expand);
    reference::rms_norm(out, in, {numbers_of(weight), records_}, eps);
  }

  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    check(out.rows == x.rows && residual.rows == x.rows && residual.cols == x.cols && (weight.cols == 0 || x.cols == weight.cols),
          "expected equal shapes");
    adapters.find_records(records_, site, RecordUse::expand);
    reference::add_rms_norm(out, residual, x, {numbers_of(weight), records_}, eps);
  }

  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override {
    adapters.find_records(records_, site, RecordUse::shrink);
    reference::shrink(z, x, records_);
  }

  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    check(y.rows == x.rows && x.cols == weight.in && y.cols == weight.out, "expected y [T, out] = W [out, in] x [T, in]");
    adapters.find_records(records_, site, RecordUse::expand);
    reference::linear(y, x, matrix_of(weight), numbers_of(weight.bias), z, records_);
  }

  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    check(out.rows == x.rows && 2 * out.cols == weight.out, "expected out [T, n], W [2n, in]");
    gate_up_.resize(static_cast<std::size_t>(x.rows * weight.out));
    const Tensor y{reinterpret_cast<std::byte*>(gate_up_.data()), DType::f32, x.rows, weight.out, weight.out};
    linear(y, x, weight, z, adapters, site);
    reference::gated(out, y, activation);
  }

  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override {
    const auto experts = static_cast<std::size_t>(out.expert_count), count = static_cast<std::size_t>(params.chosen_count);
    check(std::cmp_equal(scores.cols, experts + (params.has_shared_expert ? 1 : 0)), "expected a score of each expert");
    chosen_.resize(static_cast<std::size_t>(scores.rows) * count);
    shares_.resize(static_cast<std::size_t>(scores.rows) * (count + 1));
    for (std::int64_t t = 0; t < scores.rows; ++t) {
      const auto row = std::span(scores.row<float>(t), static_cast<std::size_t>(scores.cols));
      const auto shares = std::span(shares_).subspan(static_cast<std::size_t>(t) * (count + 1), count + 1);
      const auto chosen = std::span(chosen_).subspan(static_cast<std::size_t>(t) * count, count);
      reference::choose_experts(chosen, shares.first(count), row.first(experts), params.normalises_shares);
      shares.back() = params.has_shared_expert ? reference::share_of_shared_expert(row.back()) : 0.0f;
    }
    reference::group_rows(out, chosen_, shares_, params);
  }

  // A row after the other.
  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    check(out.rows == x.rows && out.cols == x.cols, "expected out of the shape of x");
    fill(out, 0.0f);
    for (std::int32_t expert = 0; expert <= experts.rows.expert_count; ++expert) {
      const std::span<const std::int32_t> rows = experts.rows.rows_of(expert);
      const MlpWeights& weights = experts.weights[static_cast<std::size_t>(expert)];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        cut_to_rows(row_segments_, adapters, rows.subspan(i, 1));
        const AdapterBatch own{row_segments_, adapters.z_cols};
        const Tensor in = x.rows_from(rows[i], 1), z = experts.z.rows_from(0, 1), y = experts.y.rows_from(0, 1);
        const Tensor ff = experts.ff.rows_from(0, 1).cols_from(0, weights.down.in);
        shrink(z, in, own, {layer, SiteKind::gate_up, expert});
        linear_gated(ff, in, weights.gate_up, z, own, {layer, SiteKind::gate_up, expert}, activation);
        shrink(z, ff, own, {layer, SiteKind::down, expert});
        linear(y, ff, weights.down, z, own, {layer, SiteKind::down, expert});
        reference::add_shares(out, y, rows.subspan(i, 1), experts.rows.shares_of(expert).subspan(i, 1));
      }
    }
  }

  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override {
    check(std::cmp_equal(x.rows, positions.size()) && x.cols % table.head_stride() == 0, "expected whole heads and one position per row");
    reference::rope(x, positions.on_device(), table);
  }

  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override {
    check(k.cols == layer.kv_heads * layer.head_dim && v.cols == k.cols, "expected k and v [T, kv_heads * head_dim]");
    reference::store_kv(layer, k, v, spans);
  }

  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override {
    check(q.cols == out.cols && q.cols % (layer.kv_heads * layer.head_dim) == 0, "expected whole groups of heads");
    reference::attend(out, q, layer, spans, params);
  }

  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override {
    check(std::cmp_equal(out.rows, rows.size()) && out.cols == in.cols && out.dtype == in.dtype,
          "expected one row of out for each index, of the type of in");
    reference::gather_rows(out, in, rows.on_device());
  }

  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override {
    check(out.rows == x.rows && out.dtype == DType::f32, "expected out [T, count] in fp32");
    adapters.find_records(records_, kHeadSite, RecordUse::add_logits);
    reference::added_logits(out, x, records_);
  }

  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override {
    check(out.size() == batch.rows.size() && std::cmp_greater_equal(logits.rows, out.size()), "expected a row of logits for every sample");
    reference::sample(out, logits, batch);
  }

  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override {
    check(out.size() == rows.size() && std::cmp_greater_equal(logits.rows, rows.size()), "expected a row of logits for every score");
    const auto in_vocabulary = [&](const ScoreRow& row) {
      return row.token >= 0 && row.token < (row.vocabulary > 0 ? row.vocabulary : logits.cols);
    };
    check(std::ranges::all_of(rows.on_device(), in_vocabulary), "expected tokens of the vocabulary");
    reference::score(out, logits, rows.on_device());
  }

  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override {
    reference::copy_pages(base, page_bytes, copies);
  }

  void rescale(Tensor x, float factor, float cap) override { reference::rescale(x, factor, cap); }
  void fill(Tensor out, float value) override { reference::fill(out, value); }

 private:
  std::vector<AppliedRecord> records_;
  InputIds inputs_;
  std::vector<float> gate_up_;  // [T, 2n]
  std::vector<std::int32_t> chosen_;
  std::vector<float> shares_;
  std::vector<AdapterSegment> row_segments_;
};

class ReferenceBackend final : public HostBackend {
 public:
  explicit ReferenceBackend(WeightStorage weights) : weights_(weights) {}

  std::string_view name() const override { return "reference"; }
  std::string description() const override {
    return weights_ == WeightStorage::int4 ? "plain fp32 loops over what int4 keeps of weights, one thread"
                                           : "plain fp32 loops, one thread";
  }
  int thread_count() const override { return 1; }
  DType product_dtype() const override { return DType::f32; }
  DType kv_dtype() const override { return DType::f32; }
  AdapterFormat adapter_format() const override { return {DType::f32, 1}; }

  LinearWeight make_linear(std::int64_t out, std::int64_t in) override { return make_mixed(out, in, 0); }
  // Its fine rows are in fp32, as tables are.
  LinearWeight make_mixed(std::int64_t out, std::int64_t in, std::int64_t fine_rows) override {
    return {.out = out,
            .in = in,
            .packed = Buffer(linear_bytes(out, in)),
            .bias = {},
            .storage = weights_,
            .fine_rows = packed_fine_rows(out, fine_rows)};
  }
  LinearWeight make_table(std::int64_t out, std::int64_t in) override {
    LinearWeight table = make_linear(out, in);
    table.storage = WeightStorage::bf16;
    return table;
  }

  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override {
    check(rows.cols == weight.in, "expected rows of the weight's width");
    const Tensor target = matrix_of(weight).rows_from(row_begin, rows.rows);
    for (std::int64_t row = 0; row < rows.rows; ++row) {
      convert_to_float(target.row<float>(row), rows.row_bytes(row), rows.dtype, static_cast<std::size_t>(rows.cols));
      const bool is_fine = row_begin + row >= weight.out - weight.fine_rows;
      if (weight.storage == WeightStorage::int4 && !is_fine) {
        round_row({target.row<float>(row), static_cast<std::size_t>(rows.cols)}, weight.input_squares);
      }
    }
  }

  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return static_cast<std::size_t>(out * in) * sizeof(float); }
  WeightStorage weight_storage() const override { return weights_; }
  Ops& ops() override { return ops_; }
  TrainOps* train_ops() override { return &train_ops_; }

 private:
  // Numbers become what int4 keeps of them.
  static void round_row(std::span<float> row, std::span<const float> squares) {
    for (std::size_t begin = 0; begin < row.size(); begin += kInt4Group) {
      const std::span<float> group = row.subspan(begin, std::min<std::size_t>(kInt4Group, row.size() - begin));
      const Int4Group kept = round_to_int4(group, squares.empty() ? squares : squares.subspan(begin, group.size()));
      for (std::size_t i = 0; i < group.size(); ++i) group[i] = kept.value(i);
    }
  }

  const WeightStorage weights_;
  ReferenceOps ops_;
  ReferenceTrainOps train_ops_;
};

}  // namespace

std::unique_ptr<Backend> create_reference_backend(WeightStorage weights) { return std::make_unique<ReferenceBackend>(weights); }

}  // namespace slora
