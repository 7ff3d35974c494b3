#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"

namespace slora {

class PrefixIndex;

enum class AdapterState : std::uint8_t { absent, loading, resident };

// Why somebody keeps an adapter in mind, weakest first.
enum class AdapterInterest : std::uint8_t {
  named,    // by any sequence that has not ended: a retired content is not dropped before
  awaited,  // by a preempted sequence: evicted only when nothing else is left
  pinned,   // by an admitted sequence or an uncommitted plan: never evicted
};
using AdapterHoldCounts = std::array<std::uint32_t, 3>;  // by AdapterInterest

class AdapterCache;

// One interest in one adapter, taken back when it dies. Empty for the base model. Must not outlive the cache.
class AdapterHold {
 public:
  AdapterHold() = default;
  AdapterHold(AdapterHold&& other) noexcept;
  AdapterHold& operator=(AdapterHold&& other) noexcept;
  ~AdapterHold() { release(); }

  [[nodiscard]] AdapterId adapter() const { return adapter_; }

 private:
  friend class AdapterCache;
  AdapterHold(AdapterCache& cache, AdapterId adapter, AdapterInterest interest) : cache_(&cache), adapter_(adapter), interest_(interest) {}
  void release();

  AdapterCache* cache_ = nullptr;
  AdapterId adapter_ = kNoAdapter;
  AdapterInterest interest_ = AdapterInterest::named;
};

// The cost to bring things back, in units of copying one page to the device.
struct CacheCosts {
  double adapter_page = 1;
  double adapter_load = 4;  // once per load, whatever its size
  double prefix_page = 8;   // computing the tokens of a page again
};

// Which adapters are in the pool, on which pages, and who needs them. Idle ones stay until the memory is wanted. Owned by PagedMemory,
// used on its thread; O(1) per call, O(log n) when an adapter enters or leaves the eviction order.
class AdapterCache {
 public:
  AdapterCache(PagePool& pool, EvictionOrder& order, PrefixIndex& prefixes, const CacheCosts& costs);

  [[nodiscard]] AdapterState state(AdapterId adapter) const;
  // kNoAdapter is always there.
  [[nodiscard]] bool is_resident(AdapterId adapter) const { return adapter == kNoAdapter || state(adapter) == AdapterState::resident; }
  [[nodiscard]] bool is_retired(AdapterId adapter) const;
  // Requires for `pinned`: the adapter is loading or resident.
  [[nodiscard]] AdapterHold hold(AdapterId adapter, AdapterInterest interest);

  // Requires: absent. The pages are the adapter's until the load failed or the image is evicted.
  void begin_load(AdapterId adapter, PageList pages);
  // Require: loading, and for failed() not pinned.
  void landed(AdapterId adapter);
  void failed(AdapterId adapter);
  // The content has no name any more: image and cached prefixes go with the last interest in them.
  void retire(AdapterId adapter);
  // Counts towards its value from the next change on. Requires: in the pool, or named.
  void record_use(AdapterId adapter);
  // Will be used soon: its value in the eviction order is renewed.
  void touch(AdapterId adapter);
  // Requires: `first_page` is the cheapest of the eviction order and an adapter's.
  void evict(PageIndex first_page);
  // What a newcomer of this size is worth.
  [[nodiscard]] double value_of(std::uint32_t page_count) const;
  [[nodiscard]] PageOwner owner_of(AdapterId adapter) const { return {PageUse::adapter, TenantId{}, adapter.value}; }

  // Moves the adapters whose image left since the last call to the end of `evicted`.
  void take_evicted(std::vector<AdapterId>& evicted);
  // Adapters whose state changed since clear_changed(), in order; one may stand there more than once.
  [[nodiscard]] std::span<const AdapterId> changed() const { return changed_; }
  void clear_changed() { changed_.clear(); }
  [[nodiscard]] std::uint32_t evictable_count() const { return idle_page_count_; }
  [[nodiscard]] std::size_t loading_count() const { return loading_count_; }
  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  // Recomputes counts and order; `pages_seen` counts each page that an adapter holds. [page_count]
  [[nodiscard]] std::string check_invariants(std::span<std::uint32_t> pages_seen) const;
  // `holds` are those that exist, per adapter and interest.
  [[nodiscard]] std::string check_holds(const std::unordered_map<AdapterId, AdapterHoldCounts>& holds) const;

 private:
  friend class AdapterHold;
  struct Entry {
    AdapterState state = AdapterState::absent;
    bool retired = false;
    PageList pages;
    AdapterHoldCounts holds{};
    std::uint32_t use_count = 0;
  };

  [[nodiscard]] static std::uint32_t& count(Entry& entry, AdapterInterest interest) {
    return entry.holds[static_cast<std::size_t>(interest)];
  }
  [[nodiscard]] static bool is_idle(const Entry& entry);
  // Every change of an entry happens between these two.
  void leave_order(const Entry& entry);
  void enter_order(const Entry& entry);
  void release(AdapterId adapter, AdapterInterest interest);
  // After interest was lost: drops what is retired and no longer needed, and entries that say nothing.
  void tidy(AdapterId adapter);
  void drop_image(AdapterId adapter, Entry& entry);
  void set_state(AdapterId adapter, Entry& entry, AdapterState state);

  PagePool& pool_;
  EvictionOrder& order_;
  PrefixIndex& prefixes_;
  const CacheCosts costs_;
  std::unordered_map<AdapterId, Entry> entries_;  // in the pool, or named
  std::vector<AdapterId> evicted_;
  std::vector<AdapterId> changed_;
  std::uint32_t idle_page_count_ = 0;
  std::size_t loading_count_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace slora
