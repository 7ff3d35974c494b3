// x[i] = a cos - b sin, x[half + i] = b cos + a sin, where a = x[i], b = x[half + i] of a head. One block a row.
#include "kernels/cuda/rope.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;

struct RopeKernelArgs {
  Bfloat16* x;       // [T, heads * 2 * half]
  const float* cos;  // [positions, half]
  const float* sin;
  const std::int32_t* positions;  // [T]
  std::int64_t x_stride;
  std::int64_t table_stride;
  std::int32_t heads;
  std::int32_t half;
  RowCount row_count;
};

template <std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) rope_kernel(RopeKernelArgs args) {
  const std::int32_t row = block_index();
  if (row >= *args.row_count) return;
  const float* const cos = args.cos + args.positions[row] * args.table_stride;
  const float* const sin = args.sin + args.positions[row] * args.table_stride;
  const std::int32_t per_head = args.half / kElements;
  for (std::int32_t item = thread_index(); item < args.heads * per_head; item += kThreads) {
    const std::int32_t i = item % per_head * kElements;
    Bfloat16* const head = args.x + row * args.x_stride + item / per_head * 2 * args.half;
    float a[kElements], b[kElements], c[kElements], s[kElements];
    load(a, head + i);
    load(b, head + args.half + i);
    load(c, cos + i);
    load(s, sin + i);
    for (std::int32_t j = 0; j < kElements; ++j) {
      const float first = a[j];
      a[j] = first * c[j] - b[j] * s[j];
      b[j] = b[j] * c[j] + first * s[j];
    }
    store(head + i, a);
    store(head + args.half + i, b);
  }
}

}  // namespace

void rope(Stream stream, Tensor x, const std::int32_t* positions, Tensor cos, Tensor sin, RowCount row_count) {
  check(x.cols % (2 * cos.cols) == 0 && sin.cols == cos.cols && sin.row_stride == cos.row_stride, "expected whole heads and equal tables");
  const RopeKernelArgs args{.x = data_of<Bfloat16>(x),
                            .cos = data_of<float>(cos),
                            .sin = data_of<float>(sin),
                            .positions = positions,
                            .x_stride = x.row_stride,
                            .table_stride = cos.row_stride,
                            .heads = static_cast<std::int32_t>(x.cols / (2 * cos.cols)),
                            .half = static_cast<std::int32_t>(cos.cols),
                            .row_count = row_count};
  const LaunchShape shape{static_cast<std::int32_t>(x.rows), kThreads};
  launch(is_wide(x) && is_wide(cos) && is_wide(sin) ? rope_kernel<kWide> : rope_kernel<1>, shape, stream, args);
}

}  // namespace slora::cuda
