// out = in / sqrt(mean(in^2) + eps) * weight. A row is read once and kept in registers: one block a row, or one warp a group of columns.
#include "kernels/cuda/rms_norm.h"

#include <algorithm>

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kVectors = 4;  // of a thread, each one access wide
constexpr std::int32_t kThreadsMax = 1024;
constexpr std::int32_t kGroupThreads = 256;
constexpr std::int32_t kGroups = kGroupThreads / kWarpThreads;  // of a block

struct RowShared {
  float sums[kThreadsMax / kWarpThreads];
};

// The sum over the block, in every thread.
__device__ float block_sum(float value, RowShared& mine) {
  value = warp_sum(value);
  if (lane_index() == 0) mine.sums[warp_index()] = value;
  block_barrier();
  float sum = 0;
  for (std::int32_t warp = 0; warp < thread_count() / kWarpThreads; ++warp) sum += mine.sums[warp];
  return sum;
}

struct RowKernelArgs {
  Bfloat16* out;        // [T, hidden]
  float* in;            // [T, hidden]; with kAdd the residual, which is written
  const Bfloat16* x;    // [T, hidden] with kAdd
  const float* weight;  // [hidden]
  std::int64_t out_stride;
  std::int64_t in_stride;
  std::int64_t x_stride;
  std::int32_t hidden;
  float per_column;  // 1 / hidden: a division is a call
  float eps;
  RowCount row_count;
};

template <std::int32_t kElements, bool kAdd>
__global__ void __launch_bounds__(kThreadsMax) row_kernel(RowKernelArgs args) {
  const std::int32_t row = block_index();
  if (row >= *args.row_count) return;
  float* const in = args.in + row * args.in_stride;
  float values[kVectors][kElements];
  float squares = 0;
  for (std::int32_t v = 0; v < kVectors; ++v) {
    const std::int32_t column = (v * thread_count() + thread_index()) * kElements;
    if (column >= args.hidden) continue;
    load(values[v], in + column);
    if constexpr (kAdd) {
      float added[kElements];
      load(added, args.x + row * args.x_stride + column);
      for (std::int32_t i = 0; i < kElements; ++i) values[v][i] += added[i];
      store(in + column, values[v]);
    }
    for (std::int32_t i = 0; i < kElements; ++i) squares += values[v][i] * values[v][i];
  }
  const float mean = block_sum(squares, shared<RowShared>()) * args.per_column;
  const float inverse = reciprocal_sqrt(mean + args.eps);
  for (std::int32_t v = 0; v < kVectors; ++v) {
    const std::int32_t column = (v * thread_count() + thread_index()) * kElements;
    if (column >= args.hidden) continue;
    float weights[kElements];
    load(weights, args.weight + column);
    for (std::int32_t i = 0; i < kElements; ++i) values[v][i] *= inverse * weights[i];
    store(args.out + row * args.out_stride + column, values[v]);
  }
}

struct GroupKernelArgs {
  Bfloat16* out;        // [T, groups * size]
  const Bfloat16* in;   // may be out
  const float* weight;  // [size]
  std::int64_t out_stride;
  std::int64_t in_stride;
  std::int32_t group_count;  // of a row
  std::int32_t size;
  float per_column;  // 1 / size
  float eps;
  RowCount row_count;
};

template <std::int32_t kElements>
__global__ void __launch_bounds__(kGroupThreads) group_kernel(GroupKernelArgs args) {
  const std::int32_t item = block_index() * kGroups + warp_index();
  const std::int32_t row = item / args.group_count;
  if (row >= *args.row_count) return;
  const std::int32_t group = item % args.group_count;
  const Bfloat16* const in = args.in + row * args.in_stride + group * args.size;
  Bfloat16* const out = args.out + row * args.out_stride + group * args.size;
  constexpr std::int32_t kGroupVectors = kElements == 1 ? 2 * kVectors : kVectors;
  float values[kGroupVectors][kElements];
  float squares = 0;
  for (std::int32_t v = 0; v < kGroupVectors; ++v) {
    const std::int32_t column = (v * kWarpThreads + lane_index()) * kElements;
    if (column >= args.size) continue;
    load(values[v], in + column);
    for (std::int32_t i = 0; i < kElements; ++i) squares += values[v][i] * values[v][i];
  }
  const float inverse = reciprocal_sqrt(warp_sum(squares) * args.per_column + args.eps);
  for (std::int32_t v = 0; v < kGroupVectors; ++v) {
    const std::int32_t column = (v * kWarpThreads + lane_index()) * kElements;
    if (column >= args.size) continue;
    float weights[kElements];
    load(weights, args.weight + column);
    for (std::int32_t i = 0; i < kElements; ++i) values[v][i] *= inverse * weights[i];
    store(out + column, values[v]);
  }
}

