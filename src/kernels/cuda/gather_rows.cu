// out[i, :] = in[rows[i], :]. A block copies kThreads elements of one row, or as many pieces of 16 bytes.
#include "kernels/cuda/gather_rows.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;

template <class Element>
struct GatherKernelArgs {
  Element* out;       // [rows, cols]
  const Element* in;  // [T, cols]
  std::int64_t out_stride;
  std::int64_t in_stride;
  std::int32_t cols;
  std::int32_t blocks_per_row;
  const std::int32_t* rows;
  RowCount row_count;
};

template <class Element>
__global__ void __launch_bounds__(kThreads) gather_kernel(GatherKernelArgs<Element> args) {
  const std::int32_t row = block_index() / args.blocks_per_row;
  const std::int32_t column = block_index() % args.blocks_per_row * kThreads + thread_index();
  if (row >= *args.row_count || column >= args.cols) return;
  args.out[row * args.out_stride + column] = args.in[args.rows[row] * args.in_stride + column];
}

template <class Element>
void launch_gather(Stream stream, const Tensor& out, const Tensor& in, const std::int32_t* rows, RowCount row_count) {
  const auto per_element = static_cast<std::int64_t>(sizeof(Element) / bytes_of(out.dtype));
  const auto cols = static_cast<std::int32_t>(out.cols / per_element);
  const GatherKernelArgs<Element> args{.out = reinterpret_cast<Element*>(out.data),
                                       .in = reinterpret_cast<const Element*>(in.data),
                                       .out_stride = out.row_stride / per_element,
                                       .in_stride = in.row_stride / per_element,
                                       .cols = cols,
                                       .blocks_per_row = (cols + kThreads - 1) / kThreads,
                                       .rows = rows,
                                       .row_count = row_count};
  launch(gather_kernel<Element>, {static_cast<std::int32_t>(out.rows) * args.blocks_per_row, kThreads}, stream, args);
}

}  // namespace

void gather_rows(Stream stream, Tensor out, Tensor in, const std::int32_t* rows, RowCount row_count) {
  check(out.cols == in.cols && out.dtype == in.dtype, "expected input and output of one width and element type");
  if (is_wide(out) && is_wide(in)) {
    launch_gather<Words<16>>(stream, out, in, rows, row_count);
  } else if (out.dtype == DType::f32) {
    launch_gather<Words<4>>(stream, out, in, rows, row_count);
  } else {
    check(out.dtype == DType::bf16, "expected elements of fp32 or bf16");
    launch_gather<Bfloat16>(stream, out, in, rows, row_count);
  }
}

}  // namespace slora::cuda
