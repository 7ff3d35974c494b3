// Ops that multiply by weights and by adapters' matrices.
#include <algorithm>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/require.h"
#include "backend/cuda/weight_upload.h"
#include "base/check.h"
#include "kernels/cuda/expand.h"
#include "kernels/cuda/gated.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/scale_rows.h"
#include "kernels/cuda/shrink.h"

namespace slora::cuda {
namespace {

constexpr std::int64_t kElementsOfUnit = 8;  // bf16 elements of 16 bytes
constexpr std::int32_t kBlocksPerMultiprocessor = 2;

std::int64_t in_units(std::int64_t elements) { return (elements + kElementsOfUnit - 1) / kElementsOfUnit * kElementsOfUnit; }
std::int64_t gate_up_stride(std::int64_t cols) { return in_units(2 * cols); }

// Rows that are scaled and multiplied at a time: many, since each time reads the weight, but few where a row has very many outputs. An
// item's rows fit.
std::int64_t scaled_rows_max(std::int64_t outputs) {
  constexpr std::int64_t kProductsMax = std::int64_t{1} << 23, kRowsMax = 256;
  return std::clamp<std::int64_t>(kProductsMax / outputs, ScaleItem::kRanks, kRowsMax);
}

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
  if (adapters.segments.empty()) return;
  const WorkLists::OfSite lists = parts_.lists.find(adapters, site);
  if (!lists.scale_items.empty()) multiply_scaled(y, x, weight, lists.scale_items, site.layer);
  if (lists.expand == nullptr) return;
  const ExpandArgs args{.list = lists.expand,
                        .layer = site.layer,
                        .base_bias = bias_of(weight),
                        .z = reinterpret_cast<const float*>(z.data),
                        .z_stride = z.row_stride};
  cuda::expand(stream(), y, args, kBlocksPerMultiprocessor * multiprocessors_);
}

void CudaOps::multiply(Tensor y, Tensor x, const LinearWeight& weight) {
  // Not with a bias: the product's own rounding would come before it.
  if (parts_.product != nullptr && weight.bias.empty() &&
      require_value(parts_.product->multiply(stream(), y, x, WeightUpload::matrix_of(weight)))) {
    return;
  }
  multiply_here(y, x, weight, bias_of(weight));
}

void CudaOps::multiply_here(Tensor y, Tensor x, const LinearWeight& weight, const float* bias) {
  const std::int32_t range_columns = linear_range_columns(weight.out, weight.in);
  const std::int64_t sums_count = linear_sums_count(y.rows, weight.out, weight.in, range_columns);
  require_done(reserve_linear(sums_count));
  cuda::linear(stream(), y, x, WeightUpload::matrix_of(weight),
               {.bias = bias,
                .row_count = count_of(y.rows),
                .range_columns = range_columns,
                .scratch = {.sums = sums_count == 0 ? nullptr : reinterpret_cast<float*>(linear_sums_.data()),
                            .arrived = reinterpret_cast<std::uint32_t*>(linear_arrived_.data()),
                            .sums_count = sums_count}});
}

// As many items at a time as there is scratch for, which is reserved when it is first needed: few adapters do this.
void CudaOps::multiply_scaled(Tensor y, Tensor x, const LinearWeight& weight, StepArray<ScaleItem> items, std::int32_t layer) {
  const std::int64_t in_stride = in_units(x.cols), out_stride = in_units(y.cols);
  const std::int64_t rows_max = scaled_rows_max(out_stride);
  require_done(scaled_rows_.reserve(parts_.device, static_cast<std::size_t>(rows_max * in_stride) * sizeof(Bfloat16)));
  require_done(scaled_products_.reserve(parts_.device, static_cast<std::size_t>(rows_max * out_stride) * sizeof(float)));
  for (std::size_t begin = 0, end = 0; begin < items.size(); begin = end) {
    std::int64_t rows = 0;
    for (; end < items.size() && rows + items.host[end].count <= rows_max; ++end) rows += items.host[end].count;
    const ScaleArgs args{.items = items.device + begin,
                         .item_count = static_cast<std::int32_t>(end - begin),
                         .place_begin = items.host[begin].place,
                         .layer = layer};
    const Tensor scaled{scaled_rows_.data(), DType::bf16, rows, x.cols, in_stride};
    const Tensor products{scaled_products_.data(), DType::f32, rows, y.cols, out_stride};
    cuda::scale_rows(stream(), scaled, x, args);
    multiply_here(products, scaled, weight, nullptr);
    cuda::add_products(stream(), y, products, bias_of(weight), args);
  }
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
