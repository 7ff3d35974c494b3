#include "memory/eviction_order.h"

#include <algorithm>

#include "base/check.h"

namespace slora {

EvictionOrder::EvictionOrder(std::uint32_t page_count, EvictionPolicy policy) : policy_(policy), positions_(page_count, kAbsent) {
  heap_.reserve(page_count);
}

double EvictionOrder::value(double use_count, double cost, std::uint32_t page_count) const {
  switch (policy_) {
    case EvictionPolicy::lru:
      return use_time_ + 1;
    case EvictionPolicy::greedy_dual_size:
      return floor_ + cost / page_count;
    case EvictionPolicy::cost_aware:
    case EvictionPolicy::evict_when_idle:
      break;
  }
  return floor_ + use_count * cost / page_count;
}

double EvictionOrder::value_at_use(double use_count, double cost, std::uint32_t page_count) {
  const double value_now = value(use_count, cost, page_count);
  ++use_time_;
  return value_now;
}

void EvictionOrder::insert(PageIndex item, double value, EvictionTier tier) {
  check(!contains(item), "expected an item that is not in the order yet");
  heap_.emplace_back();
  sift_up(heap_.size() - 1, Entry{item, tier, value});
}

void EvictionOrder::erase(PageIndex item) {
  check(contains(item), "expected an item of the order");
  const std::size_t hole = positions_[item.value];
  positions_[item.value] = kAbsent;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (hole == heap_.size()) return;
  if (hole > 0 && last < heap_[(hole - 1) / 2])
    sift_up(hole, last);
  else
    sift_down(hole, last);
}

void EvictionOrder::raise_floor() {
  check(!heap_.empty(), "expected an order that is not empty");
  if (heap_.front().tier == EvictionTier::ordinary) floor_ = std::max(floor_, heap_.front().value);
}

void EvictionOrder::place(std::size_t at, const Entry& entry) {
  heap_[at] = entry;
  positions_[entry.item.value] = static_cast<std::uint32_t>(at);
}

void EvictionOrder::sift_up(std::size_t at, const Entry& entry) {
  while (at > 0) {
    const std::size_t parent = (at - 1) / 2;
    if (!(entry < heap_[parent])) break;
    place(at, heap_[parent]);
    at = parent;
  }
  place(at, entry);
}

void EvictionOrder::sift_down(std::size_t at, const Entry& entry) {
  while (true) {
    std::size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < entry)) break;
    place(at, heap_[child]);
    at = child;
  }
  place(at, entry);
}

}  // namespace slora
