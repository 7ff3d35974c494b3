// out[t, i] = value. A block writes kThreads pieces of one row.
#include "kernels/cuda/fill.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;

template <class T, std::int32_t kElements>
__global__ void __launch_bounds__(kThreads)
    fill_kernel(T* out, std::int64_t stride, std::int32_t cols, std::int32_t blocks_per_row, float value) {
  const std::int32_t column = (block_index() % blocks_per_row * kThreads + thread_index()) * kElements;
  if (column >= cols) return;
  float values[kElements];
  for (std::int32_t i = 0; i < kElements; ++i) values[i] = value;
  store(out + block_index() / blocks_per_row * stride + column, values);
}

template <class T>
void launch_fill(Stream stream, const Tensor& out, float value) {
  const bool wide = is_wide(out);
  const std::int32_t columns_per_block = kThreads * (wide ? kWide : 1);
  const auto cols = static_cast<std::int32_t>(out.cols);
  const std::int32_t blocks_per_row = (cols + columns_per_block - 1) / columns_per_block;
  launch(wide ? fill_kernel<T, kWide> : fill_kernel<T, 1>, {static_cast<std::int32_t>(out.rows) * blocks_per_row, kThreads}, stream,
         data_of<T>(out), out.row_stride, cols, blocks_per_row, value);
}

}  // namespace

void fill(Stream stream, Tensor out, float value) {
  if (out.dtype == DType::f32) {
    launch_fill<float>(stream, out, value);
  } else {
    launch_fill<Bfloat16>(stream, out, value);
  }
}

}  // namespace slora::cuda
