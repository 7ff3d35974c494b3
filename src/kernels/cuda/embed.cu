// out[t, :] = table[token of t - first_token, :], fp32 from bf16. One warp a row.
#include "kernels/cuda/embed.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kRows = kThreads / kWarpThreads;  // of a block

struct EmbedKernelArgs {
  float* out;             // [T, hidden]
  const Bfloat16* table;  // [tokens, hidden]
  std::int64_t out_stride;
  std::int64_t table_stride;
  std::int32_t hidden;
  std::int32_t token_count;
  std::int32_t first_token;
  StepTokens tokens;
};

template <std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) embed_kernel(EmbedKernelArgs args) {
  const std::int32_t row = block_index() * kRows + warp_index();
  if (row >= *args.tokens.row_count) return;
  const std::int32_t id = args.tokens.ids[row];
  const std::int32_t token = (id >= 0 ? id : args.tokens.sampled[-1 - id]) - args.first_token;
  const bool has_row = token >= 0 && token < args.token_count;
  float* const out = args.out + row * args.out_stride;
  const Bfloat16* const from = args.table + (has_row ? token : 0) * args.table_stride;
  for (std::int32_t column = lane_index() * kElements; column < args.hidden; column += kWarpThreads * kElements) {
    float values[kElements] = {};
    if (has_row) load(values, from + column);
    store(out + column, values);
  }
}

}  // namespace

void embed(Stream stream, Tensor out, const StepTokens& tokens, Tensor table, std::int32_t first_token) {
  check(out.cols == table.cols, "expected the table to be as wide as the output");
  const EmbedKernelArgs args{.out = data_of<float>(out),
                             .table = data_of<Bfloat16>(table),
                             .out_stride = out.row_stride,
                             .table_stride = table.row_stride,
                             .hidden = static_cast<std::int32_t>(out.cols),
                             .token_count = static_cast<std::int32_t>(table.rows),
                             .first_token = first_token,
                             .tokens = tokens};
  const LaunchShape shape{static_cast<std::int32_t>((out.rows + kRows - 1) / kRows), kThreads};
  launch(is_wide(out) && is_wide(table) ? embed_kernel<kWide> : embed_kernel<1>, shape, stream, args);
}

}  // namespace slora::cuda
