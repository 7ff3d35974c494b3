#include "memory/adapter_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "memory/prefix_index.h"

namespace slora {

AdapterHold::AdapterHold(AdapterHold&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), adapter_(std::exchange(other.adapter_, kNoAdapter)), interest_(other.interest_) {}

AdapterHold& AdapterHold::operator=(AdapterHold&& other) noexcept {
  if (this == &other) return *this;
  release();
  cache_ = std::exchange(other.cache_, nullptr);
  adapter_ = std::exchange(other.adapter_, kNoAdapter);
  interest_ = other.interest_;
  return *this;
}

void AdapterHold::release() {
  if (AdapterCache* const cache = std::exchange(cache_, nullptr)) cache->release(std::exchange(adapter_, kNoAdapter), interest_);
}

SharedHold::SharedHold(SharedHold&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)), id_(other.id_) {}

SharedHold& SharedHold::operator=(SharedHold&& other) noexcept {
  if (this == &other) return *this;
  release();
  cache_ = std::exchange(other.cache_, nullptr);
  id_ = other.id_;
  return *this;
}

void SharedHold::release() {
  if (AdapterCache* const cache = std::exchange(cache_, nullptr)) cache->release_shared(id_);
}

AdapterCache::AdapterCache(PagePool& pool, EvictionOrder& order, PrefixIndex& prefixes, const CacheCosts& costs)
    : pool_(pool), order_(order), prefixes_(prefixes), costs_(costs) {}

AdapterState AdapterCache::state(AdapterId adapter) const {
  const auto entry = entries_.find(adapter);
  return entry == entries_.end() ? AdapterState::absent : entry->second.state;
}

bool AdapterCache::is_retired(AdapterId adapter) const {
  const auto entry = entries_.find(adapter);
  return entry != entries_.end() && entry->second.retired;
}

AdapterHold AdapterCache::hold(AdapterId adapter, AdapterInterest interest) {
  if (adapter == kNoAdapter) return {};
  Entry& entry = entries_[adapter];
  check(interest != AdapterInterest::pinned || entry.state != AdapterState::absent, "expected an adapter with pages to be pinned");
  leave_order(entry);
  ++count(entry, interest);
  enter_order(entry);
  return {*this, adapter, interest};
}

void AdapterCache::begin_load(AdapterId adapter, PageList pages, std::vector<SharedHold> shared, std::uint32_t taken_count) {
  check(adapter != kNoAdapter && !pages.empty() && pages.owner() == owner_of(adapter), "expected pages that were taken for this adapter");
  Entry& entry = entries_[adapter];
  check(entry.state == AdapterState::absent, "expected an adapter that is neither loading nor resident");
  set_state(adapter, entry, AdapterState::loading);
  entry.pages = std::move(pages);
  entry.shared = std::move(shared);
  entry.taken_count = taken_count;
  entry.is_settled = false;
  ++loading_count_;
}

void AdapterCache::landed(AdapterId adapter) {
  check(state(adapter) == AdapterState::loading, "expected an adapter that is loading");
  Entry& entry = entries_[adapter];
  set_state(adapter, entry, AdapterState::resident);
  --loading_count_;
  enter_order(entry);
  tidy(adapter);
}

void AdapterCache::failed(AdapterId adapter) {
  check(state(adapter) == AdapterState::loading, "expected an adapter that is loading");
  Entry& entry = entries_[adapter];
  check(count(entry, AdapterInterest::pinned) == 0, "expected every sequence of a failed load to have ended");
  set_state(adapter, entry, AdapterState::absent);
  entry.pages = {};
  entry.shared.clear();
  --loading_count_;
  tidy(adapter);
}

void AdapterCache::retire(AdapterId adapter) {
  check(adapter != kNoAdapter, "expected an adapter, not the base model");
  Entry& entry = entries_[adapter];
  leave_order(entry);
  entry.retired = true;
  enter_order(entry);
  tidy(adapter);
}

std::uint32_t AdapterCache::settle_load(AdapterId adapter) {
  Entry& entry = entries_.at(adapter);
  check(entry.state != AdapterState::absent, "expected an adapter with pages");
  return std::exchange(entry.is_settled, true) ? 0 : entry.taken_count;
}

void AdapterCache::record_use(AdapterId adapter) {
  if (adapter == kNoAdapter) return;
  Entry& entry = entries_.at(adapter);
  if (++entry.use_count == 2) reuse_.count_used_again();
  entry.leaves_when_idle = order_.policy() == EvictionPolicy::evict_when_idle;
}

void AdapterCache::touch(AdapterId adapter) {
  const auto found = entries_.find(adapter);
  if (found == entries_.end() || !is_idle(found->second)) return;
  leave_order(found->second);
  enter_order(found->second);
}

