#include "text/merge_table.h"

#include <bit>

namespace slora {
namespace {

std::uint64_t key_of(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(std::size_t merge_count) : entries_(std::bit_ceil(2 * merge_count + 1), Entry{kEmpty, {}}) {}

std::size_t MergeTable::slot_of(std::uint64_t key) const {
  std::uint64_t mixed = key * 0x9E3779B97F4A7C15ULL;
  mixed ^= mixed >> 32;
  std::size_t slot = mixed & (entries_.size() - 1);
  while (entries_[slot].key != kEmpty && entries_[slot].key != key) slot = (slot + 1) & (entries_.size() - 1);
  return slot;
}

void MergeTable::add(TokenId left, TokenId right, Merge merge) {
  const std::uint64_t key = key_of(left, right);
  entries_[slot_of(key)] = {key, merge};
}

const Merge* MergeTable::find(TokenId left, TokenId right) const {
  const Entry& entry = entries_[slot_of(key_of(left, right))];
  return entry.key == kEmpty ? nullptr : &entry.merge;
}

}  // namespace slora
