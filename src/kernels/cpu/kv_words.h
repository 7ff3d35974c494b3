#pragma once
#include <span>

#include "kernels/cpu/simd.h"
#include "tensor/kv_layer.h"

namespace slora::cpu {

// How bf16 keys and values lie in the pages of one head, in words of two bf16:
//   keys   [head_dim / 2, page_tokens]: (k[2i], k[2i + 1]) of every token, so that a vector holds one pair of 16 tokens;
//   values [page_tokens / 2, head_dim]: (v of an even token, v of the next), so that a vector holds 16 elements of two tokens;
//          with one token a page simply [head_dim] bf16.
// Attention takes them in blocks that begin at multiples of their size, and merges its results over splits likewise.
inline constexpr std::int64_t kKeyBlock = 128;
inline constexpr std::int64_t kSplitKeys = 512;

[[gnu::always_inline]] inline std::uint32_t word_of(float low, float high) {
  return to_bfloat16(low).bits | static_cast<std::uint32_t>(to_bfloat16(high).bits) << 16;
}

inline std::uint32_t* key_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.keys<std::uint16_t>(page, kv_head));
}
inline std::uint32_t* value_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.values<std::uint16_t>(page, kv_head));
}

// One block of one head. What lies outside the tokens that were asked for means nothing.
struct KvBlock {
  std::int64_t position = 0;                           // of its first token
  const std::uint32_t* keys[kKeyBlock / kLanes] = {};  // of every 16 tokens: [head_dim / 2, 16], pairs key_stride words apart
  std::int64_t key_stride = 0;
  const std::uint32_t* values[kKeyBlock / 2] = {};  // of every 2^value_shift token pairs: [, head_dim], pairs value_stride words apart
  int value_shift = 0;
  std::int64_t value_stride = 0;
};

// Room for blocks that do not lie in their pages as vectors want them.
struct KvRoom {
  std::uint32_t* keys;    // [8, head_dim / 2, 16]
  std::uint32_t* values;  // [64, head_dim in whole vectors]
};

// The block at `position`, of which tokens [begin, end) are wanted: where it lies, if that is in whole vectors, else copied.
void find_block(KvBlock& block, const KvLayer& layer, std::span<const PageIndex> pages, std::int32_t kv_head, std::int64_t position,
                std::int64_t begin, std::int64_t end, const KvRoom& room);

}  // namespace slora::cpu
