#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/base_product.h"
#include "backend/cuda/device_api.h"
#include "backend/cuda/host_transfers.h"
#include "backend/cuda/list_source.h"
#include "backend/cuda/scratch.h"
#include "backend/cuda/step_streams.h"
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"

namespace slora::cuda {

// Ops that launch kernels into the compute stream. What a launch is given depends on the shapes of an op's arguments alone, and on where
// they lie: numbers that change from step to step are read from device memory. Owned by its backend, used by the engine thread.
class CudaOps final : public Ops {
 public:
  // Rows of a batch that ops can compute.
  static constexpr std::int32_t kRowsMax = 1 << 16;

  struct Parts {  // outlive it
    DeviceApi& device;
    StepStreams& streams;
    ListSource& lists;
    HostTransfers& transfers;
    BaseProduct* product;  // may be null
  };
  [[nodiscard]] static Result<std::unique_ptr<CudaOps>> create(const Parts& parts, std::int32_t multiprocessors);

  // Scratch for products, of so many sums of blocks that share a tile.
  [[nodiscard]] Status reserve_linear(std::int64_t sums_count);
  // Scratch for linear_gated with so many rows and columns of its output.
  [[nodiscard]] Status reserve_gated(std::int64_t rows, std::int64_t cols);
  // For the parts of attention over ranges of keys.
  [[nodiscard]] Status reserve_attend(std::int64_t head_dim);
  // For sample with so many rows of logits.
  [[nodiscard]] Status reserve_sample(std::int64_t rows, std::int64_t vocabulary);

  void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) override;
  void adapt_embedding(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const AdapterBatch& adapters) override;
  void rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override;
  void add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& adapters, Site site) override;
  void shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) override;
  void linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) override;
  void linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                    Activation activation) override;
  void route(const ExpertRows& out, Tensor scores, const RouteParams& params) override;
  void mix_experts(Tensor out, Tensor x, const ExpertBatch& experts, const AdapterBatch& adapters, std::int32_t layer,
                   Activation activation) override;
  void rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) override;
  void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) override;
  void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) override;
  void gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override;
  void added_logits(Tensor out, Tensor x, const AdapterBatch& adapters) override;
  void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) override;
  void score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) override;
  void copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) override;
  void rescale(Tensor x, float factor, float cap) override;
  void fill(Tensor out, float value) override;

 private:
  CudaOps(const Parts& parts, std::int32_t multiprocessors) : parts_(parts), multiprocessors_(multiprocessors) {}
  [[nodiscard]] Status make();
  // Memory of the device with this content.
  [[nodiscard]] Status place(Buffer& buffer, std::span<const std::byte> content);
  [[nodiscard]] Stream stream() const { return parts_.streams.compute(); }
  // The number, in device memory: an op computes all rows of its tensors, those that pad a step too.
  [[nodiscard]] RowCount count_of(std::int64_t rows) const;
  [[nodiscard]] StepSpans spans_of(const SpanBatch& spans) const;
  // y = W x + bias.
  void multiply(Tensor y, Tensor x, const LinearWeight& weight);
  void multiply_here(Tensor y, Tensor x, const LinearWeight& weight, const float* bias);  // by the program's kernel
  // y = W x of rows under input gains, and y += what A and B make of the product.
  void multiply_scaled(Tensor y, Tensor x, const LinearWeight& weight, StepArray<ScaleItem> items, std::int32_t layer);

  const Parts parts_;
  const std::int32_t multiprocessors_;
  Buffer counts_;                          // [kRowsMax + 1] int32: 0, 1, 2, ...
  Buffer linear_arrived_;                  // [LinearScratch::kTilesMax] uint32, zeros between launches
  Scratch linear_sums_;                    // of LinearScratch
  Scratch gated_;                          // [T, 2n] bf16
  Scratch scaled_rows_, scaled_products_;  // of multiply_scaled
  Scratch part_sums_;                      // [WorkLists::kPartRowsMax, head_dim] fp32
  Scratch part_weights_;
  Scratch adjusted_;   // [rows, vocabulary] fp32: logits as sample changes them
  Buffer page_pairs_;  // of copy_pages
};

}  // namespace slora::cuda
