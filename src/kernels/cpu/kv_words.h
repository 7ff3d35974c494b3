#pragma once
#include "kernels/cpu/simd.h"
#include "ops/kv_layer.h"

namespace slora::cpu {

// The layout of bf16 keys and values in the pages of one head, in words of two bf16:
//   keys   [head_dim / 2, page_tokens]: (k[2i], k[2i + 1]) of every token, so that a vector holds one pair of elements of 16 tokens;
//   values [page_tokens / 2, head_dim]: (v of an even token, v of the next token), so that a vector holds 16 elements of two tokens;
//          with one token per page simply [head_dim] bf16.

[[gnu::always_inline]] inline std::uint32_t word_of(float low, float high) {
  return to_bfloat16(low).bits | static_cast<std::uint32_t>(to_bfloat16(high).bits) << 16;
}

[[gnu::always_inline]] inline std::uint32_t* key_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.keys<std::uint16_t>(page, kv_head));
}
[[gnu::always_inline]] inline std::uint32_t* value_words(const KvLayer& layer, PageIndex page, std::int32_t kv_head) {
  return reinterpret_cast<std::uint32_t*>(layer.values<std::uint16_t>(page, kv_head));
}

}  // namespace slora::cpu
