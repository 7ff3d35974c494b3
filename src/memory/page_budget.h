#pragma once
#include <cstdint>
#include <optional>

#include "memory/paged_memory.h"

namespace slora {

class PageBudget;

// A number of pages that one holder may still take and nobody else is granted. Not pages yet: take() turns promised into held ones.
// What is left is given back when the promise dies. Must not outlive its budget.
class PagePromise {
 public:
  PagePromise() = default;
  PagePromise(PagePromise&& other) noexcept;
  PagePromise& operator=(PagePromise&& other) noexcept;
  ~PagePromise() { release(); }

  [[nodiscard]] std::uint32_t count() const { return count_; }
  // Commits `count` pages: moves them to `into` and shortens the promise by as many, to zero at least.
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

// How many of the available pages are spoken for. A promise may exceed what is available: pages that were evictable get pinned, and
// then it waits for the next ones. Owned by the scheduler, used on its thread; O(1) per call.
class PageBudget {
 public:
  explicit PageBudget(PagedMemory& memory) : memory_(memory) {}
  ~PageBudget();
  PageBudget(const PageBudget&) = delete;
  PageBudget& operator=(const PageBudget&) = delete;

  // Available pages that are promised to nobody.
  [[nodiscard]] std::uint32_t unpromised() const { return unpromised_beyond(promised_); }
  // Those, and the ones that `own` holds.
  [[nodiscard]] std::uint32_t available_to(const PagePromise& own) const { return unpromised_beyond(promised_ - own.count()); }
  [[nodiscard]] std::uint32_t promised() const { return promised_; }
  // Nothing when fewer than `count` pages are unpromised.
  [[nodiscard]] std::optional<PagePromise> try_reserve(std::uint32_t count);

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
