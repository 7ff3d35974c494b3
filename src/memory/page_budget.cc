#include "memory/page_budget.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {

PagePromise::PagePromise(PageBudget& budget, std::uint32_t count) : budget_(&budget) { renew(count); }

PagePromise::PagePromise(PagePromise&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), count_(std::exchange(other.count_, 0)) {}

PagePromise& PagePromise::operator=(PagePromise&& other) noexcept {
  if (this == &other) return *this;
  release();
  budget_ = std::exchange(other.budget_, nullptr);
  count_ = std::exchange(other.count_, 0);
  return *this;
}

void PagePromise::take(PageList& into, std::uint32_t count) {
  check(budget_ != nullptr, "expected a promise that a budget made");
  budget_->memory_.take(into, count);
  renew(count_ - std::min(count_, count));
}

void PagePromise::renew(std::uint32_t count) {
  check(budget_ != nullptr, "expected a promise that a budget made");
  budget_->promised_ = budget_->promised_ - count_ + count;
  count_ = count;
}

void PagePromise::release() {
  if (budget_ == nullptr) return;
  renew(0);
  budget_ = nullptr;
}

PageBudget::~PageBudget() { check(promised_ == 0, "expected every promise to end before its budget"); }

std::optional<PagePromise> PageBudget::try_reserve(std::uint32_t count, std::uint32_t adapter_count) {
  const std::uint32_t all = memory_.is_shared() ? count + adapter_count : count;
  if (unpromised() < all || unpromised_to_adapters() < adapter_count) return std::nullopt;
  return PagePromise(*this, all);
}

}  // namespace slora
