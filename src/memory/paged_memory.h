#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "memory/adapter_cache.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"
#include "memory/prefix_index.h"

namespace slora {

struct PagedMemoryOptions {
  std::uint32_t page_count = 0;
  std::int32_t page_tokens = 16;
  CacheCosts costs = {};
  PrefixHash hash = PrefixHash::tokens;
  EvictionPolicy eviction = EvictionPolicy::cost_aware;
  // For comparison with one pool: adapters have this many pages to themselves, sequences and prefixes the others. 0: all share all pages.
  std::uint32_t adapter_pages_separate = 0;
};

// The pool and everything that is cached in it. take() succeeds exactly when the free and the evictable pages suffice. Owned by the
// scheduler, used on its thread.
class PagedMemory {
 public:
  explicit PagedMemory(const PagedMemoryOptions& options);

  // Pages that take() can give to a sequence.
  [[nodiscard]] std::uint32_t available() const {
    if (!is_shared()) return free_count(PageUse::sequence) + prefixes_.evictable_count();
    return pool_.free_count() + evictable_count();
  }
  // Pages that take() can give to an adapter; the same ones where all share all pages.
  [[nodiscard]] std::uint32_t available_to_adapters() const {
    return is_shared() ? available() : free_count(PageUse::adapter) + adapters_.evictable_count();
  }
  // Cached pages that nothing pins.
  [[nodiscard]] std::uint32_t evictable_count() const { return prefixes_.evictable_count() + adapters_.evictable_count(); }
  [[nodiscard]] bool is_shared() const { return adapter_pages_separate_ == 0; }
  // Takes free pages, after evicting as many as are missing, cheapest first. Requires: count <= what is available to the list's owner.
  void take(PageList& into, std::uint32_t count);
  // Takes the pages that the image needs, as take() does, and begins its load. Requires: absent; adapters().pages_to_load(needs) <=
  // available_to_adapters().
  void begin_load(const AdapterNeeds& needs);
  // The same, but evicts only items below `value`; false if that is not enough, and then nothing is loaded, but items below may have been
  // evicted.
  [[nodiscard]] bool try_begin_load_below(const AdapterNeeds& needs, double value);
  // Evicts everything that is not pinned.
  void evict_all();
  // Where adapters have pages of their own: whether somebody holds more than they may; nothing when nobody does.
  [[nodiscard]] std::string check_regions() const;

  [[nodiscard]] const PagePool& pool() const { return pool_; }
  [[nodiscard]] PageList empty_list(const PageOwner& owner) { return pool_.empty_list(owner); }
  [[nodiscard]] PrefixIndex& prefixes() { return prefixes_; }
  [[nodiscard]] const PrefixIndex& prefixes() const { return prefixes_; }
  [[nodiscard]] AdapterCache& adapters() { return adapters_; }
  [[nodiscard]] const AdapterCache& adapters() const { return adapters_; }

 private:
  // Free pages that such an owner may take.
  [[nodiscard]] std::uint32_t free_count(PageUse use) const;
  // What is evicted for such an owner.
  [[nodiscard]] EvictionOrder& order_for(PageUse use) { return is_shared() || use != PageUse::adapter ? order_ : adapter_order_; }
  void evict_cheapest(EvictionOrder& order);
  // Those that are there, so that they stay while pages are taken for others.
  [[nodiscard]] std::vector<SharedHold> hold_shared(const AdapterNeeds& needs);
  void begin_load(const AdapterNeeds& needs, std::vector<SharedHold> shared);

  const std::uint32_t adapter_pages_separate_;
  PagePool pool_;
  EvictionOrder order_;
  EvictionOrder adapter_order_;  // of adapters that share no pages with the rest
  PrefixIndex prefixes_;
  AdapterCache adapters_;
};

}  // namespace slora