void AdapterCache::evict(PageIndex first_page) {
  const AdapterId adapter{pool_.owner(first_page).id};
  Entry& entry = entries_.at(adapter);
  check(is_idle(entry) && entry.pages.pages().front() == first_page, "expected an idle adapter, named by its first page");
  if (entry.use_count == 1) reuse_.count_lost();
  drop_image(adapter, entry);
  ++evictions_;
  tidy(adapter);
}

void AdapterCache::evict_unused(Timestamp now, Timestamp idle_time) {
  unused_.clear();
  for (auto& [adapter, entry] : entries_) {
    const bool is_in_use = std::ranges::any_of(entry.holds, [](std::uint32_t holds) { return holds > 0; });
    if (is_in_use || entry.state != AdapterState::resident || entry.use_count != entry.use_count_seen) {
      entry.use_count_seen = entry.use_count;
      entry.used_at = now;
    } else if (const Timestamp time = entry.idle_time.value_or(idle_time); time > Timestamp(0) && now - entry.used_at >= time) {
      unused_.push_back(adapter);
    }
  }
  for (const AdapterId adapter : unused_) evict(entries_.at(adapter).pages.pages().front());
}

void AdapterCache::set_idle_time(AdapterId adapter, std::optional<Timestamp> time) {
  if (state(adapter) != AdapterState::resident) return;
  Entry& entry = entries_.at(adapter);
  if (entry.idle_time) --idle_time_count_;
  entry.idle_time = time;
  if (entry.idle_time) ++idle_time_count_;
}

double AdapterCache::value_of(std::uint32_t page_count) const {
  return order_.value(1, costs_.adapter_load + costs_.adapter_page * page_count, page_count);
}

void AdapterCache::take_evicted(std::vector<AdapterId>& evicted) {
  evicted.insert(evicted.end(), evicted_.begin(), evicted_.end());
  evicted_.clear();
}

bool AdapterCache::is_idle(const Entry& entry) {
  return entry.state == AdapterState::resident && entry.holds[static_cast<std::size_t>(AdapterInterest::pinned)] == 0;
}

void AdapterCache::leave_order(const Entry& entry) {
  if (!is_idle(entry)) return;
  order_.erase(entry.pages.pages().front());
  idle_page_count_ -= entry.pages.size();
  for (const SharedHold& hold : entry.shared) change_shared(hold.id(), [](Shared& shared) { --shared.idle_user_count; });
}

void AdapterCache::enter_order(const Entry& entry) {
  if (!is_idle(entry)) return;
  const std::uint32_t page_count = entry.pages.size();
  const double value =
      order_.value_at_use(reuse_.expected_uses(entry.use_count), costs_.adapter_load + costs_.adapter_page * page_count, page_count);
  // An awaited adapter would be loaded again at once, and a retired one may be impossible to load again.
  const bool is_expensive = entry.holds[static_cast<std::size_t>(AdapterInterest::awaited)] > 0 || entry.retired;
  order_.insert(entry.pages.pages().front(), value, is_expensive ? EvictionTier::last_resort : EvictionTier::ordinary);
  idle_page_count_ += page_count;
  for (const SharedHold& hold : entry.shared) change_shared(hold.id(), [](Shared& shared) { ++shared.idle_user_count; });
}

template <class Change>
void AdapterCache::change_shared(AdapterId id, Change change) {
  Shared& shared = shared_.at(id);
  idle_page_count_ -= shared.idle_page_count();
  change(shared);
  idle_page_count_ += shared.idle_page_count();
}

SharedHold AdapterCache::hold_shared(AdapterId id) {
  change_shared(id, [](Shared& shared) { ++shared.user_count; });
  return {*this, id};
}

SharedHold AdapterCache::add_shared(AdapterId id, PageList pages) {
  check(!has_shared(id) && !pages.empty() && pages.owner() == owner_of(id), "expected pages that were taken for this shared image");
  shared_[id].pages = std::move(pages);
  return hold_shared(id);
}

void AdapterCache::release_shared(AdapterId id) {
  change_shared(id, [](Shared& shared) { --shared.user_count; });
  if (shared_.at(id).user_count > 0) return;
  shared_.erase(id);
  evicted_.push_back(id);
}

std::uint32_t AdapterCache::pages_to_load(const AdapterNeeds& needs) const {
  std::uint32_t page_count = needs.page_count;
  for (const SharedImage& image : needs.shared) {
    const auto known = shared_.find(image.id);
    page_count += known == shared_.end() ? image.page_count : known->second.idle_page_count();
  }
  return page_count;
}

void AdapterCache::release(AdapterId adapter, AdapterInterest interest) {
  Entry& entry = entries_.at(adapter);
  leave_order(entry);
  check(count(entry, interest) > 0, "expected a hold that was not released yet");
  --count(entry, interest);
  enter_order(entry);
  tidy(adapter);
}

bool AdapterCache::has_to_leave(const Entry& entry) {
  return entry.leaves_when_idle && is_idle(entry) && entry.holds[static_cast<std::size_t>(AdapterInterest::awaited)] == 0;
}

