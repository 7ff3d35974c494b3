// page[head, slot, :] = k[row, head, :], and the same of v. One warp a row.
#include "kernels/cuda/store_kv.h"

#include "kernels/cuda/elements.h"
#include "kernels/cuda/span_of_row.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kRows = kThreads / kWarpThreads;  // of a block

struct StoreKernelArgs {
  KvPages layer;
  const Bfloat16* k;  // [T, kv_heads * head_dim]
  const Bfloat16* v;
  std::int64_t k_stride;
  std::int64_t v_stride;
  StepSpans spans;
};

template <std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) store_kernel(StoreKernelArgs args) {
  const std::int32_t row = block_index() * kRows + warp_index();
  const Span* const span = span_of_row(args.spans, row);
  if (span == nullptr) return;
  const KvPages& layer = args.layer;
  const std::int32_t position = span->position_begin + row - span->row_begin;
  const std::size_t page = args.spans.pages[span->page_begin + position / layer.page_tokens];
  const std::int32_t slot = position % layer.page_tokens;
  std::byte* const at = layer.base + page * layer.page_bytes;
  auto* const keys = reinterpret_cast<Bfloat16*>(at + layer.k_offset);
  auto* const values = reinterpret_cast<Bfloat16*>(at + layer.v_offset);
  const std::int32_t columns = layer.kv_heads * layer.head_dim;
  for (std::int32_t column = lane_index() * kElements; column < columns; column += kWarpThreads * kElements) {
    const std::int32_t head = column / layer.head_dim;
    const std::int32_t to = (head * layer.page_tokens + slot) * layer.head_dim + column % layer.head_dim;
    copy_elements<kElements>(keys + to, args.k + row * args.k_stride + column);
    copy_elements<kElements>(values + to, args.v + row * args.v_stride + column);
  }
}

}  // namespace

void store_kv(Stream stream, const KvPages& layer, Tensor k, Tensor v, const StepSpans& spans) {
  check(k.cols == std::int64_t{layer.kv_heads} * layer.head_dim && v.cols == k.cols && v.rows == k.rows,
        "expected k and v of the layer's shape");
  const StoreKernelArgs args{.layer = layer,
                             .k = data_of<Bfloat16>(k),
                             .v = data_of<Bfloat16>(v),
                             .k_stride = k.row_stride,
                             .v_stride = v.row_stride,
                             .spans = spans};
  const bool wide = is_wide(k) && is_wide(v) && layer.head_dim % kWide == 0 &&
                    (reinterpret_cast<std::uintptr_t>(layer.base) | layer.page_bytes | layer.k_offset | layer.v_offset) % 16 == 0;
  const LaunchShape shape{static_cast<std::int32_t>((k.rows + kRows - 1) / kRows), kThreads};
  launch(wide ? store_kernel<kWide> : store_kernel<1>, shape, stream, args);
}

}  // namespace slora::cuda
