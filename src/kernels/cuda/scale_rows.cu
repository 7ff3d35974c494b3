// Products of the base's weight with rows of x that a record multiplies element by element first: scale_rows() before them, add_products()
// behind. The former has a block for 256 columns, or as many pieces of 16 bytes, of one item's rows; the latter for 256 outputs of one row
// of y, with all items of that row.
#include "kernels/cuda/scale_rows.h"

#include "kernels/cuda/elements.h"
#include "kernels/cuda/matrix_row.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;

struct ScaleKernelArgs {
  Bfloat16* scaled;   // [rows, in]
  const Bfloat16* x;  // [T, in]
  std::int64_t scaled_stride;
  std::int64_t x_stride;
  std::int32_t in;
  std::int32_t blocks_per_item;
  ScaleArgs op;
};

__device__ inline const LoraRecord& record_of(const ScaleItem& item, std::int32_t layer) {
  return item.table.records[layer * item.table.per_layer];
}

// What multiplies x from column k on for the item's row j.
template <std::int32_t kElements>
__device__ void load_factors(float (&factors)[kElements], const LoraRecord& record, const LoraGains& gains, std::int32_t rank,
                             std::int32_t in, std::int32_t k) {
  if (rank == ScaleItem::kInputGain) {
    for (std::int32_t i = 0; i < kElements; ++i) factors[i] = gains.input_gain == nullptr ? 0.0f : gains.input_gain[k + i];
    return;
  }
  if (rank >= gains.hadamard_rank) {
    for (float& factor : factors) factor = 0;
    return;
  }
  const Bfloat16* const row = matrix_row(record.a, record.a_pieces, in, rank, k) + k;  // a block of columns has all of them
  if (kElements > 1 && record.is_a_wide != 0) {
    load(factors, row);
    return;
  }
  for (std::int32_t i = 0; i < kElements; ++i) {
    float factor[1];
    load(factor, row + i);
    factors[i] = factor[0];
  }
}

template <std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) scale_kernel(ScaleKernelArgs args) {
  const ScaleItem item = args.op.items[block_index() / args.blocks_per_item];
  const std::int32_t k = (block_index() % args.blocks_per_item * kThreads + thread_index()) * kElements;
  if (k >= args.in) return;
  const LoraRecord record = record_of(item, args.op.layer);
  const LoraGains gains = record.gains == nullptr ? LoraGains{} : *record.gains;
  float x[kElements];
  load(x, args.x + item.row * args.x_stride + k);
  Bfloat16* to = args.scaled + (item.place - args.op.place_begin) * args.scaled_stride + k;
  for (std::int32_t j = 0; j < item.count; ++j, to += args.scaled_stride) {
    float values[kElements];
    load_factors(values, record, gains, item.rank_begin + j, args.in, k);
    for (std::int32_t i = 0; i < kElements; ++i) values[i] *= x[i];
    store(to, values);
  }
}

template <class Out>
struct AddKernelArgs {
  Out* y;                 // [T, outputs]
  const float* products;  // [rows, outputs]
  const float* base_bias;
  std::int64_t y_stride;
  std::int64_t products_stride;
  std::int32_t blocks_per_item;
  ScaleArgs op;
};

// The sum over the item's ranks of B times their products; `products`: the first's, of this output.
__device__ inline float sum_of_ranks(const ScaleItem& item, const LoraRecord& record, const LoraGains& gains, const float* products,
                                     std::int64_t stride, std::int32_t out) {
  float sum = 0;
  for (std::int32_t j = 0; j < item.count && item.rank_begin + j < gains.hadamard_rank; ++j) {
    const std::int32_t rank = item.rank_begin + j, column = 2 * out + rank % 2;
    float b[1];
    load(b, matrix_row(record.b, record.b_pieces, 2 * gains.out, rank / 2, column) + column);
    sum += b[0] * products[j * stride];
  }
  return sum;
}

template <class Out>
__global__ void __launch_bounds__(kThreads, 6) add_kernel(AddKernelArgs<Out> args) {
  const std::int32_t first = block_index() / args.blocks_per_item;
  const std::int32_t column = block_index() % args.blocks_per_item * kThreads + thread_index();
  const std::int32_t row = args.op.items[first].row;
  if (first > 0 && args.op.items[first - 1].row == row) return;  // a row's first item stands for all
  Out* const y = args.y + row * args.y_stride + column;
  for (std::int32_t i = first; i < args.op.item_count && args.op.items[i].row == row; ++i) {
    const ScaleItem& item = args.op.items[i];
    const LoraRecord& record = record_of(item, args.op.layer);
    if (record.gains == nullptr) continue;
    const LoraGains& gains = *record.gains;
    const std::int32_t out = column - record.slice_begin;
    if (out < 0 || out >= gains.out) continue;  // also beyond the outputs
    const float* const products = args.products + (item.place - args.op.place_begin) * args.products_stride + column;
    float value[1];
    if (item.rank_begin == ScaleItem::kInputGain) {
      if (gains.input_gain == nullptr) continue;
      value[0] = products[0] + (args.base_bias == nullptr ? 0.0f : args.base_bias[column]);
    } else {
      const float factor = item.weight * record.scale * (gains.delta_gain == nullptr ? 1.0f : gains.delta_gain[out]);
      load(value, y);
      value[0] += factor * sum_of_ranks(item, record, gains, products, args.products_stride, out);
    }
    store(y, value);
  }
}

template <class Out>
void launch_add(Stream stream, const Tensor& y, const Tensor& products, const float* base_bias, const ScaleArgs& args) {
  const auto outputs = static_cast<std::int32_t>(y.cols);
  const AddKernelArgs<Out> kernel_args{.y = data_of<Out>(y),
                                       .products = data_of<float>(products),
                                       .base_bias = base_bias,
                                       .y_stride = y.row_stride,
                                       .products_stride = products.row_stride,
                                       .blocks_per_item = (outputs + kThreads - 1) / kThreads,
                                       .op = args};
  launch(add_kernel<Out>, {args.item_count * kernel_args.blocks_per_item, kThreads}, stream, kernel_args);
}

template <std::int32_t kElements>
void launch_scale(Stream stream, const Tensor& scaled, const Tensor& x, const ScaleArgs& args) {
  const auto in = static_cast<std::int32_t>(x.cols);
  const ScaleKernelArgs kernel_args{.scaled = data_of<Bfloat16>(scaled),
                                    .x = data_of<Bfloat16>(x),
                                    .scaled_stride = scaled.row_stride,
                                    .x_stride = x.row_stride,
                                    .in = in,
                                    .blocks_per_item = (in + kElements * kThreads - 1) / (kElements * kThreads),
                                    .op = args};
  launch(scale_kernel<kElements>, {args.item_count * kernel_args.blocks_per_item, kThreads}, stream, kernel_args);
}

}  // namespace

void scale_rows(Stream stream, Tensor scaled, Tensor x, const ScaleArgs& args) {
  check(scaled.cols == x.cols, "expected rows of one width");
  if (is_wide(scaled) && is_wide(x)) {
    launch_scale<kWide>(stream, scaled, x, args);
  } else {
    launch_scale<1>(stream, scaled, x, args);
  }
}

void add_products(Stream stream, Tensor y, Tensor products, const float* base_bias, const ScaleArgs& args) {
  check(products.cols == y.cols, "expected products of the width of y");
  if (y.dtype == DType::f32) {
    launch_add<float>(stream, y, products, base_bias, args);
  } else {
    launch_add<Bfloat16>(stream, y, products, base_bias, args);
  }
}

}  // namespace slora::cuda
