#include "memory/paged_memory.h"

#include "base/check.h"

namespace slora {

PagedMemory::PagedMemory(std::uint32_t page_count, std::int32_t page_tokens, const CacheCosts& costs, PrefixHash hash)
    : pool_(page_count),
      order_(page_count),
      prefixes_(pool_, order_, page_tokens, costs.prefix_page, hash),
      adapters_(pool_, order_, prefixes_, costs) {}

void PagedMemory::take(PageList& into, std::uint32_t count) {
  check(count <= available(), "expected at most as many pages as are available");
  while (pool_.free_count() < count) evict_cheapest();
  pool_.take(into, count);
}

bool PagedMemory::try_take_below(PageList& into, std::uint32_t count, double value) {
  if (count > available()) return false;
  while (pool_.free_count() < count && order_.cheapest_is_below(value)) evict_cheapest();
  if (pool_.free_count() < count) return false;
  pool_.take(into, count);
  return true;
}

void PagedMemory::evict_all() {
  while (!order_.empty()) evict_cheapest();
}

void PagedMemory::evict_cheapest() {
  order_.raise_floor();
  const PageIndex item = order_.cheapest();
  if (pool_.owner(item).use == PageUse::prefix)
    prefixes_.evict(item);
  else
    adapters_.evict(item);
}

}  // namespace slora
