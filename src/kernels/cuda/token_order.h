#pragma once
#include <cstdint>

#include "kernels/cuda/device.h"
#include "ops/token.h"

// What sample and score do with one row of logits [vocab], by one block: the order of tokens, sums of their weights, log-probabilities.
// Sums are of integers, so that they are exact and equal in any order.
namespace slora::cuda {

inline constexpr std::int32_t kTokenThreads = 512;
inline constexpr std::int32_t kTokenWarps = kTokenThreads / kWarpThreads;

// The place of a token in the order of a row as one number, larger for those that come first: by logit descending, then token ascending.
// Its upper half is the logit's key.
using TokenOrder = std::uint64_t;

inline constexpr float kLargestLogit = 3.40282347e38f;
inline constexpr std::uint32_t kNanKey = 0xfffffffeu;  // not the largest key: every order is below ~0
inline constexpr std::uint32_t kInfinityKey = 0xff800000u;
inline constexpr std::uint32_t kLowestFiniteKey = 0x00800000u;  // of the largest negative number; -inf is below

// Keys are ordered as the logits; -0 is 0.
__device__ inline std::uint32_t key_of(float logit) {
  if (logit != logit) return kNanKey;
  const std::uint32_t bits = float_to_bits(logit + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline TokenOrder order_of(std::uint32_t key, std::int32_t token) {
  return static_cast<TokenOrder>(key) << 32 | ~static_cast<std::uint32_t>(token);
}
__device__ inline std::uint32_t key_of(TokenOrder order) { return static_cast<std::uint32_t>(order >> 32); }
__device__ inline std::int32_t token_of(TokenOrder order) { return static_cast<std::int32_t>(~static_cast<std::uint32_t>(order)); }
__device__ inline float logit_of(TokenOrder order) {
  const std::uint32_t key = key_of(order);
  return bits_to_float(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

// A row's logits, where +inf counts as the largest finite number.
struct TokenRow {
  const float* logits;  // [vocab]
  std::int32_t vocab;

  __device__ float at(std::int32_t token) const { return logits[token] < kLargestLogit ? logits[token] : kLargestLogit; }
  __device__ TokenOrder order(std::int32_t token) const { return order_of(key_of(at(token)), token); }
};

struct TokenShared {
  std::uint64_t of_warps[kTokenWarps];
};

__device__ inline std::uint64_t shuffle_wide(std::uint64_t value, std::int32_t lane) {
  const std::uint32_t low = shuffle(static_cast<std::uint32_t>(value), lane);
  const std::uint32_t high = shuffle(static_cast<std::uint32_t>(value >> 32), lane);
  return static_cast<std::uint64_t>(high) << 32 | low;
}

// What the lanes' values make together, in every lane.
template <class Combine>
__device__ std::uint64_t warp_reduce(std::uint64_t value, Combine combine) {
  for (std::int32_t mask = kWarpThreads / 2; mask > 0; mask /= 2) value = combine(value, shuffle_wide(value, lane_index() ^ mask));
  return value;
}

// What the warps' values make, in mine.of_warps; each lane of a warp has its warp's.
__device__ inline void share_of_warps(std::uint64_t value, TokenShared& mine) {
  block_barrier();  // all have read what was shared before
  if (lane_index() == 0) mine.of_warps[warp_index()] = value;
  block_barrier();
}

template <class Combine>
__device__ std::uint64_t block_reduce(std::uint64_t value, TokenShared& mine, Combine combine) {
  share_of_warps(warp_reduce(value, combine), mine);
  value = mine.of_warps[0];
  for (std::int32_t warp = 1; warp < kTokenWarps; ++warp) value = combine(value, mine.of_warps[warp]);
  return value;
}

__device__ inline std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) { return a + b; }
__device__ inline std::uint64_t larger_of(std::uint64_t a, std::uint64_t b) { return a < b ? b : a; }

// The largest order(token) below `limit`, or 0.
template <class Order>
__device__ TokenOrder first_below(TokenOrder limit, std::int32_t vocab, TokenShared& mine, Order order) {
  TokenOrder best = 0;
#pragma unroll 8
  for (std::int32_t token = thread_index(); token < vocab; token += kTokenThreads) {
    const TokenOrder found = order(token);
    if (found < limit && found > best) best = found;
  }
  return block_reduce(best, mine, [](std::uint64_t a, std::uint64_t b) { return larger_of(a, b); });
}

// The first of all tokens, or 0 if a row gives none: if a logit is NaN or none is finite.
__device__ inline TokenOrder first_of(const TokenRow& row, TokenShared& mine) {
  constexpr TokenOrder kAll = ~TokenOrder{0};
  const auto as_it_is = [&](std::int32_t token) { return order_of(key_of(row.logits[token]), token); };
  TokenOrder first = first_below(kAll, row.vocab, mine, as_it_is);
  if (key_of(first) == kNanKey || key_of(first) < kLowestFiniteKey) return 0;
  if (key_of(first) < kInfinityKey) return first;
  first = first_below(static_cast<TokenOrder>(kInfinityKey) << 32, row.vocab, mine, as_it_is);
  if (key_of(first) < kLowestFiniteKey) return 0;
  return first_below(kAll, row.vocab, mine, [&](std::int32_t token) { return row.order(token); });
}

// Weights are exp((logit - highest) / temperature) as integers, in units of 2^-40: a million of them fit into 64 bits.
inline constexpr float kWeightUnits = 1099511627776.0f;
__device__ inline std::uint64_t integer_weight(float weight) { return static_cast<std::uint64_t>(weight * kWeightUnits); }

inline constexpr float kLog2E = 1.44269504f;

// log(sum(exp(logit - highest))) of a row.
__device__ inline float log_sum(const TokenRow& row, float highest, TokenShared& mine) {
  std::uint64_t sum = 0;
#pragma unroll 8
  for (std::int32_t token = thread_index(); token < row.vocab; token += kTokenThreads) {
    sum += integer_weight(power_of_two((row.at(token) - highest) * kLog2E));
  }
  sum = block_reduce(sum, mine, [](std::uint64_t a, std::uint64_t b) { return sum_of(a, b); });
  // The logarithm is computed of a number in [1, 2), where its absolute error is smallest.
  const std::uint32_t bits = float_to_bits(static_cast<float>(sum) * (1 / kWeightUnits));
  const float exponent = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 127);
  return (exponent + logarithm_of_two(bits_to_float((bits & 0x7fffffu) | 0x3f800000u))) * (1 / kLog2E);
}

// Writes the `count` first tokens of the order, those that are finite, with their log-probabilities. By all threads of the block.
__device__ inline void write_most_likely(TokenResult& out, const TokenRow& row, TokenOrder first, float normaliser, std::int32_t count,
                                         TokenShared& mine) {
  const float highest = logit_of(first);
  std::int32_t written = 0;
  for (TokenOrder next = first; written < count && key_of(next) >= kLowestFiniteKey; ++written) {
    if (thread_index() == 0) out.top[written] = {token_of(next), logit_of(next) - highest - normaliser};
    if (written + 1 < count) next = first_below(next, row.vocab, mine, [&](std::int32_t token) { return row.order(token); });
  }
  if (thread_index() == 0) out.top_count = written;
}

}  // namespace slora::cuda
