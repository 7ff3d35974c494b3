#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/shared_image.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"
#include "memory/reuse_chance.h"

namespace slora {

class PrefixIndex;

enum class AdapterState : std::uint8_t { absent, loading, resident };

// Why an adapter is kept, weakest reason first.
enum class AdapterInterest : std::uint8_t {
  named,    // a sequence that has not ended uses it: a retired content is not dropped before
  awaited,  // a preempted sequence uses it: evicted only when nothing else is left
  pinned,   // an admitted sequence or an uncommitted plan uses it: never evicted
};
using AdapterHoldCounts = std::array<std::uint32_t, 3>;  // by AdapterInterest

class AdapterCache;

// One interest in one adapter, released by the destructor. Empty for the base model. Must not outlive the cache.
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

// One use of a shared image, released by the destructor: the image stays in the pool as long as there is one. Must not outlive the cache.
class SharedHold {
 public:
  SharedHold(SharedHold&& other) noexcept;
  SharedHold& operator=(SharedHold&& other) noexcept;
  ~SharedHold() { release(); }

  [[nodiscard]] AdapterId id() const { return id_; }

 private:
  friend class AdapterCache;
  SharedHold(AdapterCache& cache, AdapterId id) : cache_(&cache), id_(id) {}
  void release();

  AdapterCache* cache_;
  AdapterId id_;
};

// What the image of an adapter takes of the pool: pages of its own, and images that it shares with others, each once.
struct AdapterNeeds {
  AdapterId adapter;
  std::uint32_t page_count = 0;
  std::span<const SharedImage> shared{};
};

// What it costs to bring cached data back, in units of copying one page to the device.
struct CacheCosts {
  double adapter_page = 1;
  double adapter_load = 4;  // once per load, whatever its size
  double prefix_page = 8;   // to compute the tokens of a page again
};

// Which adapters are in the pool, on which pages, and who uses them. Idle adapters stay until their pages are needed. A shared image is
// there as long as an adapter that uses it, loading or resident: the last one takes it along. Owned by PagedMemory, used on its thread;
// O(1) per call and shared image, O(log n) when an adapter enters or leaves the eviction order.
class AdapterCache {
 public:
  AdapterCache(PagePool& pool, EvictionOrder& order, PrefixIndex& prefixes, const CacheCosts& costs);

  [[nodiscard]] AdapterState state(AdapterId adapter) const;
  // kNoAdapter is always resident.
  [[nodiscard]] bool is_resident(AdapterId adapter) const { return adapter == kNoAdapter || state(adapter) == AdapterState::resident; }
  [[nodiscard]] bool is_retired(AdapterId adapter) const;
  // Requires for `pinned`: the adapter is loading or resident.
  [[nodiscard]] AdapterHold hold(AdapterId adapter, AdapterInterest interest);

  // Requires: absent. The pages are the adapter's until the load failed or the image is evicted, and so long it uses the shared images.
  // `taken_count`: pages that were taken for the load, those of shared images included.
  void begin_load(AdapterId adapter, PageList pages, std::vector<SharedHold> shared, std::uint32_t taken_count);
  // Require: loading, and for failed() not pinned.
  void landed(AdapterId adapter);
  void failed(AdapterId adapter);
  // No name refers to this content any more: its image and its cached prefixes are dropped with the last interest in them.
  void retire(AdapterId adapter);
  // Pages that were taken for its load if that was not settled before, 0 otherwise: who pays for the load. Requires: in the pool.
  [[nodiscard]] std::uint32_t settle_load(AdapterId adapter);
  // Counts towards its value the next time it enters the eviction order. Requires: in the pool, or named.
  void record_use(AdapterId adapter);
  // It will be used soon: computes its value in the eviction order anew.
  void touch(AdapterId adapter);
  // Requires: the first page of an adapter that is in the eviction order.
  void evict(PageIndex first_page);
  // Evicts the images that nobody has used or named for `idle_time` or a time of their own, as far as the calls of this function show; 0:
  // they stay. O(adapters in the pool).
  void evict_unused(Timestamp now, Timestamp idle_time);
  // A time of its own, until the image leaves the pool; nothing: none any more. Does nothing for an adapter that is not resident.
  void set_idle_time(AdapterId adapter, std::optional<Timestamp> time);
  // Whether any adapter has one.
  [[nodiscard]] bool has_idle_times() const { return idle_time_count_ > 0; }
  // The value in the eviction order of an adapter of this size that is used once.
  [[nodiscard]] double value_of(std::uint32_t page_count) const;
  [[nodiscard]] PageOwner owner_of(AdapterId adapter) const { return {PageUse::adapter, TenantId{}, adapter.value}; }

