// Ops that multiply by weights and by adapters' matrices.
#include <algorithm>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/require.h"
#include "backend/cuda/weight_upload.h"
#include "base/check.h"
#include "kernels/cuda/expand.h"
#include "kernels/cuda/gated.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/shrink.h"

namespace slora::cuda {
namespace {

constexpr std::int64_t kElementsOfUnit = 8;  // bf16 elements of 16 bytes
constexpr std::int32_t kBlocksPerMultiprocessor = 2;

std::int64_t gate_up_stride(std::int64_t cols) { return (2 * cols + kElementsOfUnit - 1) / kElementsOfUnit * kElementsOfUnit; }

const float* bias_of(const LinearWeight& weight) { return weight.bias.empty() ? nullptr : weight.bias.view().row<float>(0); }

}  // namespace

void CudaOps::shrink(Tensor z, Tensor x, const AdapterBatch& adapters, Site site) {
  if (adapters.segments.empty()) return;
  check(z.rows == x.rows && z.cols >= adapters.z_cols, "expected z [T, z columns]");
  const ShrinkList* const list = parts_.lists.find(adapters, site).shrink;
  if (list == nullptr) return;
  cuda::shrink(stream(), z, x, list, site.layer, multiprocessors_);  // no more fit at a time
}

void CudaOps::linear(Tensor y, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) {
  check(y.rows == x.rows && x.cols == weight.in && y.cols == weight.out, "expected y [T, out] = W [out, in] x [T, in]");
  multiply(y, x, weight);
  expand(y, weight, z, adapters, site);
}

void CudaOps::multiply(Tensor y, Tensor x, const LinearWeight& weight) {
  // Not with a bias: the product's own rounding would come before it.
  if (parts_.product != nullptr && weight.bias.empty() &&
      require_value(parts_.product->multiply(stream(), y, x, WeightUpload::matrix_of(weight)))) {
    return;
  }
  const std::int32_t range_columns = linear_range_columns(weight.out, weight.in);
  const std::int64_t sums_count = linear_sums_count(y.rows, weight.out, weight.in, range_columns);
  require_done(reserve_linear(sums_count));
  cuda::linear(stream(), y, x, WeightUpload::matrix_of(weight),
               {.bias = bias_of(weight),
                .row_count = count_of(y.rows),
                .range_columns = range_columns,
                .scratch = {.sums = sums_count == 0 ? nullptr : reinterpret_cast<float*>(linear_sums_.data()),
                            .arrived = reinterpret_cast<std::uint32_t*>(linear_arrived_.data()),
                            .sums_count = sums_count}});
}

void CudaOps::expand(Tensor y, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site) {
  if (adapters.segments.empty()) return;
  const ExpandList* const list = parts_.lists.find(adapters, site).expand;
  if (list == nullptr) return;
  const ExpandArgs args{.list = list,
                        .layer = site.layer,
                        .base_bias = bias_of(weight),
                        .z = reinterpret_cast<const float*>(z.data),
                        .z_stride = z.row_stride};
  cuda::expand(stream(), y, args, kBlocksPerMultiprocessor * multiprocessors_);
}

Status CudaOps::reserve_linear(std::int64_t sums_count) {
  return linear_sums_.reserve(parts_.device, static_cast<std::size_t>(sums_count) * sizeof(float));
}

Status CudaOps::reserve_gated(std::int64_t rows, std::int64_t cols) {
  return gated_.reserve(parts_.device, static_cast<std::size_t>(rows * gate_up_stride(cols)) * sizeof(Bfloat16));
}

void CudaOps::linear_gated(Tensor out, Tensor x, const LinearWeight& weight, Tensor z, const AdapterBatch& adapters, Site site,
                           Activation activation) {
  check(out.rows == x.rows && x.cols == weight.in && 2 * out.cols == weight.out, "expected out [T, n], W [2n, in] x [T, in]");
  require_done(reserve_gated(out.rows, out.cols));
  const Tensor gate_up{gated_.data(), DType::bf16, out.rows, 2 * out.cols, gate_up_stride(out.cols)};
  linear(gate_up, x, weight, z, adapters, site);
  cuda::gated(stream(), out, gate_up, activation, count_of(out.rows));
}

}  // namespace slora::cuda
