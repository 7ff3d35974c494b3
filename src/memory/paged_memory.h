#pragma once
#include <cstdint>
#include <optional>

#include "memory/adapter_cache.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"
#include "memory/prefix_index.h"

namespace slora {

// The pool with everything that is cached in it, and the law that holds between them: pages can be had exactly when free and evictable
// ones suffice. Owned by the scheduler, used on its thread.
class PagedMemory {
 public:
  PagedMemory(std::uint32_t page_count, std::int32_t page_tokens, const CacheCosts& costs, PrefixHash hash);

  // Pages that take() can give.
  [[nodiscard]] std::uint32_t available() const { return pool_.free_count() + prefixes_.evictable_count() + adapters_.evictable_count(); }
  // Evicts what is missing, cheapest first. Requires: count <= available().
  void take(PageList& into, std::uint32_t count);
  // As take(), but evicts only what is worth less than `value`; false, with `into` as it was, when that is not enough (then what is
  // worth less may be gone all the same).
  [[nodiscard]] bool try_take_below(PageList& into, std::uint32_t count, double value);
  // Evicts all that is not pinned.
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