  // Whether the pool has pages for the shared image.
  [[nodiscard]] bool has_shared(AdapterId id) const { return shared_.contains(id); }
  // Requires: has_shared().
  [[nodiscard]] SharedHold hold_shared(AdapterId id);
  // The first use of a shared image, on these pages. Requires: !has_shared(), pages of owner_of(id).
  [[nodiscard]] SharedHold add_shared(AdapterId id, PageList pages);
  // Pages that are available no more once an absent adapter is loading: its own, and those of shared images that would have to be taken,
  // or could be evicted so far.
  [[nodiscard]] std::uint32_t pages_to_load(const AdapterNeeds& needs) const;
  // Of an adapter, or of a shared image. Requires: in the pool.
  [[nodiscard]] std::span<const PageIndex> pages_of(AdapterId adapter) const { return entries_.at(adapter).pages.pages(); }
  [[nodiscard]] std::uint32_t pages_taken(AdapterId adapter) const { return entries_.at(adapter).taken_count; }  // for its load
  [[nodiscard]] std::span<const PageIndex> pages_of_shared(AdapterId id) const { return shared_.at(id).pages.pages(); }

  // Appends the adapters whose image was dropped since the last call to `evicted`, and the shared images that were.
  void take_evicted(std::vector<AdapterId>& evicted);
  // Adapters whose state changed since clear_changed(), in order; one may stand there more than once.
  [[nodiscard]] std::span<const AdapterId> changed() const { return changed_; }
  void clear_changed() { changed_.clear(); }
  [[nodiscard]] std::uint32_t evictable_count() const { return idle_page_count_; }
  [[nodiscard]] std::size_t loading_count() const { return loading_count_; }
  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  // Recomputes counts and order and returns the first difference, or nothing. Adds 1 to `pages_seen` for each page that an adapter
  // holds. [page_count]
  [[nodiscard]] std::string check_invariants(std::span<std::uint32_t> pages_seen) const;
  // Compares the counts with the holds that exist, per adapter and interest.
  [[nodiscard]] std::string check_holds(const std::unordered_map<AdapterId, AdapterHoldCounts>& holds) const;

 private:
  friend class AdapterHold;
  friend class SharedHold;
  struct Entry {
    AdapterState state = AdapterState::absent;
    bool retired = false;
    bool is_settled = false;  // the load that brought it
    PageList pages;
    std::vector<SharedHold> shared;
    std::uint32_t taken_count = 0;
    AdapterHoldCounts holds{};
    std::uint32_t use_count = 0;
    std::uint32_t use_count_seen = ~0u;  // by evict_unused(), which saw it in use last at `used_at`
    Timestamp used_at{};
    std::optional<Timestamp> idle_time;  // its own
    bool leaves_when_idle = false;  // EvictionPolicy::evict_when_idle, and the image was used: what was loaded ahead may wait for its use
  };

  struct Shared {
    PageList pages;
    std::uint32_t user_count = 0;       // its holds
    std::uint32_t idle_user_count = 0;  // those of them that idle adapters have
    // Pages that are free as soon as all idle adapters are evicted.
    [[nodiscard]] std::uint32_t idle_page_count() const { return user_count > 0 && user_count == idle_user_count ? pages.size() : 0; }
  };

  [[nodiscard]] static std::uint32_t& count(Entry& entry, AdapterInterest interest) {
    return entry.holds[static_cast<std::size_t>(interest)];
  }
  [[nodiscard]] static bool is_idle(const Entry& entry);
  // Every change of an entry that concerns its place or value in the eviction order stands between these two.
  void leave_order(const Entry& entry);
  void enter_order(const Entry& entry);
  void release(AdapterId adapter, AdapterInterest interest);
  // After an interest ended: drops what has to leave, what is retired and unused, and entries that hold no information.
  void tidy(AdapterId adapter);
  [[nodiscard]] static bool has_to_leave(const Entry& entry);
  void drop_image(AdapterId adapter, Entry& entry);
  void set_state(AdapterId adapter, Entry& entry, AdapterState state);
  // Changes the counts of a shared image.
  template <class Change>
  void change_shared(AdapterId id, Change change);
  void release_shared(AdapterId id);
  [[nodiscard]] std::string check_shared(std::span<std::uint32_t> pages_seen, std::uint32_t& idle_page_count) const;

  PagePool& pool_;
  EvictionOrder& order_;
  PrefixIndex& prefixes_;
  const CacheCosts costs_;
  std::vector<AdapterId> evicted_;
  std::vector<AdapterId> unused_;  // of evict_unused()
  std::vector<AdapterId> changed_;
  std::uint32_t idle_page_count_ = 0;
  std::size_t loading_count_ = 0;
  std::size_t idle_time_count_ = 0;  // entries that have one
  std::uint64_t evictions_ = 0;
  ReuseChance reuse_;
  std::unordered_map<AdapterId, Shared> shared_;
  std::unordered_map<AdapterId, Entry> entries_;  // in the pool, or named; last: their holds end with them
};

}  // namespace slora