void AdapterCache::tidy(AdapterId adapter) {
  Entry& entry = entries_.at(adapter);
  if (has_to_leave(entry)) {
    drop_image(adapter, entry);
    ++evictions_;
  }
  for (const std::uint32_t holds : entry.holds)
    if (holds > 0) return;
  if (entry.retired && entry.state != AdapterState::loading) {
    if (entry.state == AdapterState::resident) drop_image(adapter, entry);
    prefixes_.forget(adapter);
  }
  if (entry.state == AdapterState::absent) entries_.erase(adapter);
}

void AdapterCache::drop_image(AdapterId adapter, Entry& entry) {
  leave_order(entry);
  set_idle_time(adapter, std::nullopt);
  set_state(adapter, entry, AdapterState::absent);
  entry.pages = {};
  entry.shared.clear();
  entry.leaves_when_idle = false;
  evicted_.push_back(adapter);
}

void AdapterCache::set_state(AdapterId adapter, Entry& entry, AdapterState state) {
  entry.state = state;
  changed_.push_back(adapter);
}

std::string AdapterCache::check_invariants(std::span<std::uint32_t> pages_seen) const {
  std::uint32_t idle_page_count = 0;
  std::size_t loading_count = 0;
  for (const auto& [adapter, entry] : entries_) {
    if ((entry.state == AdapterState::absent) != entry.pages.empty())
      return fmt::format("adapter {}: {} pages do not agree with its state", adapter.value, entry.pages.size());
    for (const PageIndex page : entry.pages.pages()) {
      ++pages_seen[page.value];
      if (pool_.owner(page) != owner_of(adapter)) return fmt::format("adapter {}: page {} has another owner", adapter.value, page.value);
    }
    if (entry.state == AdapterState::loading) ++loading_count;
    if (has_to_leave(entry)) return fmt::format("adapter {}: idle and not evicted", adapter.value);
    if (is_idle(entry)) idle_page_count += entry.pages.size();
    if (!entry.pages.empty() && order_.contains(entry.pages.pages().front()) != is_idle(entry))
      return fmt::format("adapter {}: wrongly in or out of the eviction order", adapter.value);
    bool needed = entry.state != AdapterState::absent && !(entry.retired && entry.state == AdapterState::resident);
    for (const std::uint32_t holds : entry.holds) needed = needed || holds > 0;
    if (!needed) return fmt::format("adapter {}: has an entry without need", adapter.value);
  }
  if (std::string wrong = check_shared(pages_seen, idle_page_count); !wrong.empty()) return wrong;
  if (idle_page_count != idle_page_count_)
    return fmt::format("{} pages of idle adapters counted, {} are", idle_page_count_, idle_page_count);
  if (loading_count != loading_count_) return fmt::format("{} adapters counted as loading, {} are", loading_count_, loading_count);
  return {};
}

std::string AdapterCache::check_shared(std::span<std::uint32_t> pages_seen, std::uint32_t& idle_page_count) const {
  std::unordered_map<AdapterId, std::uint32_t> users, idle_users;
  for (const auto& [adapter, entry] : entries_) {
    if (entry.state == AdapterState::absent && !entry.shared.empty())
      return fmt::format("adapter {}: absent, and uses shared images", adapter.value);
    for (const SharedHold& hold : entry.shared) {
      if (!has_shared(hold.id())) return fmt::format("adapter {}: shared image {} is not there", adapter.value, hold.id().value);
      ++users[hold.id()];
      if (is_idle(entry)) ++idle_users[hold.id()];
    }
  }
  for (const auto& [id, shared] : shared_) {
    for (const PageIndex page : shared.pages.pages()) {
      ++pages_seen[page.value];
      if (pool_.owner(page) != owner_of(id)) return fmt::format("shared image {}: page {} has another owner", id.value, page.value);
    }
    if (users[id] == 0) return fmt::format("shared image {}: is there without an adapter that uses it", id.value);
    if (shared.user_count != users[id] || shared.idle_user_count != idle_users[id])
      return fmt::format("shared image {}: the counts of its users differ from those that exist", id.value);
    idle_page_count += shared.idle_page_count();
  }
  return {};
}

std::string AdapterCache::check_holds(const std::unordered_map<AdapterId, AdapterHoldCounts>& holds) const {
  for (const auto& [adapter, counts] : holds)
    if (!entries_.contains(adapter)) return fmt::format("adapter {}: held but without an entry", adapter.value);
  for (const auto& [adapter, entry] : entries_) {
    const auto found = holds.find(adapter);
    if (entry.holds != (found == holds.end() ? AdapterHoldCounts{} : found->second))
      return fmt::format("adapter {}: the counts of its holds differ from the holds that exist", adapter.value);
  }
  return {};
}

}  // namespace slora
