#pragma once
#include "kernels/cpu/kv_words.h"

namespace slora::cpu {

// Attention processes keys in blocks and merges results over splits; both begin at multiples of their size.
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

// Buffers for blocks that cannot be read from their pages in whole vectors.
struct KvCopies {
  std::uint32_t* keys;    // [8, head_dim / 2, 16]
  std::uint32_t* values;  // [64, head_dim in whole vectors]
};

// The addresses of the keys and values of a block. Those outside of the range given to find() are meaningless.
template <class Isa>
struct KvBlock {
  const std::uint32_t* keys[kKeyBlock / kLanes];  // for every 16 tokens: [head_dim / 2, 16], pairs key_stride words apart
  const std::uint32_t* values[kKeyBlock / 2];  // for every 2^value_shift pairs of tokens: [pairs, head_dim], pairs value_stride words apart
  std::int64_t key_stride = 0;
  std::int64_t value_stride = 0;
  int value_shift = 0;

  static bool keys_in_place(const KvLayer& layer) { return layer.page_tokens >= kLanes; }
  static bool values_in_place(const KvLayer& layer) { return layer.page_tokens > 1 && layer.head_dim % kLanes == 0; }

  // Points everything at valid memory, so that prefetches before the first find() have an address.
  void point_at(const std::uint32_t* words) {
    for (const std::uint32_t*& at : keys) at = words;
    for (const std::uint32_t*& at : values) at = words;
  }

  // Sets the addresses of what can be read from the pages directly.
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

  void prefetch_values(std::int64_t pair_begin, std::int64_t pair_end) const {
    for (std::int64_t pair = pair_begin; pair < pair_end; ++pair) {
      const std::int64_t in_run = pair & ((std::int64_t{1} << value_shift) - 1);
      const std::uint32_t* words = values[pair >> value_shift] + in_run * value_stride;
      for (std::int64_t d = 0; d < value_stride; d += kLanes) __builtin_prefetch(words + d, 0, 3);
    }
  }

  // Copies the rest, and prefetches what the next call will copy: `upcoming`.
  void copy(const KvRange& range, const KvRange& upcoming, const KvCopies& copies) {
    const KvLayer& layer = *range.layer;
    if (!keys_in_place(layer)) {
      for (std::int64_t i = 0; i < kKeyBlock / kLanes; ++i) keys[i] = copies.keys + i * layer.head_dim / 2 * kLanes;
      if (layer.page_tokens == 8) copy_keys<8>(range, upcoming, copies.keys);
      if (layer.page_tokens == 4) copy_keys<4>(range, upcoming, copies.keys);
      if (layer.page_tokens == 2) copy_keys<2>(range, upcoming, copies.keys);
      if (layer.page_tokens == 1) copy_keys<1>(range, upcoming, copies.keys);
    }
    if (!values_in_place(layer)) {
      for (std::int64_t i = 0; i < kKeyBlock / 2 / kLanes; ++i) values[i] = copies.values + i * kLanes * value_stride;
      copy_values(range, copies.values);
    }
  }

 private:
  static PageIndex page_at(const KvRange& range, std::int64_t token) {
    return range.pages[token >> __builtin_ctz(static_cast<std::uint32_t>(range.layer->page_tokens))];
  }
  static const std::uint32_t* keys_at(const KvRange& range, std::int64_t token) {
    return key_words(*range.layer, page_at(range, token), range.kv_head) + (token & (range.layer->page_tokens - 1));
  }
  // The words of the pair that the token belongs to.
  static const std::uint32_t* values_at(const KvRange& range, std::int64_t token) {
    return value_words(*range.layer, page_at(range, token), range.kv_head) +
           (token & (range.layer->page_tokens - 1)) / 2 * range.layer->head_dim;
  }

  template <std::int64_t kTokens>
  static void copy_keys(const KvRange& range, const KvRange& upcoming, std::uint32_t* to) {
    const std::int64_t pairs = range.layer->head_dim / 2;
    for (std::int64_t token = range.begin / kTokens * kTokens; token < range.end; token += kTokens) {
      const std::int64_t place = token - range.position;
      const std::uint32_t* from = keys_at(range, token);
      const bool is_upcoming = upcoming.position + place >= upcoming.begin && upcoming.position + place < upcoming.end;
      const std::uint32_t* prefetched = is_upcoming ? keys_at(upcoming, upcoming.position + place) : from;
      std::uint32_t* out = to + place / kLanes * pairs * kLanes + place % kLanes;
      for (std::int64_t i = 0; i < pairs; ++i) {
        __builtin_prefetch(prefetched + i * kTokens, 0, 3);
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
