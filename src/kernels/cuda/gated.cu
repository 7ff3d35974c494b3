// out[t, i] = silu(gate_up[t, i]) * gate_up[t, n + i]; silu(x) = x / (1 + exp(-x)). A block computes kThreads elements of one row, or eight
// times as many.
#include "kernels/cuda/gated.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;

struct GatedKernelArgs {
  Bfloat16* out;            // [T, n]
  const Bfloat16* gate_up;  // [T, 2n]
  std::int64_t out_stride;
  std::int64_t in_stride;
  std::int32_t cols;  // n
  std::int32_t blocks_per_row;
  RowCount row_count;
};

// Without a division, which is a call. For x below -88 the sum is infinite and the result -0, as it should be to within 1e-36.
__device__ inline float silu(float x) {
  constexpr float kLog2E = 1.44269504f;
  return x * reciprocal(1.0f + power_of_two(-kLog2E * x));
}

template <std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) gated_kernel(GatedKernelArgs args) {
  const std::int32_t row = block_index() / args.blocks_per_row;
  const std::int32_t column = (block_index() % args.blocks_per_row * kThreads + thread_index()) * kElements;
  if (row >= *args.row_count || column >= args.cols) return;
  const Bfloat16* const in = args.gate_up + row * args.in_stride + column;
  float gate[kElements], up[kElements];
  load(gate, in);
  load(up, in + args.cols);
  for (std::int32_t i = 0; i < kElements; ++i) gate[i] = silu(gate[i]) * up[i];
  store(args.out + row * args.out_stride + column, gate);
}

}  // namespace

void gated(Stream stream, Tensor out, Tensor gate_up, Activation activation, RowCount row_count) {
  check(activation == Activation::silu, "expected an activation that kernels implement");
  check(gate_up.cols == 2 * out.cols, "expected gate and up, each as wide as the output");
  const bool wide = is_wide(out) && is_wide(gate_up);
  const std::int32_t columns_per_block = kThreads * (wide ? kWide : 1);
  const auto cols = static_cast<std::int32_t>(out.cols);
  const GatedKernelArgs args{.out = data_of<Bfloat16>(out),
                             .gate_up = data_of<Bfloat16>(gate_up),
                             .out_stride = out.row_stride,
                             .in_stride = gate_up.row_stride,
                             .cols = cols,
                             .blocks_per_row = (cols + columns_per_block - 1) / columns_per_block,
                             .row_count = row_count};
  launch(wide ? gated_kernel<kWide> : gated_kernel<1>, {static_cast<std::int32_t>(out.rows) * args.blocks_per_row, kThreads}, stream, args);
}

}  // namespace slora::cuda
