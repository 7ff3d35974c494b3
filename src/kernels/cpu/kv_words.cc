#include "kernels/cpu/kv_words.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace slora::cpu {
namespace {

// The pages of one head, walked by token.
struct Pages {
  const KvLayer& layer;
  std::span<const PageIndex> pages;
  std::int32_t kv_head;
  int shift = std::countr_zero(static_cast<std::uint32_t>(layer.page_tokens));

  [[nodiscard]] PageIndex page_of(std::int64_t token) const { return pages[static_cast<std::size_t>(token >> shift)]; }
  [[nodiscard]] std::int64_t slot_of(std::int64_t token) const { return token & (layer.page_tokens - 1); }
  [[nodiscard]] const std::uint32_t* keys(std::int64_t token) const { return key_words(layer, page_of(token), kv_head) + slot_of(token); }
  // Of the token's pair.
  [[nodiscard]] const std::uint32_t* values(std::int64_t token) const {
    return value_words(layer, page_of(token), kv_head) + slot_of(token) / 2 * layer.head_dim;
  }
};

template <std::size_t kTokens>
void copy_keys(std::uint32_t* keys, const std::uint32_t* from, std::int64_t pairs) {
  for (std::int64_t i = 0; i < pairs; ++i) std::memcpy(keys + i * kLanes, from + i * static_cast<std::int64_t>(kTokens), kTokens * 4);
}

void find_keys(KvBlock& block, const Pages& pages, std::int64_t begin, std::int64_t end, std::uint32_t* room) {
  const std::int64_t pairs = pages.layer.head_dim / 2;
  const std::int32_t page_tokens = pages.layer.page_tokens;
  const bool in_place = page_tokens >= kLanes;
  block.key_stride = in_place ? page_tokens : kLanes;
  for (std::int64_t token = begin / kLanes * kLanes; token < end; token += kLanes) {
    const std::int64_t vector = (token - block.position) / kLanes;
    std::uint32_t* copy = room + vector * pairs * kLanes;
    block.keys[vector] = in_place ? pages.keys(token) : copy;
    for (std::int64_t t = 0; t < kLanes && token + t < end && !in_place; t += page_tokens) {
      const std::uint32_t* from = pages.keys(token + t);
      if (page_tokens == 8) copy_keys<8>(copy + t, from, pairs);
      if (page_tokens == 4) copy_keys<4>(copy + t, from, pairs);
      if (page_tokens == 2) copy_keys<2>(copy + t, from, pairs);
      if (page_tokens == 1) copy_keys<1>(copy + t, from, pairs);
    }
  }
}

// Pages of one token hold no pairs.
void copy_value(std::uint32_t* pair, const std::uint32_t* from, std::int64_t token, std::int32_t head_dim) {
  auto* halves = reinterpret_cast<std::uint16_t*>(pair) + token % 2;
  const auto* elements = reinterpret_cast<const std::uint16_t*>(from);
  for (std::int32_t d = 0; d < head_dim; ++d) halves[2 * d] = elements[d];
}

void find_values(KvBlock& block, const Pages& pages, std::int64_t begin, std::int64_t end, std::uint32_t* room) {
  const std::int32_t page_tokens = pages.layer.page_tokens;
  const std::int32_t head_dim = pages.layer.head_dim;
  const bool in_place = page_tokens > 1 && head_dim % kLanes == 0;
  block.value_stride = (head_dim + kLanes - 1) / kLanes * kLanes;
  block.value_shift = in_place ? std::min(pages.shift, 5) - 1 : 4;
  const std::int64_t run = std::int64_t{2} << block.value_shift;
  for (std::int64_t token = begin / run * run; token < end; token += run) {
    std::uint32_t* copy = room + (token - block.position) / 2 * block.value_stride;
    block.values[(token - block.position) / run] = in_place ? pages.values(token) : copy;
    for (std::int64_t t = 0; t < run && token + t < end && !in_place; t += page_tokens == 1 ? 1 : 2) {
      std::uint32_t* pair = copy + t / 2 * block.value_stride;
      if (page_tokens == 1) {
        copy_value(pair, pages.values(token + t), t, head_dim);
      } else {
        std::memcpy(pair, pages.values(token + t), static_cast<std::size_t>(head_dim) * sizeof(std::uint32_t));
      }
    }
  }
}

}  // namespace

void find_block(KvBlock& block, const KvLayer& layer, std::span<const PageIndex> pages, std::int32_t kv_head, std::int64_t position,
                std::int64_t begin, std::int64_t end, const KvRoom& room) {
  block.position = position;
  const Pages walked{layer, pages, kv_head};
  find_keys(block, walked, begin, end, room.keys);
  find_values(block, walked, begin, end, room.values);
}

}  // namespace slora::cpu
