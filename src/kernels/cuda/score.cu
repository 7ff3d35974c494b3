// out[i] = log softmax(logits row i)[token], rank and most likely tokens. One block a row, which it reads from L2 after the first time.
#include "kernels/cuda/score.h"

#include "kernels/cuda/elements.h"
#include "kernels/cuda/token_order.h"

namespace slora::cuda {
namespace {

struct ScoreKernelArgs {
  TokenResult* out;      // [rows]
  const float* logits;   // [rows, vocab]
  const ScoreRow* rows;  // [rows]
  std::int64_t stride;
  std::int32_t vocab;
  RowCount row_count;
};

__global__ void __launch_bounds__(kTokenThreads) score_kernel(ScoreKernelArgs args) {
  if (block_index() >= *args.row_count) return;
  TokenShared& mine = shared<TokenShared>();
  const TokenRow row{args.logits + block_index() * args.stride, args.vocab};
  const ScoreRow asked = args.rows[block_index()];
  TokenResult& out = args.out[block_index()];
  const TokenOrder first = first_of(row, mine);
  if (first == 0) {
    if (thread_index() == 0) {
      out.id = asked.token;
      out.logprob = 0;
      out.rank = out.top_count = 0;
    }
    return;
  }
  const float highest = logit_of(first);
  const float normaliser = log_sum(row, highest, mine);
  const TokenOrder own = row.order(asked.token);
  std::uint64_t before = 0;
#pragma unroll 8
  for (std::int32_t token = thread_index(); token < row.vocab; token += kTokenThreads) before += row.order(token) > own ? 1 : 0;
  before = block_reduce(before, mine, [](std::uint64_t a, std::uint64_t b) { return sum_of(a, b); });
  if (thread_index() == 0) {
    out.id = asked.token;
    out.logprob = row.at(asked.token) - highest - normaliser;
    out.rank = static_cast<std::int32_t>(before) + 1;
  }
  write_most_likely(out, row, first, normaliser, asked.logprob_count, mine);
}

}  // namespace

void score(Stream stream, TokenResult* out, Tensor logits, const ScoreRow* rows, RowCount row_count) {
  const ScoreKernelArgs args{.out = out,
                             .logits = data_of<float>(logits),
                             .rows = rows,
                             .stride = logits.row_stride,
                             .vocab = static_cast<std::int32_t>(logits.cols),
                             .row_count = row_count};
  launch(score_kernel, {static_cast<std::int32_t>(logits.rows), kTokenThreads, sizeof(TokenShared)}, stream, args);
}

}  // namespace slora::cuda
