#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/forwarding_backend.h"

namespace slora {

// One call of an op: the shape of its output and, for projections, the site and the number of adapter segments.
struct OpCall {
  std::string_view op;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Site site{};
  std::size_t segment_count = 0;
};

// Records every call and forwards it. Owned by its backend, used by the engine thread.
class RecordingOps final : public Ops {
 public:
  // `on_op` is called before each op, whose place in the network its name shows; it may be empty.
  RecordingOps(Ops& inner, std::function<void(std::string_view op)> on_op) : inner_(inner), on_op_(std::move(on_op)) {}

  [[nodiscard]] const std::vector<OpCall>& calls() const { return calls_; }
  void clear() { calls_.clear(); }

  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override {
    record("embed", out);
    inner_.embed(out, ids, previous, table, first_token);
  }
  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override {
    record("adapt_embedding", out, kEmbeddingSite, adapters.segments.size());
    inner_.adapt_embedding(out, ids, previous, adapters);
  }
  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    record("rms_norm", out);
    inner_.rms_norm(out, in, weight, eps, adapters, site);
  }
  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    record("add_rms_norm", out);
    inner_.add_rms_norm(out, residual, x, weight, eps, adapters, site);
  }
  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override {
    record("shrink", z, site, adapters.segments.size());
    inner_.shrink(z, x, adapters, site);
  }
  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    record("linear", y, site, adapters.segments.size());
    inner_.linear(y, x, weight, z, adapters, site);
  }
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    record("linear_gated", out, site, adapters.segments.size());
    inner_.linear_gated(out, x, weight, z, adapters, site, activation);
  }
  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override {
    record("route", scores, {0, SiteKind::router});
    inner_.route(out, scores, params);
  }
  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    record("mix_experts", out, {layer, SiteKind::down}, adapters.segments.size());
    inner_.mix_experts(out, x, experts, adapters, layer, activation);
  }
  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override {
    record("rope", x);
    inner_.rope(x, positions, table);
  }
  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override {
    record("store_kv", k);
    inner_.store_kv(layer, k, v, spans);
  }
  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override {
    record("attend", out);
    inner_.attend(out, q, layer, spans, params);
  }
  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override {
    record("gather_rows", out);
    inner_.gather_rows(out, in, rows);
  }
  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override {
    record("added_logits", out, kHeadSite, adapters.segments.size());
    inner_.added_logits(out, x, adapters);
  }
  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override {
    record("sample", logits);
    inner_.sample(out, logits, batch);
  }
  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override {
    record("score", logits);
    inner_.score(out, logits, rows);
  }
  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override {
    calls_.push_back({"copy_pages", static_cast<std::int64_t>(copies.size()), static_cast<std::int64_t>(page_bytes), {}, 0});
    inner_.copy_pages(base, page_bytes, copies);
  }
  void rescale(Tensor x, float factor, float cap) override {
    record("rescale", x);
    inner_.rescale(x, factor, cap);
  }
  void fill(Tensor out, float value) override {
    record("fill", out);
    inner_.fill(out, value);
  }

 private:
  void record(std::string_view op, Tensor out, Site site = {}, std::size_t segment_count = 0) {
    if (on_op_) on_op_(op);
    calls_.push_back({op, out.rows, out.cols, site, segment_count});
  }

  Ops& inner_;
  const std::function<void(std::string_view op)> on_op_;
  std::vector<OpCall> calls_;
};

// A test double: forwards to another backend and records every call of an op, which a test may delay or let fail. Owned by a test.
class RecordingBackend final : public ForwardingBackend {
 public:
  explicit RecordingBackend(std::unique_ptr<Backend> inner, std::function<void(std::string_view op)> on_op = {})
      : ForwardingBackend(std::move(inner)), ops_(ForwardingBackend::inner().ops(), std::move(on_op)) {}

  RecordingOps& ops() override { return ops_; }

 private:
  RecordingOps ops_;
};

}  // namespace slora
