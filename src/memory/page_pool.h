#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace slora {

enum class PageUse : std::uint8_t { free, sequence, prefix, adapter };
inline constexpr std::size_t kPageUseCount = 4;

// Who holds a page: the kind, the number of the sequence or adapter, and whose data it is.
struct PageOwner {
  PageUse use = PageUse::free;
  TenantId tenant{};
  std::uint64_t id = 0;  // sequence: SequenceId; prefix and adapter: AdapterId
  auto operator<=>(const PageOwner&) const = default;
};

class PagePool;

// Pages of one owner, given back to the pool by the destructor. Must not outlive the pool.
class PageList {
 public:
  PageList() = default;
  PageList(PageList&& other) noexcept;
  PageList& operator=(PageList&& other) noexcept;
  ~PageList();

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(pages_.size()); }
  [[nodiscard]] bool empty() const { return pages_.empty(); }
  [[nodiscard]] std::span<const PageIndex> pages() const { return pages_; }
  [[nodiscard]] const PageOwner& owner() const { return owner_; }

  // So that the list holds `count` pages without another allocation.
  void reserve(std::size_t count) { pages_.reserve(count); }
  // Gives all pages back and keeps the capacity.
  void give_back();
  // Gives the first page back.
  void drop_first();
  // Changes the owner of the first page and takes it off the list; the new owner has to give it back to the pool.
  [[nodiscard]] PageIndex hand_over_first(const PageOwner& to);
  // Moves the first page to a list of its own.
  [[nodiscard]] PageList split_first();

 private:
  friend class PagePool;
  PageList(PagePool& pool, const PageOwner& owner) : pool_(&pool), owner_(owner) {}

  PagePool* pool_ = nullptr;
  PageOwner owner_;
  std::vector<PageIndex> pages_;
};

// The pages of one device as numbers, each with its owner. Every change of owner checks the previous one, in every build: a page with
// two owners would mix the data of two clients. Owned by the scheduler, used on its thread; O(1) per page.
class PagePool {
 public:
  explicit PagePool(std::uint32_t page_count);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  [[nodiscard]] PageList empty_list(const PageOwner& owner) { return {*this, owner}; }
  // Requires: count <= free_count().
  void take(PageList& into, std::uint32_t count);
  // For owners that hold single pages by number. Requires: `page` belongs to `from`.
  void hand_over(PageIndex page, const PageOwner& from, const PageOwner& to);
  void give_back(PageIndex page, const PageOwner& from);

  [[nodiscard]] std::uint32_t page_count() const { return static_cast<std::uint32_t>(owners_.size()); }
  [[nodiscard]] std::uint32_t free_count() const { return static_cast<std::uint32_t>(free_.size()); }
  [[nodiscard]] std::uint32_t count(PageUse use) const { return counts_[static_cast<std::size_t>(use)]; }
  [[nodiscard]] const PageOwner& owner(PageIndex page) const { return owners_[page.value]; }
  [[nodiscard]] std::span<const PageIndex> free_pages() const { return free_; }

 private:
  std::vector<PageOwner> owners_;  // [page_count]
  std::vector<PageIndex> free_;    // the last one is taken next
  std::array<std::uint32_t, kPageUseCount> counts_{};
};

}  // namespace slora
