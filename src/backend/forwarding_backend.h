#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "backend/backend.h"

namespace slora {

// Passes every call on to another backend's ops, unchanged: what wrappers build on that change some.
class ForwardingOps : public Ops {
 public:
  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override {
    inner_.embed(out, ids, previous, table, first_token);
  }
  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override {
    inner_.adapt_embedding(out, ids, previous, adapters);
  }
  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    inner_.rms_norm(out, in, weight, eps, adapters, site);
  }
  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override {
    inner_.add_rms_norm(out, residual, x, weight, eps, adapters, site);
  }
  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override { inner_.shrink(z, x, adapters, site); }
  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override {
    inner_.linear(y, x, weight, z, adapters, site);
  }
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override {
    inner_.linear_gated(out, x, weight, z, adapters, site, activation);
  }
  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override { inner_.route(out, scores, params); }
  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override {
    inner_.mix_experts(out, x, experts, adapters, layer, activation);
  }
  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override { inner_.rope(x, positions, table); }
  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override { inner_.store_kv(layer, k, v, spans); }
  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override {
    inner_.attend(out, q, layer, spans, params);
  }
  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override { inner_.gather_rows(out, in, rows); }
  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override { inner_.added_logits(out, x, adapters); }
  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override { inner_.sample(out, logits, batch); }
  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override { inner_.score(out, logits, rows); }
  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override {
    inner_.copy_pages(base, page_bytes, copies);
  }
  void rescale(Tensor x, float factor, float cap) override { inner_.rescale(x, factor, cap); }
  void fill(Tensor out, float value) override { inner_.fill(out, value); }

 protected:
  explicit ForwardingOps(Ops& inner) : inner_(inner) {}

  Ops& inner_;
};

// The same of a backend.
class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string_view name() const override { return inner_->name(); }
  Int4Count int4_count() const override { return inner_->int4_count(); }
  std::string description() const override { return inner_->description(); }
  int thread_count() const override { return inner_->thread_count(); }
  DType product_dtype() const override { return inner_->product_dtype(); }
  DType activation_dtype() const override { return inner_->activation_dtype(); }
  DType kv_dtype() const override { return inner_->kv_dtype(); }
  AdapterFormat adapter_format() const override { return inner_->adapter_format(); }
  Status prepare_model(const ModelShape& shape) override { return inner_->prepare_model(shape); }
  LinearWeight make_linear(std::int64_t out, std::int64_t in) override { return inner_->make_linear(out, in); }
  void pack_rows(LinearWeight& weight, std::int64_t row_begin, Tensor rows) override { inner_->pack_rows(weight, row_begin, rows); }
  std::size_t linear_bytes(std::int64_t out, std::int64_t in) const override { return inner_->linear_bytes(out, in); }
  LinearWeight make_table(std::int64_t out, std::int64_t in) override { return inner_->make_table(out, in); }
  std::size_t table_bytes(std::int64_t out, std::int64_t in) const override { return inner_->table_bytes(out, in); }
  LinearWeight make_mixed(std::int64_t out, std::int64_t in, std::int64_t fine_rows) override {
    return inner_->make_mixed(out, in, fine_rows);
  }
  std::size_t mixed_bytes(std::int64_t out, std::int64_t in, std::int64_t fine_rows) const override {
    return inner_->mixed_bytes(out, in, fine_rows);
  }
  WeightStorage weight_storage() const override { return inner_->weight_storage(); }
  std::optional<DeviceMemory> memory() const override { return inner_->memory(); }
  std::int32_t step_tokens_default() const override { return inner_->step_tokens_default(); }
  Buffer allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  bool shares_host_memory() const override { return inner_->shares_host_memory(); }
  void upload(Tensor to, const void* from) override { inner_->upload(to, from); }
  void download(void* to, Tensor from) override { inner_->download(to, from); }
  Buffer host_memory(std::size_t bytes) override { return inner_->host_memory(bytes); }
  int depth() const override { return inner_->depth(); }
  const std::byte* upload_step(int slot, std::span<const std::byte> bytes) override { return inner_->upload_step(slot, bytes); }
  std::uint32_t prepare_step(int slot, const StepWork& work) override { return inner_->prepare_step(slot, work); }
  bool replays_steps() const override { return inner_->replays_steps(); }
  void replay_step(const StepKey& key, const std::function<void()>& call_ops) override { inner_->replay_step(key, call_ops); }
  Fence download_step(std::span<std::byte> to, const std::byte* from) override { return inner_->download_step(to, from); }
  Fence mark() override { return inner_->mark(); }
  Fence copy_in(std::span<const CopyIn> copies) override { return inner_->copy_in(copies); }
  bool wait(Fence fence, std::chrono::milliseconds limit) override { return inner_->wait(fence, limit); }
  Ops& ops() override { return inner_->ops(); }
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) override { inner_->parallel_for(count, work); }
  std::uint64_t progress() const override { return inner_->progress(); }

 protected:
  [[nodiscard]] Backend& inner() const { return *inner_; }

 private:
  const std::unique_ptr<Backend> inner_;
};

}  // namespace slora
