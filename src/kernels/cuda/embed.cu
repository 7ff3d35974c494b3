// out[t, :] = table[token of t - first_token, :], from bf16. One warp a row.
#include "kernels/cuda/embed.h"

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kRows = kThreads / kWarpThreads;  // of a block

template <class Out>
struct EmbedKernelArgs {
  Out* out;               // [T, hidden]
  const Bfloat16* table;  // [tokens, hidden]
  std::int64_t out_stride;
  std::int64_t table_stride;
  std::int32_t hidden;
  std::int32_t token_count;
  std::int32_t first_token;
  StepTokens tokens;
};

template <class Out, std::int32_t kElements>
__global__ void __launch_bounds__(kThreads) embed_kernel(EmbedKernelArgs<Out> args) {
  const std::int32_t row = block_index() * kRows + warp_index();
  if (row >= *args.tokens.row_count) return;
  const std::int32_t id = args.tokens.ids[row];
  const std::int32_t token = (id >= 0 ? id : args.tokens.sampled[-1 - id].id) - args.first_token;
  const bool has_row = token >= 0 && token < args.token_count;
  Out* const out = args.out + row * args.out_stride;
  const Bfloat16* const from = args.table + (has_row ? token : 0) * args.table_stride;
  for (std::int32_t column = lane_index() * kElements; column < args.hidden; column += kWarpThreads * kElements) {
    float values[kElements] = {};
    if (has_row) load(values, from + column);
    store(out + column, values);
  }
}

template <class Out>
void launch_embed(Stream stream, const Tensor& out, const StepTokens& tokens, const Tensor& table, std::int32_t first_token) {
  const EmbedKernelArgs<Out> args{.out = data_of<Out>(out),
                                  .table = data_of<Bfloat16>(table),
                                  .out_stride = out.row_stride,
                                  .table_stride = table.row_stride,
                                  .hidden = static_cast<std::int32_t>(out.cols),
                                  .token_count = static_cast<std::int32_t>(table.rows),
                                  .first_token = first_token,
                                  .tokens = tokens};
  const LaunchShape shape{static_cast<std::int32_t>((out.rows + kRows - 1) / kRows), kThreads};
  launch(is_wide(out) && is_wide(table) ? embed_kernel<Out, kWide> : embed_kernel<Out, 1>, shape, stream, args);
}

}  // namespace

void embed(Stream stream, Tensor out, const StepTokens& tokens, Tensor table, std::int32_t first_token) {
  check(out.cols == table.cols, "expected the table to be as wide as the output");
  if (out.dtype == DType::f32) {
    launch_embed<float>(stream, out, tokens, table, first_token);
  } else {
    launch_embed<Bfloat16>(stream, out, tokens, table, first_token);
  }
}

}  // namespace slora::cuda
