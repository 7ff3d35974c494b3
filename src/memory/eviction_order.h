#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "base/ids.h"

namespace slora {

// Last resorts are evicted after all ordinary items, whatever their values.
enum class EvictionTier : std::uint8_t { ordinary, last_resort };

// What makes an item valuable. The floor is the highest value evicted so far: items that are no longer used are overtaken by those that
// are, however expensive they were.
enum class EvictionPolicy : std::uint8_t {
  cost_aware,        // floor + expected uses x cost to bring it back / pages (GreedyDual-Size-Frequency; see ReuseChance)
  greedy_dual_size,  // floor + cost / pages
  lru,               // how recently it was used
  evict_when_idle,   // S-LoRA's (5.3 of its paper): as cost_aware, but an adapter that was used leaves with the last sequence that uses it
};

// The order in which cached items are evicted: cheapest first. An item is named by its first page, so one heap holds cached prefixes
// and idle adapters.
// Owned by PagedMemory, used on its thread; O(log n) per call, no allocation.
class EvictionOrder {
 public:
  EvictionOrder(std::uint32_t page_count, EvictionPolicy policy);

  [[nodiscard]] EvictionPolicy policy() const { return policy_; }
  // Of an item if it were used now. `use_count` may be expected uses.
  [[nodiscard]] double value(double use_count, double cost, std::uint32_t page_count) const;
  // The same of an item that is used now: counts the use.
  [[nodiscard]] double value_at_use(double use_count, double cost, std::uint32_t page_count);

  void insert(PageIndex item, double value, EvictionTier tier);
  void erase(PageIndex item);
  [[nodiscard]] bool contains(PageIndex item) const { return positions_[item.value] != kAbsent; }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  // Requires: !empty().
  [[nodiscard]] PageIndex cheapest() const { return heap_.front().item; }
  [[nodiscard]] bool cheapest_is_below(double value) const {
    return !heap_.empty() && heap_.front().tier == EvictionTier::ordinary && heap_.front().value < value;
  }
  // To be called before the cheapest item is evicted.
  void raise_floor();

 private:
  struct Entry {
    PageIndex item;
    EvictionTier tier;
    double value;
    bool operator<(const Entry& other) const {
      if (tier != other.tier) return tier < other.tier;
      if (value != other.value) return value < other.value;
      return item < other.item;
    }
  };
  static constexpr std::uint32_t kAbsent = std::numeric_limits<std::uint32_t>::max();

  void place(std::size_t at, const Entry& entry);
  void sift_up(std::size_t at, const Entry& entry);
  void sift_down(std::size_t at, const Entry& entry);

  const EvictionPolicy policy_;
  std::vector<Entry> heap_;
  std::vector<std::uint32_t> positions_;  // [page_count] where in the heap, or kAbsent
  double floor_ = 0;
  double use_time_ = 0;  // counts uses
};

}  // namespace slora
