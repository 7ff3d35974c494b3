#pragma once
#include <cstdint>

#include "kernels/cuda/token_order.h"

// Where a sum over tokens reaches a target, by all threads of a block: in the order of logits, found by radix selection on the bits of
// keys, or in the order of tokens. Amounts of tokens are integers; target(total) gives the target, at least 1.
namespace slora::cuda {

struct TokenCutShared {
  static constexpr std::int32_t kDigitBits = 8;
  static constexpr std::int32_t kBins = 1 << kDigitBits;
  static constexpr std::int32_t kBinsPerLane = kBins / kWarpThreads;

  // 64-bit sums by digit of the key. Lane l's bins 8 l .. 8 l + 7 lie 32 words apart, so that a warp reads without bank conflicts.
  std::uint32_t low[kBins];
  std::uint32_t high[kBins];
  std::uint64_t left;   // what the tokens with the digits found so far must sum up to
  std::uint32_t digit;  // found last

  __device__ static std::uint32_t place_of(std::uint32_t digit) { return digit % kBinsPerLane * kWarpThreads + digit / kBinsPerLane; }
};

struct SampleShared {
  TokenShared tokens;
  TokenCutShared cut;
};

__device__ inline void add_to_bin(TokenCutShared& mine, std::uint32_t digit, std::uint64_t amount) {
  const std::uint32_t place = TokenCutShared::place_of(digit);
  const auto low = static_cast<std::uint32_t>(amount);
  const std::uint32_t before = atomic_add(&mine.low[place], low);
  const std::uint32_t high = static_cast<std::uint32_t>(amount >> 32) + (before + low < before ? 1 : 0);
  if (high != 0) atomic_add(&mine.high[place], high);
}

// One warp: the digit at which the sum over the bins, from the largest digit on, reaches `left`. Requires: it does.
__device__ inline void choose_digit(TokenCutShared& mine, std::uint64_t left) {
  const auto bin = [&](std::int32_t i) {  // of this lane's
    const std::int32_t place = i * kWarpThreads + lane_index();
    return static_cast<std::uint64_t>(mine.high[place]) << 32 | mine.low[place];
  };
  std::uint64_t sum = 0;
  for (std::int32_t i = 0; i < TokenCutShared::kBinsPerLane; ++i) sum += bin(i);
  std::uint64_t from_here = sum;  // over this lane and those above
  for (std::int32_t distance = 1; distance < kWarpThreads; distance *= 2) {
    const std::uint64_t of_other = shuffle_wide(from_here, (lane_index() + distance) % kWarpThreads);
    if (lane_index() + distance < kWarpThreads) from_here += of_other;
  }
  if (left > from_here || left <= from_here - sum) return;  // another lane's
  left -= from_here - sum;
  std::int32_t i = TokenCutShared::kBinsPerLane - 1;
  for (; left > bin(i); --i) left -= bin(i);
  mine.digit = static_cast<std::uint32_t>(lane_index() * TokenCutShared::kBinsPerLane + i);
  mine.left = left;
}

// Visits this thread's tokens with their logits. Several loads are in flight, whatever a visit writes.
template <class Visit>
__device__ void for_each_token(const TokenRow& row, Visit visit) {
  constexpr std::int32_t kBatch = 8;
  for (std::int32_t begin = thread_index(); begin < row.vocab; begin += kBatch * kTokenThreads) {
    float logits[kBatch];
#pragma unroll
    for (std::int32_t i = 0; i < kBatch; ++i) {
      const std::int32_t token = begin + i * kTokenThreads;
      logits[i] = token < row.vocab ? row.at(token) : 0;
    }
#pragma unroll
    for (std::int32_t i = 0; i < kBatch; ++i) {
      const std::int32_t token = begin + i * kTokenThreads;
      if (token < row.vocab) visit(token, logits[i]);
    }
  }
}

// The key at which the sum over the tokens, from the most likely on, reaches the target, and what is missing before the tokens with that
// key. Tokens with keys from `head` on probably reach it: then the others, nearly all of which would meet in a few bins, are left out.
struct TokenCut {
  bool is_reached;
  std::uint32_t key;
  std::uint64_t left;
};
template <class Amount, class Target>
__device__ TokenCut find_cut(const TokenRow& row, SampleShared& mine, std::uint32_t head, Amount amount, Target target) {
  const auto add = [](std::uint64_t a, std::uint64_t b) { return sum_of(a, b); };
  std::uint64_t total = 0, of_head = 0;
  for_each_token(row, [&](std::int32_t token, float logit) {
    const std::uint64_t of_token = amount(token, logit);
    total += of_token;
    if (key_of(logit) >= head) of_head += of_token;
  });
  total = block_reduce(total, mine.tokens, add);
  of_head = block_reduce(of_head, mine.tokens, add);
  std::uint64_t left = target(total);
  if (left > total) return {};
  const std::uint32_t lowest = left <= of_head ? head : 0;

  TokenCutShared& cut = mine.cut;
  std::uint32_t found = 0;  // the digits of the key from `shift` + 8 bits on
  for (std::int32_t shift = 32 - TokenCutShared::kDigitBits; shift >= 0; shift -= TokenCutShared::kDigitBits) {
    const bool is_first = shift == 32 - TokenCutShared::kDigitBits;
    for (std::int32_t place = thread_index(); place < TokenCutShared::kBins; place += kTokenThreads) cut.low[place] = cut.high[place] = 0;
    block_barrier();
    for_each_token(row, [&](std::int32_t token, float logit) {
      const std::uint32_t key = key_of(logit), digits = key >> shift;
      if (key < lowest || (!is_first && digits >> TokenCutShared::kDigitBits != found)) return;
      const std::uint64_t of_token = amount(token, logit);
      if (of_token != 0) add_to_bin(cut, digits % TokenCutShared::kBins, of_token);
    });
    block_barrier();
    if (warp_index() == 0) choose_digit(cut, left);
    block_barrier();
    left = cut.left;
    found = found << TokenCutShared::kDigitBits | cut.digit;
  }
  return {true, found, left};
}

// The token at which the sum over tokens 0, 1, ... [count] reaches the target. Each round divides the tokens among the warps and goes on
// with one warp's. Requires: all together reach the target.
template <class Amount, class Target>
__device__ std::int32_t find_token(std::int32_t count, TokenShared& mine, Amount amount, Target target) {
  std::int32_t begin = 0, end = count;
  std::uint64_t left = 0;
  do {
    const bool is_first = end - begin == count;
    const std::int32_t part = (end - begin + kTokenWarps - 1) / kTokenWarps;
    const std::int32_t part_begin = begin + warp_index() * part;
    const std::int32_t part_end = part_begin + part < end ? part_begin + part : end;
    std::uint64_t sum = 0;
#pragma unroll 8
    for (std::int32_t token = part_begin + lane_index(); token < part_end; token += kWarpThreads) sum += amount(token);
    share_of_warps(warp_reduce(sum, [](std::uint64_t a, std::uint64_t b) { return sum_of(a, b); }), mine);
    if (is_first) {
      std::uint64_t total = 0;
      for (const std::uint64_t of_warp : mine.of_warps) total += of_warp;
      left = target(total);
    }
    std::int32_t warp = 0;
    for (; warp < kTokenWarps - 1 && mine.of_warps[warp] < left; ++warp) left -= mine.of_warps[warp];
    begin += warp * part;
    if (begin + part < end) end = begin + part;
  } while (end - begin > 1);
  return begin;
}

}  // namespace slora::cuda
