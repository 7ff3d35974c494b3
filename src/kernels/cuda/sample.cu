// Draws a token from each row of logits. One block a row, which it reads from L2 after the first time: once for the most likely token,
// which is all that greedy rows without more wishes need; otherwise once or a few times for each of min-p, top-k, top-p, the draw and each
// of the most likely tokens asked for.
#include "kernels/cuda/sample.h"

#include "kernels/cuda/adjust_logits.h"
#include "kernels/cuda/elements.h"
#include "kernels/cuda/token_cut.h"
#include "kernels/cuda/token_order.h"

namespace slora::cuda {
namespace {

constexpr float kGreedyTemperature = 1e-5f;  // rows below are greedy

struct SampleKernelArgs {
  TokenResult* out;     // [rows]
  const float* logits;  // [rows, vocab]
  float* scratch;       // [rows, vocab]
  std::int64_t stride;
  std::int64_t scratch_stride;
  std::int32_t vocab;
  SampleArgs how;
};

// The finaliser of splitmix64, as kernels/reference/adjust_logits.cc has it.
__device__ inline std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The random number of (seed, choice, position), uniform in [0, 1), as a fraction of 2^64 with 53 bits.
__device__ inline std::uint64_t uniform_draw(const SampleRow& how) {
  const std::uint64_t counter = static_cast<std::uint64_t>(how.choice) << 32 | how.position;
  return mix(mix(how.seed) ^ counter) >> 11 << 11;
}

// The tokens that may be drawn, by weight.
struct KeptTokens {
  TokenRow row;
  float highest;
  float factor;      // log2(e) / temperature
  float weight_min;  // min-p
  TokenOrder bound;  // of the last one

  __device__ float weight(std::int32_t token, float logit) const {
    return order_of(key_of(logit), token) >= bound ? power_of_two((logit - highest) * factor) : -1.0f;
  }
  __device__ bool contains(std::int32_t token, float logit) const { return weight(token, logit) >= weight_min; }
  __device__ std::uint64_t units(std::int32_t token, float logit) const {
    return contains(token, logit) ? integer_weight(weight(token, logit)) : 0;
  }
  __device__ std::uint64_t units(std::int32_t token) const { return units(token, row.at(token)); }

  // Of tokens that weigh at least 2^-16: a few thousand in most rows, which have nearly all of the weight.
  __device__ std::uint32_t head_key() const { return key_of(highest - 16 * reciprocal(factor)); }
};

// The shortest prefix of the order with this share of the weight.
__device__ void keep_head(KeptTokens& kept, float share, SampleShared& mine) {
  const std::uint64_t fraction = static_cast<std::uint64_t>(share * 4294967296.0f) << 32;
  const TokenCut cut = find_cut(
      kept.row, mine, kept.head_key(), [&](std::int32_t token, float logit) { return kept.units(token, logit); },
      [&](std::uint64_t total) { return larger_of(1, multiply_high(total, fraction)); });
  const auto units_of_equals = [&](std::int32_t token) { return key_of(kept.row.at(token)) == cut.key ? kept.units(token) : 0; };
  const std::int32_t last = find_token(kept.row.vocab, mine.tokens, units_of_equals, [&](std::uint64_t) { return cut.left; });
  kept.bound = order_of(cut.key, last);
}

// `first` is the most likely token of the row.
__device__ TokenId draw(const TokenRow& row, TokenOrder first, const SampleRow& how, SampleShared& mine) {
  if (how.temperature < kGreedyTemperature) return token_of(first);
  KeptTokens kept{row, logit_of(first), quotient(kLog2E, how.temperature), how.min_p, static_cast<TokenOrder>(kLowestFiniteKey) << 32};
  if (how.top_k > 0) {
    const TokenCut cut = find_cut(
        row, mine, kept.head_key(), [&](std::int32_t token, float logit) -> std::uint64_t { return kept.contains(token, logit) ? 1 : 0; },
        [&](std::uint64_t) { return static_cast<std::uint64_t>(how.top_k); });
    if (cut.is_reached) kept.bound = static_cast<TokenOrder>(cut.key) << 32;  // with all that are as likely as the last
  }
  if (how.top_p < 1) keep_head(kept, how.top_p, mine);
  const std::uint64_t random = uniform_draw(how);
  return find_token(
      row.vocab, mine.tokens, [&](std::int32_t token) { return kept.units(token); },
      [&](std::uint64_t total) { return multiply_high(total, random) + 1; });
}

// The token that is drawn from the adjusted logits, or -1.
__device__ TokenId adjust_and_draw(const TokenRow& row, TokenOrder first, float* scratch, const SampleRow& how, const SampleArgs& args,
                                   SampleShared& mine) {
  TokenRow drawn_from = row;
  if (adjusts_logits(how)) {
    for (std::int32_t token = thread_index(); token < row.vocab; token += kTokenThreads) scratch[token] = row.at(token);
    block_barrier();
    adjust_logits(scratch, row.vocab, how, args);
    drawn_from.logits = scratch;
    first = first_below(~TokenOrder{0}, row.vocab, mine.tokens, [&](std::int32_t token) { return drawn_from.order(token); });
    if (key_of(first) < kLowestFiniteKey) {
      if (how.mask.count == 0) return -1;
      const TokenOrder last = first_below(~TokenOrder{0}, row.vocab, mine.tokens, [&](std::int32_t token) -> TokenOrder {
        return allows(how, args, token) ? row.order(token) : 0;
      });
      return last == 0 ? -1 : token_of(last);
    }
  }
  return draw(drawn_from, first, how, mine);
}

__global__ void __launch_bounds__(kTokenThreads, 2) sample_kernel(SampleKernelArgs args) {
  const std::int32_t index = block_index();
  if (index >= *args.how.row_count) return;
  SampleShared& mine = shared<SampleShared>();
  const SampleRow& how = args.how.rows[index];
  const TokenRow row{args.logits + index * args.stride, args.vocab};
  TokenResult& out = args.out[index];
  const TokenOrder first = first_of(row, mine.tokens);
  const TokenId token = first == 0 ? -1 : adjust_and_draw(row, first, args.scratch + index * args.scratch_stride, how, args.how, mine);
  if (thread_index() == 0) {
    out.id = token;
    out.logprob = 0;
    out.rank = out.top_count = 0;
  }
  if (token < 0 || how.logprob_count < 0) return;
  // Log-probabilities are of the logits as they were.
  const float normaliser = log_sum(row, logit_of(first), mine.tokens);
  if (thread_index() == 0) out.logprob = row.at(token) - logit_of(first) - normaliser;
  write_most_likely(out, row, first, normaliser, how.logprob_count, mine.tokens);
}

}  // namespace

void sample(Stream stream, TokenResult* out, Tensor logits, Tensor scratch, const SampleArgs& args) {
  check(scratch.cols == logits.cols && scratch.rows >= logits.rows, "expected scratch for all logits");
  const SampleKernelArgs kernel_args{.out = out,
                                     .logits = data_of<float>(logits),
                                     .scratch = data_of<float>(scratch),
                                     .stride = logits.row_stride,
                                     .scratch_stride = scratch.row_stride,
                                     .vocab = static_cast<std::int32_t>(logits.cols),
                                     .how = args};
  launch(sample_kernel, {static_cast<std::int32_t>(logits.rows), kTokenThreads, sizeof(SampleShared)}, stream, kernel_args);
}

}  // namespace slora::cuda
