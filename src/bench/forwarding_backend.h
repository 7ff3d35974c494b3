#pragma once
#include <memory>
#include <utility>

#include "backend/backend.h"

namespace slora::bench {

// Passes every call on to another backend, unchanged: what this module's wrappers of backends build on.
class ForwardingOps : public Ops {
 public:
  void embed(Tensor out, std::span<const TokenId> ids, const LinearWeight& table, TokenId first_token) override {
    inner_.embed(out, ids, table, first_token);
  }
  void rms_norm(Tensor out, Tensor in, std::span<const float> weight, float eps) override { inner_.rms_norm(out, in, weight, eps); }
  void add_rms_norm(Tensor out, Tensor residual, Tensor x, std::span<const float> weight, float eps) override {
    inner_.add_rms_norm(out, residual, x, weight, eps);
  }
  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override { inner_.shrink(z, x, adapters, site); }
  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    inner_.linear(y, x, weight, z, adapters, site);
  }
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    inner_.linear_gated(out, x, weight, z, adapters, site, activation);
  }
  void rope(Tensor x, std::span<const std::int32_t> positions, const RopeTable& table) override { inner_.rope(x, positions, table); }
  void store_kv(const KvLayer& layer, Tensor k, Tensor v, std::span<const SpanView> spans) override { inner_.store_kv(layer, k, v, spans); }
  void attend(Tensor out, Tensor q, const KvLayer& layer, std::span<const SpanView> spans, const AttendParams& params) override {
    inner_.attend(out, q, layer, spans, params);
  }
  void gather_rows(Tensor out, Tensor in, std::span<const std::int32_t> rows) override { inner_.gather_rows(out, in, rows); }
  void sample(std::span<Token> out, Tensor logits, std::span<const SampleRow> rows) override { inner_.sample(out, logits, rows); }
  void score(std::span<PromptLogprob> out, Tensor logits, std::span<const ScoreRow> rows) override { inner_.score(out, logits, rows); }
  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override {
    inner_.copy_pages(base, page_bytes, copies);
  }
  void fill(Tensor out, float value) override { inner_.fill(out, value); }

 protected:
  explicit ForwardingOps(Ops& inner) : inner_(inner) {}

  Ops& inner_;
};

class ForwardingBackend : public Backend {
 public:
  std::string_view name() const override { return inner_->name(); }
  std::string description() const override { return inner_->description(); }
  int thread_count() const override { return inner_->thread_count(); }
  DType product_dtype() const override { return inner_->product_dtype(); }
  DType kv_dtype() const override { return inner_->kv_dtype(); }
  AdapterFormat adapter_format() const override { return inner_->adapter_format(); }
  LinearWeight make_linear(std::int64_t out, std::int64_t in) override { return inner_->make_linear(out, in); }
  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override { inner_->pack_rows(weight, row_begin, rows); }
  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return inner_->linear_bytes(out, in); }
  Buffer allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) override { inner_->parallel_for(count, work); }
  std::uint64_t progress() const override { return inner_->progress(); }

 protected:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  const std::unique_ptr<Backend> inner_;
};

}  // namespace slora::bench
