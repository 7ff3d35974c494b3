#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace slora {

// The token that a pair merges into, and its rank (lower ranks merge first).
struct Merge {
  std::uint32_t rank;
  TokenId merged;
  bool operator==(const Merge&) const = default;
};

// Merges by pair. An open-addressing hash table, because most look-ups during encoding fail. Constant once filled.
class MergeTable {
 public:
  explicit MergeTable(std::size_t merge_count);

  // A later merge of the same pair replaces the earlier one. Requires: at most `merge_count` pairs.
  void add(TokenId left, TokenId right, Merge merge);
  // Valid until the next add(); nullptr when the pair doesn't merge.
  [[nodiscard]] const Merge* find(TokenId left, TokenId right) const;
  // Of the same merges, added in the same order.
  bool operator==(const MergeTable&) const = default;

 private:
  struct Entry {
    std::uint64_t key;
    Merge merge;
    bool operator==(const Entry&) const = default;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // no pair of ids: they aren't negative

  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const;

  std::vector<Entry> entries_;  // [a power of two, at least twice the pairs]
};

}  // namespace slora
