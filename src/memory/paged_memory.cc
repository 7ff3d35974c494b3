#include "memory/paged_memory.h"

#include <fmt/format.h>

#include <utility>

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

std::vector<SharedHold> PagedMemory::hold_shared(const AdapterNeeds& needs) {
  std::vector<SharedHold> holds;
  holds.reserve(needs.shared.size());
  for (const SharedImage& image : needs.shared)
    if (adapters_.has_shared(image.id)) holds.push_back(adapters_.hold_shared(image.id));
  return holds;
}

void PagedMemory::begin_load(const AdapterNeeds& needs) { begin_load(needs, hold_shared(needs)); }

bool PagedMemory::try_begin_load_below(const AdapterNeeds& needs, double value) {
  std::vector<SharedHold> holds = hold_shared(needs);
  const std::uint32_t count = adapters_.pages_to_load(needs);
  if (count > available_to_adapters()) return false;
  EvictionOrder& order = order_for(PageUse::adapter);
  while (free_count(PageUse::adapter) < count && order.cheapest_is_below(value)) evict_cheapest(order);
  if (free_count(PageUse::adapter) < count) return false;
  begin_load(needs, std::move(holds));
  return true;
}

void PagedMemory::begin_load(const AdapterNeeds& needs, std::vector<SharedHold> shared) {
  std::uint32_t taken_count = needs.page_count;
  PageList own = empty_list(adapters_.owner_of(needs.adapter));
  take(own, needs.page_count);
  for (const SharedImage& image : needs.shared) {
    if (adapters_.has_shared(image.id)) continue;
    PageList pages = empty_list(adapters_.owner_of(image.id));
    take(pages, image.page_count);
    taken_count += image.page_count;
    shared.push_back(adapters_.add_shared(image.id, std::move(pages)));
  }
  adapters_.begin_load(needs.adapter, std::move(own), std::move(shared), taken_count);
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
