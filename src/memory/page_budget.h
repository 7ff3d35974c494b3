#pragma once
#include <cstdint>
#include <optional>

#include "memory/paged_memory.h"

namespace slora {

class PageBudget;

// A number of pages that its holder may still take and that others are not granted. It holds no pages: take() turns promised pages into
// held ones. The destructor cancels what is left. Must not outlive its budget.
class PagePromise {
 public:
  PagePromise() = default;
  PagePromise(PagePromise&& other) noexcept;
  PagePromise& operator=(PagePromise&& other) noexcept;
  ~PagePromise() { release(); }

  [[nodiscard]] std::uint32_t count() const { return count_; }
  // Takes `count` pages into `into` and lowers the promise by as many, but not below zero.
  // Requires: count <= available() of the memory; the promise was made by a budget.
  void take(PageList& into, std::uint32_t count);
  // From now on `count` pages are promised instead. Requires: the promise was made by a budget.
  void renew(std::uint32_t count);

 private:
  friend class PageBudget;
  PagePromise(PageBudget& budget, std::uint32_t count);
  void release();

  PageBudget* budget_ = nullptr;
  std::uint32_t count_ = 0;
};

// How many of the available pages are promised. Promises may exceed what is available, because evictable pages can be pinned after they
// were promised; then their holders wait. Owned by the scheduler, used on its thread; O(1) per call.
class PageBudget {
 public:
  explicit PageBudget(PagedMemory& memory) : memory_(memory) {}
  ~PageBudget();
  PageBudget(const PageBudget&) = delete;
  PageBudget& operator=(const PageBudget&) = delete;

  // Available pages that are not promised.
  [[nodiscard]] std::uint32_t unpromised() const { return unpromised_beyond(promised_); }
  // Available pages that are not promised to others than the holder of `own`.
  [[nodiscard]] std::uint32_t available_to(const PagePromise& own) const { return unpromised_beyond(promised_ - own.count()); }
  [[nodiscard]] std::uint32_t promised() const { return promised_; }
  // The same for pages of an adapter, which no sequence is promised where adapters have pages of their own.
  [[nodiscard]] std::uint32_t unpromised_to_adapters() const {
    return memory_.is_shared() ? unpromised() : memory_.available_to_adapters();
  }
  // Nothing when fewer than `count` pages are unpromised, in addition to `adapter_count` for an image.
  [[nodiscard]] std::optional<PagePromise> try_reserve(std::uint32_t count, std::uint32_t adapter_count = 0);

 private:
  friend class PagePromise;
  [[nodiscard]] std::uint32_t unpromised_beyond(std::uint32_t promised) const {
    const std::uint32_t available = memory_.available();
    return available - (available < promised ? available : promised);
  }

  PagedMemory& memory_;
  std::uint32_t promised_ = 0;
};

}  // namespace slora
