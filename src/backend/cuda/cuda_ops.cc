#include "backend/cuda/cuda_ops.h"

#include <algorithm>
#include <numeric>
#include <source_location>
#include <utility>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"
#include "backend/cuda/weight_upload.h"
#include "base/check.h"
#include "kernels/cuda/copy_pages.h"
#include "kernels/cuda/embed.h"
#include "kernels/cuda/fill.h"
#include "kernels/cuda/gather_rows.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"

// Of rows of numbers; products and adapters are in cuda_ops_products.cc, attention and tokens in cuda_ops_tokens.cc.
namespace slora::cuda {

Result<std::unique_ptr<CudaOps>> CudaOps::create(const Parts& parts, std::int32_t multiprocessors) {
  std::unique_ptr<CudaOps> ops(new CudaOps(parts, multiprocessors));
  if (Status made = ops->make(); !made) return forward_error(made);
  return ops;
}

Status CudaOps::make() {
  std::vector<std::int32_t> counts(kRowsMax + 1);
  std::iota(counts.begin(), counts.end(), 0);
  if (Status placed = place(counts_, std::as_bytes(std::span(counts))); !placed) return placed;
  const std::vector<std::uint32_t> arrived(LinearScratch::kTilesMax, 0);
  return place(linear_arrived_, std::as_bytes(std::span(arrived)));
}

Status CudaOps::place(Buffer& buffer, std::span<const std::byte> content) {
  Result<Buffer> memory = allocate_buffer(parts_.device, content.size());
  if (!memory) return forward_error(memory);
  buffer = *std::move(memory);
  const auto bytes = static_cast<std::int64_t>(content.size());
  parts_.transfers.upload({buffer.data(), DType::u8, 1, bytes, bytes}, content.data());
  return {};
}

RowCount CudaOps::count_of(std::int64_t rows) const {
  check(rows >= 0 && rows <= kRowsMax, "expected a batch of at most 65,536 rows");
  return reinterpret_cast<RowCount>(counts_.data()) + rows;
}

void CudaOps::embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first_token) {
  check(std::cmp_equal(out.rows, ids.size()) && out.cols == table.in, "expected out [T, hidden]");
  cuda::embed(stream(), out, {ids.device, previous, count_of(out.rows)}, WeightUpload::matrix_of(table), first_token);
}

// Adapters that change the embedding or a norm, or have tokens of their own, are refused: AdapterFormat::has_other_sites.
void CudaOps::adapt_embedding(Tensor /*out*/, StepArray<TokenId> /*ids*/, const TokenResult* /*previous*/,
                              const AdapterBatch& /*adapters*/) {
  fail_check("expected no adapter that changes the embedding", std::source_location::current());
}

void CudaOps::added_logits(Tensor /*out*/, Tensor /*x*/, const AdapterBatch& /*adapters*/) {
  fail_check("expected no adapter with tokens of its own", std::source_location::current());
}

void CudaOps::rms_norm(Tensor out, Tensor in, Tensor weight, float eps, const AdapterBatch& /*adapters*/, Site /*site*/) {
  check(out.rows == in.rows && out.cols == in.cols && in.cols % weight.cols == 0, "expected out of the shape of in, in whole groups");
  if (in.dtype == DType::f32) {
    cuda::rms_norm(stream(), out, in, weight, eps, count_of(in.rows));
  } else {
    cuda::rms_norm_groups(stream(), out, in, weight, eps, count_of(in.rows));
  }
}

void CudaOps::add_rms_norm(Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, const AdapterBatch& /*adapters*/,
                           Site /*site*/) {
  check(out.rows == x.rows && residual.rows == x.rows && residual.cols == x.cols && x.cols == weight.cols, "expected equal shapes");
  cuda::add_rms_norm(stream(), out, residual, x, weight, eps, count_of(x.rows));
}

void CudaOps::rope(Tensor x, StepArray<std::int32_t> positions, const RopeTable& table) {
  check(std::cmp_equal(x.rows, positions.size()) && x.cols % (2 * table.cos.cols) == 0, "expected whole heads and one position per row");
  cuda::rope(stream(), x, positions.device, table.cos, table.sin, count_of(x.rows));
}

void CudaOps::gather_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) {
  check(std::cmp_equal(out.rows, rows.size()) && out.cols == in.cols && out.dtype == in.dtype,
        "expected one row of out for each index, of the type of in");
  cuda::gather_rows(stream(), out, in, rows.device, count_of(out.rows));
}

// Waits for the device: no step copies pages.
void CudaOps::copy_pages(std::byte* base, std::size_t page_bytes, std::span<const PageCopy> copies) {
  static_assert(sizeof(PageCopy) == sizeof(PagePair) && offsetof(PageCopy, from) == offsetof(PagePair, from));
  if (copies.empty()) return;
  if (copies.size_bytes() > page_pairs_.bytes()) page_pairs_ = require_value(allocate_buffer(parts_.device, copies.size_bytes()));
  const auto bytes = static_cast<std::int64_t>(copies.size_bytes());
  parts_.transfers.upload({page_pairs_.data(), DType::u8, 1, bytes, bytes}, copies.data());
  cuda::copy_pages(stream(), base, page_bytes, reinterpret_cast<const PagePair*>(page_pairs_.data()),
                   static_cast<std::int32_t>(copies.size()));
}

// Models whose layers need these three are refused: ModelShape::further_ops_of.
void CudaOps::route(const ExpertRows& /*out*/, Tensor /*scores*/, const RouteParams& /*params*/) {
  fail_check("expected no model with a router", std::source_location::current());
}

void CudaOps::mix_experts(Tensor /*out*/, Tensor /*x*/, const ExpertBatch& /*experts*/, const AdapterBatch& /*adapters*/,
                          std::int32_t /*layer*/, Activation /*activation*/) {
  fail_check("expected no model with experts", std::source_location::current());
}

void CudaOps::rescale(Tensor /*x*/, float /*factor*/, float /*cap*/) {
  fail_check("expected no model that scales or bounds numbers", std::source_location::current());
}

void CudaOps::fill(Tensor out, float value) { cuda::fill(stream(), out, value); }

}  // namespace slora::cuda
