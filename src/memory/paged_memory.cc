#include "memory/paged_memory.h"

#include <fmt/format.h>

#include "base/check.h"

namespace slora {

PagedMemory::PagedMemory(const PagedMemoryOptions& options)
    : adapter_pages_separate_(options.adapter_pages_separate),
      pool_(options.page_count),
      order_(options.page_count, options.eviction),
      adapter_order_(is_shared() ? 0 : options.page_count, options.eviction),
      prefixes_(pool_, order_, options.page_tokens, options.costs.prefix_page, options.hash),
      adapters_(pool_, order_for(PageUse::adapter), prefixes_, options.costs) {
  check(adapter_pages_separate_ <= options.page_count, "expected at most all pages to be set aside for adapters");
}

void PagedMemory::take(PageList& into, std::uint32_t count) {
  const PageUse use = into.owner().use;
  check(count <= (use == PageUse::adapter ? available_to_adapters() : available()), "expected at most as many pages as are available");
  while (free_count(use) < count) evict_cheapest(order_for(use));
  pool_.take(into, count);
}

bool PagedMemory::try_take_below(PageList& into, std::uint32_t count, double value) {
  const PageUse use = into.owner().use;
  if (count > (use == PageUse::adapter ? available_to_adapters() : available())) return false;
  EvictionOrder& order = order_for(use);
  while (free_count(use) < count && order.cheapest_is_below(value)) evict_cheapest(order);
  if (free_count(use) < count) return false;
  pool_.take(into, count);
  return true;
}

void PagedMemory::evict_all() {
  while (!order_.empty()) evict_cheapest(order_);
  while (!adapter_order_.empty()) evict_cheapest(adapter_order_);
}

std::string PagedMemory::check_regions() const {
  if (is_shared()) return {};
  const std::uint32_t adapters = pool_.count(PageUse::adapter), others = pool_.count(PageUse::sequence) + pool_.count(PageUse::prefix);
  if (adapters > adapter_pages_separate_)
    return fmt::format("adapters hold {} pages, and {} are set aside for them", adapters, adapter_pages_separate_);
  if (others > pool_.page_count() - adapter_pages_separate_)
    return fmt::format("sequences and prefixes hold {} pages, and {} are not set aside for adapters", others,
                       pool_.page_count() - adapter_pages_separate_);
  return {};
}

std::uint32_t PagedMemory::free_count(PageUse use) const {
  if (is_shared()) return pool_.free_count();
  if (use == PageUse::adapter) return adapter_pages_separate_ - pool_.count(PageUse::adapter);
  return pool_.page_count() - adapter_pages_separate_ - pool_.count(PageUse::sequence) - pool_.count(PageUse::prefix);
}

void PagedMemory::evict_cheapest(EvictionOrder& order) {
  order.raise_floor();
  const PageIndex item = order.cheapest();
  if (pool_.owner(item).use == PageUse::prefix)
    prefixes_.evict(item);
  else
    adapters_.evict(item);
}

}  // namespace slora
