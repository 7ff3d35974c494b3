#pragma once
#include <span>

#include "kernels/cpu/simd.h"
#include "tensor/kv_layer.h"

namespace slora::cpu {

// How bf16 keys and values lie in the pages of one head, in words of two bf16:
//   keys   [head_dim / 2, page_tokens]: (k[2i], k[2i + 1]) of every token, so that a vector holds one pair of 16 tokens;
//   values [page_tokens / 2, head_dim]: (v of an even token, v of the next), so that a vector holds 16 elements of two tokens;
//          with one token a page simply [head_dim] bf16.
// Attention takes them in blocks of 32 tokens that begin at multiples of 32.
inline constexpr std::int64_t kKeyBlock = 32;

[[gnu::always_inline]] inline std::uint32_t word_of(float low, float high) {
  return to_bfloat16(low).bits | static_cast<std::uint32_t>(to_bfloat16(high).bits) << 16;
}

inline std::uint32_t* key_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.keys<std::uint16_t>(page, kv_head));
}
inline std::uint32_t* value_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.values<std::uint16_t>(page, kv_head));
}

struct KvBlock {
  std::int64_t position = 0;            // of its first token
  const std::uint32_t* keys = nullptr;  // [head_dim / 2, 32], pairs key_stride words apart
  std::int64_t key_stride = 0;
  const std::uint32_t* values = nullptr;  // [16, head_dim], token pairs value_stride words apart
  std::int64_t value_stride = 0;
};

// The block at `position` where it lies, when it lies in one page in whole vectors; else copied to `keys` [head_dim / 2, 32] and
// `values` [16, head_dim in whole vectors]. Tokens from `end` on mean nothing and may have no page.
KvBlock find_block(const KvLayer& layer, std::span<const PageIndex> pages, std::int32_t kv_head, std::int64_t position, std::int64_t end,
                   std::uint32_t* keys, std::uint32_t* values);

}  // namespace slora::cpu
