#pragma once
#include "kernels/cpu/kv_words.h"

namespace slora::cpu {

// Attention takes keys in blocks that begin at multiples of their size, and merges its results over splits likewise.
inline constexpr std::int64_t kKeyBlock = 128;
inline constexpr std::int64_t kSplitKeys = 512;

// Tokens [begin, end) of one block of one head.
struct KvRange {
  const KvLayer* layer = nullptr;
  const PageIndex* pages = nullptr;
  std::int32_t kv_head = 0;
  std::int64_t position = 0;  // of the block's first token
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// Room for blocks that do not lie in their pages as vectors want them.
struct KvRoom {
  std::uint32_t* keys;    // [8, head_dim / 2, 16]
  std::uint32_t* values;  // [64, head_dim in whole vectors]
};

// Where the keys and values of a block are read. What lies outside the range that was asked for means nothing.
template <class Isa>
struct KvBlock {
  const std::uint32_t* keys[kKeyBlock / kLanes];  // of every 16 tokens: [head_dim / 2, 16], pairs key_stride words apart
  const std::uint32_t* values[kKeyBlock / 2];     // of every 2^value_shift token pairs: [, head_dim], pairs value_stride words apart
  std::int64_t key_stride = 0;
  std::int64_t value_stride = 0;
  int value_shift = 0;

  static bool keys_in_place(const KvLayer& layer) { return layer.page_tokens >= kLanes; }
  static bool values_in_place(const KvLayer& layer) { return layer.page_tokens > 1 && layer.head_dim % kLanes == 0; }

  // Somewhere, so that what is asked for has an address.
  void point_at(const std::uint32_t* words) {
    for (const std::uint32_t*& at : keys) at = words;
    for (const std::uint32_t*& at : values) at = words;
  }

  // Fills in what can be read in the pages.
  void find(const KvRange& range) {
    const KvLayer& layer = *range.layer;
    const int page_shift = __builtin_ctz(static_cast<std::uint32_t>(layer.page_tokens));
    key_stride = keys_in_place(layer) ? layer.page_tokens : kLanes;
    value_stride = (layer.head_dim + kLanes - 1) / kLanes * kLanes;
    value_shift = values_in_place(layer) && page_shift < 5 ? page_shift - 1 : 4;
    if (keys_in_place(layer)) {
      for (std::int64_t token = range.begin / kLanes * kLanes; token < range.end; token += kLanes) {
        keys[(token - range.position) / kLanes] = keys_at(range, token);
      }
    }
    if (values_in_place(layer)) {
      const std::int64_t run = std::int64_t{2} << value_shift;
      for (std::int64_t token = range.begin / run * run; token < range.end; token += run) {
        values[(token - range.position) >> (value_shift + 1)] = values_at(range, token);
      }
    }
  }

  void ask_for_values(std::int64_t pair_begin, std::int64_t pair_end) const {
    for (std::int64_t pair = pair_begin; pair < pair_end; ++pair) {
      const std::int64_t in_run = pair & ((std::int64_t{1} << value_shift) - 1);
      const std::uint32_t* words = values[pair >> value_shift] + in_run * value_stride;
      for (std::int64_t d = 0; d < value_stride; d += kLanes) __builtin_prefetch(words + d, 0, 3);
    }
  }

  // Copies the rest, and asks for what will be copied of `ahead`.
  void copy(const KvRange& range, const KvRange& ahead, const KvRoom& room) {
    const KvLayer& layer = *range.layer;
    if (!keys_in_place(layer)) {
      for (std::int64_t i = 0; i < kKeyBlock / kLanes; ++i) keys[i] = room.keys + i * layer.head_dim / 2 * kLanes;
      if (layer.page_tokens == 8) copy_keys<8>(range, ahead, room.keys);
      if (layer.page_tokens == 4) copy_keys<4>(range, ahead, room.keys);
      if (layer.page_tokens == 2) copy_keys<2>(range, ahead, room.keys);
      if (layer.page_tokens == 1) copy_keys<1>(range, ahead, room.keys);
    }
    if (!values_in_place(layer)) {
      for (std::int64_t i = 0; i < kKeyBlock / 2 / kLanes; ++i) values[i] = room.values + i * kLanes * value_stride;
      copy_values(range, room.values);
    }
  }

 private:
  static PageIndex page_at(const KvRange& range, std::int64_t token) {
    return range.pages[token >> __builtin_ctz(static_cast<std::uint32_t>(range.layer->page_tokens))];
  }
  static const std::uint32_t* keys_at(const KvRange& range, std::int64_t token) {
    return key_words(*range.layer, page_at(range, token), range.kv_head) + (token & (range.layer->page_tokens - 1));
  }
  // Of the token's pair.
  static const std::uint32_t* values_at(const KvRange& range, std::int64_t token) {
    return value_words(*range.layer, page_at(range, token), range.kv_head) +
           (token & (range.layer->page_tokens - 1)) / 2 * range.layer->head_dim;
  }

  template <std::int64_t kTokens>
  static void copy_keys(const KvRange& range, const KvRange& ahead, std::uint32_t* to) {
    const std::int64_t pairs = range.layer->head_dim / 2;
    for (std::int64_t token = range.begin / kTokens * kTokens; token < range.end; token += kTokens) {
      const std::int64_t place = token - range.position;
      const std::uint32_t* from = keys_at(range, token);
      const bool is_ahead = ahead.position + place >= ahead.begin && ahead.position + place < ahead.end;
      const std::uint32_t* asked = is_ahead ? keys_at(ahead, ahead.position + place) : from;
      std::uint32_t* out = to + place / kLanes * pairs * kLanes + place % kLanes;
      for (std::int64_t i = 0; i < pairs; ++i) {
        __builtin_prefetch(asked + i * kTokens, 0, 3);
        __builtin_memcpy(out + i * kLanes, from + i * kTokens, kTokens * sizeof(std::uint32_t));
      }
    }
  }

  void copy_values(const KvRange& range, std::uint32_t* to) const {
    const std::int64_t dim = range.layer->head_dim;
    const bool has_pairs = range.layer->page_tokens > 1;
    for (std::int64_t token = range.begin; token < range.end; token += has_pairs ? 2 - token % 2 : 1) {
      const std::uint32_t* from = values_at(range, token);
      std::uint32_t* pair = to + (token - range.position) / 2 * value_stride;
      if (has_pairs) {
        __builtin_memcpy(pair, from, static_cast<std::size_t>(dim) * sizeof(std::uint32_t));
        continue;
      }
      auto* halves = reinterpret_cast<std::uint16_t*>(pair) + token % 2;
      const auto* elements = reinterpret_cast<const std::uint16_t*>(from);
      for (std::int64_t d = 0; d < dim; ++d) halves[2 * d] = elements[d];
    }
  }
};

}  // namespace slora::cpu
