#include "kernels/cpu/kv_words.h"

#include <algorithm>
#include <cstring>

namespace slora::cpu {
namespace {

void copy_keys(std::uint32_t* keys, const std::uint32_t* from, const KvLayer& layer, std::int64_t tokens) {
  for (std::int32_t i = 0; i < layer.head_dim / 2; ++i) {
    std::memcpy(keys + i * kKeyBlock, from + static_cast<std::int64_t>(i) * layer.page_tokens,
                static_cast<std::size_t>(tokens) * sizeof(std::uint32_t));
  }
}

// `token`: of the block. Pages of one token hold no pairs.
void copy_values(std::uint32_t* values, const std::uint32_t* from, const KvLayer& layer, std::int64_t token, std::int64_t tokens,
                 std::int64_t stride) {
  if (layer.page_tokens > 1) {
    for (std::int64_t pair = 0; pair < tokens / 2; ++pair) {
      std::memcpy(values + (token / 2 + pair) * stride, from + pair * layer.head_dim,
                  static_cast<std::size_t>(layer.head_dim) * sizeof(std::uint32_t));
    }
    return;
  }
  auto* halves = reinterpret_cast<std::uint16_t*>(values + token / 2 * stride) + token % 2;
  const auto* elements = reinterpret_cast<const std::uint16_t*>(from);
  for (std::int32_t d = 0; d < layer.head_dim; ++d) halves[2 * d] = elements[d];
}

}  // namespace

KvBlock find_block(const KvLayer& layer, std::span<const PageIndex> pages, std::int32_t kv_head, std::int64_t position, std::int64_t end,
                   std::uint32_t* keys, std::uint32_t* values) {
  const std::int64_t stride = (layer.head_dim + kLanes - 1) / kLanes * kLanes;
  KvBlock block{position, keys, kKeyBlock, values, stride};
  const bool one_page = layer.page_tokens >= kKeyBlock;
  const bool whole_vectors = layer.head_dim % kLanes == 0;
  const std::int64_t run = std::min<std::int64_t>(layer.page_tokens, kKeyBlock);
  for (std::int64_t token = 0; token < kKeyBlock && position + token < end; token += run) {
    const PageIndex page = pages[static_cast<std::size_t>((position + token) / layer.page_tokens)];
    const std::int64_t slot = (position + token) % layer.page_tokens;
    const std::uint32_t* page_keys = key_words(layer, page, kv_head) + slot;
    const std::uint32_t* page_values = value_words(layer, page, kv_head) + slot / 2 * layer.head_dim;
    if (one_page) {
      block.keys = page_keys;
      block.key_stride = layer.page_tokens;
    } else {
      copy_keys(keys + token, page_keys, layer, run);
    }
    if (one_page && whole_vectors) {
      block.values = page_values;
      block.value_stride = layer.head_dim;
    } else {
      copy_values(values, page_values, layer, token, run, stride);
    }
  }
  return block;
}

}  // namespace slora::cpu