// As few threads as hold the row, but enough for many loads in flight.
std::int32_t row_threads(std::int32_t hidden, std::int32_t elements) {
  constexpr std::int32_t kThreadsUsual = 512;
  const std::int32_t vectors = (hidden + elements - 1) / elements;
  check(vectors <= kVectors * kThreadsMax, "expected a row that the threads of a block can keep");
  if (vectors > kVectors * kThreadsUsual) return kThreadsMax;
  return std::min(kThreadsUsual, (vectors + kWarpThreads - 1) / kWarpThreads * kWarpThreads);
}

template <bool kAdd>
void launch_rows(Stream stream, const RowKernelArgs& args, bool wide, std::int64_t rows) {
  const LaunchShape shape{static_cast<std::int32_t>(rows), row_threads(args.hidden, wide ? kWide : 1), sizeof(RowShared)};
  launch(wide ? row_kernel<kWide, kAdd> : row_kernel<1, kAdd>, shape, stream, args);
}

}  // namespace

void rms_norm(Stream stream, Tensor out, Tensor in, Tensor weight, float eps, RowCount row_count) {
  check(out.cols == in.cols && weight.cols == in.cols, "expected input, output and weight of one width");
  const RowKernelArgs args{.out = data_of<Bfloat16>(out),
                           .in = data_of<float>(in),
                           .x = nullptr,
                           .weight = data_of<float>(weight),
                           .out_stride = out.row_stride,
                           .in_stride = in.row_stride,
                           .x_stride = 0,
                           .hidden = static_cast<std::int32_t>(in.cols),
                           .per_column = 1 / static_cast<float>(in.cols),
                           .eps = eps,
                           .row_count = row_count};
  launch_rows<false>(stream, args, is_wide(out) && is_wide(in) && is_wide(weight), in.rows);
}

void add_rms_norm(Stream stream, Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, RowCount row_count) {
  check(out.cols == residual.cols && x.cols == residual.cols && weight.cols == residual.cols, "expected tensors of one width");
  const RowKernelArgs args{.out = data_of<Bfloat16>(out),
                           .in = data_of<float>(residual),
                           .x = data_of<Bfloat16>(x),
                           .weight = data_of<float>(weight),
                           .out_stride = out.row_stride,
                           .in_stride = residual.row_stride,
                           .x_stride = x.row_stride,
                           .hidden = static_cast<std::int32_t>(residual.cols),
                           .per_column = 1 / static_cast<float>(residual.cols),
                           .eps = eps,
                           .row_count = row_count};
  launch_rows<true>(stream, args, is_wide(out) && is_wide(residual) && is_wide(x) && is_wide(weight), residual.rows);
}

void rms_norm_groups(Stream stream, Tensor out, Tensor in, Tensor weight, float eps, RowCount row_count) {
  check(out.cols == in.cols && in.cols % weight.cols == 0, "expected whole groups of columns");
  const bool wide = is_wide(out) && is_wide(in) && is_wide(weight);
  check(weight.cols <= (wide ? kVectors * kWide : 2 * kVectors) * kWarpThreads, "expected a group that the threads of a warp can keep");
  const GroupKernelArgs args{.out = data_of<Bfloat16>(out),
                             .in = data_of<Bfloat16>(in),
                             .weight = data_of<float>(weight),
                             .out_stride = out.row_stride,
                             .in_stride = in.row_stride,
                             .group_count = static_cast<std::int32_t>(in.cols / weight.cols),
                             .size = static_cast<std::int32_t>(weight.cols),
                             .per_column = 1 / static_cast<float>(weight.cols),
                             .eps = eps,
                             .row_count = row_count};
  const std::int64_t items = in.rows * args.group_count;
  const LaunchShape shape{static_cast<std::int32_t>((items + kGroups - 1) / kGroups), kGroupThreads};
  launch(wide ? group_kernel<kWide> : group_kernel<1>, shape, stream, args);
}

}  // namespace slora::cuda
