#pragma once
#include <cstdint>

#include "kernels/cuda/sample.h"
#include "kernels/cuda/token_order.h"

// Bias, penalties, bans and mask of one row of logits, by all threads of a block: what kernels/reference/adjust_logits.h does.
namespace slora::cuda {

__device__ inline TokenId token_in(TokenId token) { return token; }
__device__ inline TokenId token_in(const TokenCount& count) { return count.token; }
__device__ inline TokenId token_in(const TokenBias& bias) { return bias.token; }

// A row's part of a list.
template <class T>
struct TokenList {
  const T* tokens;
  std::int32_t count;

  __device__ TokenList(const T* list, const SampleRow::Part& part) : tokens(list + part.begin), count(part.count) {}
  __device__ TokenId token(std::int32_t index) const { return token_in(tokens[index]); }

  // Requires: sorted by token.
  __device__ bool contains(TokenId wanted) const {
    std::int32_t begin = 0;
    for (std::int32_t end = count; begin < end;) {
      const std::int32_t middle = (begin + end) / 2;
      if (token(middle) < wanted) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return begin < count && token(begin) == wanted;
  }
  // Does an earlier entry name the same token?
  __device__ bool is_repeated(std::int32_t index) const {
    for (std::int32_t earlier = 0; earlier < index; ++earlier) {
      if (token(earlier) == token(index)) return true;
    }
    return false;
  }
};

__device__ inline bool penalises_presence(const SampleRow& row) { return row.presence_penalty != 0 || row.frequency_penalty != 0; }

// Whether adjust_logits() would change anything.
__device__ inline bool adjusts_logits(const SampleRow& row) {
  return row.repetition_penalty != 1 || penalises_presence(row) || row.logit_bias.count > 0 || row.banned.count > 0 || row.mask.count > 0;
}

// Whether the row's mask allows the token. Requires: it has one.
__device__ inline bool allows(const SampleRow& row, const SampleArgs& args, std::int32_t token) {
  return token / 32 < row.mask.count && (args.masks[row.mask.begin + token / 32] >> (token % 32) & 1u) != 0;
}

// A quotient rounded almost always as a division, which is a call, would round it. Requires: both are positive.
__device__ inline float quotient(float dividend, float divisor) {
  constexpr float kHuge = 1e30f;  // beyond, the correction could overflow
  const float inverse = reciprocal(divisor);
  const float estimate = dividend * inverse;
  const float rest = multiply_add(-estimate, divisor, dividend);
  return dividend < kHuge && estimate < kHuge ? multiply_add(rest, inverse, estimate) : estimate;
}

// logits [vocab], of which the mask reads `vocab`. Each stage changes a token by one thread; barriers order the stages.
__device__ inline void adjust_logits(float* logits, std::int32_t vocab, const SampleRow& row, const SampleArgs& args) {
  const TokenList<TokenBias> biases(args.biases, row.logit_bias);
  for (std::int32_t i = thread_index(); i < biases.count; i += kTokenThreads) {
    if (biases.is_repeated(i)) continue;
    const TokenId token = biases.token(i);
    float logit = logits[token];
    for (std::int32_t later = i; later < biases.count; ++later) {
      if (biases.token(later) == token) logit += biases.tokens[later].bias;
    }
    logits[token] = logit;
  }
  block_barrier();

  const TokenList<TokenCount> counts(args.counts, row.output_counts);
  const TokenId pending = row.pending_row < 0 ? -1 : args.previous[row.pending_row].id;
  const bool adds_pending = thread_index() == 0 && pending >= 0 && !counts.contains(pending);
  if (row.repetition_penalty != 1) {
    const TokenList<TokenId> prompt(args.tokens, row.prompt_tokens);
    const auto penalise = [&](TokenId token) {
      const float logit = logits[token];
      logits[token] = logit > 0 ? quotient(logit, row.repetition_penalty) : logit * row.repetition_penalty;
    };
    for (std::int32_t i = thread_index(); i < prompt.count; i += kTokenThreads) penalise(prompt.token(i));
    for (std::int32_t i = thread_index(); i < counts.count; i += kTokenThreads) {
      if (!prompt.contains(counts.token(i))) penalise(counts.token(i));
    }
    if (adds_pending && !prompt.contains(pending)) penalise(pending);
    block_barrier();
  }
  if (penalises_presence(row)) {
    const auto penalise = [&](TokenId token, std::int32_t times) {
      logits[token] -= row.presence_penalty + row.frequency_penalty * static_cast<float>(times);
    };
    for (std::int32_t i = thread_index(); i < counts.count; i += kTokenThreads) {
      penalise(counts.token(i), counts.tokens[i].count + (counts.token(i) == pending ? 1 : 0));
    }
    if (adds_pending) penalise(pending, 1);
    block_barrier();
  }

  const TokenList<TokenId> banned(args.tokens, row.banned);
  for (std::int32_t i = thread_index(); i < banned.count; i += kTokenThreads) {
    if (!banned.is_repeated(i)) logits[banned.token(i)] = bits_to_float(0xff800000u);
  }
  block_barrier();

  if (row.mask.count > 0) {
    for (std::int32_t token = thread_index(); token < vocab; token += kTokenThreads) {
      if (!allows(row, args, token)) logits[token] = bits_to_float(0xff800000u);
    }
    block_barrier();
  }
}

}  // namespace slora::cuda
