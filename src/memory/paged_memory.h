#pragma once
#include <cstdint>
#include <optional>

#include "memory/adapter_cache.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"
#include "memory/prefix_index.h"

namespace slora {

// The pool and everything that is cached in it. take() succeeds exactly when the free and the evictable pages suffice. Owned by the
// scheduler, used on its thread.
class PagedMemory {
 public:
  PagedMemory(std::uint32_t page_count, std::int32_t page_tokens, const CacheCosts& costs, PrefixHash hash);

  // Pages that take() can give.
  [[nodiscard]] std::uint32_t available() const { return pool_.free_count() + prefixes_.evictable_count() + adapters_.evictable_count(); }
  // Takes free pages, after evicting as many as are missing, cheapest first. Requires: count <= available().
  void take(PageList& into, std::uint32_t count);
  // As take(), but evicts only items below `value`. Returns false and leaves `into` unchanged if that is not enough; items below may
  // have been evicted anyway.
  [[nodiscard]] bool try_take_below(PageList& into, std::uint32_t count, double value);
  // Evicts everything that is not pinned.
  void evict_all();

  [[nodiscard]] const PagePool& pool() const { return pool_; }
  [[nodiscard]] PageList empty_list(const PageOwner& owner) { return pool_.empty_list(owner); }
  [[nodiscard]] PrefixIndex& prefixes() { return prefixes_; }
  [[nodiscard]] const PrefixIndex& prefixes() const { return prefixes_; }
  [[nodiscard]] AdapterCache& adapters() { return adapters_; }
  [[nodiscard]] const AdapterCache& adapters() const { return adapters_; }

 private:
  void evict_cheapest();

  PagePool pool_;
  EvictionOrder order_;
  PrefixIndex prefixes_;
  AdapterCache adapters_;
};

}  // namespace slora
