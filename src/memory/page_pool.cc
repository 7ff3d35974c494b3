#include "memory/page_pool.h"

#include <utility>

#include "base/check.h"

namespace slora {

PageList::PageList(PageList&& other) noexcept : pool_(other.pool_), owner_(other.owner_), pages_(std::exchange(other.pages_, {})) {}

PageList& PageList::operator=(PageList&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = other.pool_;
  owner_ = other.owner_;
  pages_ = std::exchange(other.pages_, {});
  return *this;
}

PageList::~PageList() { give_back(); }

void PageList::give_back() {
  for (const PageIndex page : pages_) pool_->give_back(page, owner_);
  pages_.clear();
}

void PageList::drop_first() {
  check(!pages_.empty(), "expected a list that is not empty");
  pool_->give_back(pages_.front(), owner_);
  pages_.erase(pages_.begin());
}

PageIndex PageList::hand_over_first(const PageOwner& to) {
  check(!pages_.empty(), "expected a list that is not empty");
  const PageIndex page = pages_.front();
  pool_->hand_over(page, owner_, to);
  pages_.erase(pages_.begin());
  return page;
}

PageList PageList::split_first() {
  check(!pages_.empty(), "expected a list that is not empty");
  PageList first(*pool_, owner_);
  first.pages_.push_back(pages_.front());
  pages_.erase(pages_.begin());
  return first;
}

PagePool::PagePool(std::uint32_t page_count) : owners_(page_count) {
  free_.reserve(page_count);
  for (std::uint32_t i = page_count; i > 0; --i) free_.push_back(PageIndex{i - 1});
  counts_[static_cast<std::size_t>(PageUse::free)] = page_count;
}

PagePool::~PagePool() { check(free_.size() == owners_.size(), "expected every page to be given back before the pool is destroyed"); }

void PagePool::take(PageList& into, std::uint32_t count) {
  check(into.pool_ == this && into.owner_.use != PageUse::free, "expected a list of this pool that has an owner");
  check(count <= free_count(), "expected enough free pages");
  for (std::uint32_t i = 0; i < count; ++i) {
    const PageIndex page = free_.back();
    free_.pop_back();
    hand_over(page, PageOwner{}, into.owner_);
    into.pages_.push_back(page);
  }
}

void PagePool::hand_over(PageIndex page, const PageOwner& from, const PageOwner& to) {
  check(page.value < owners_.size(), "expected a page of this pool");
  check(owners_[page.value] == from, "expected the page to belong to its previous owner");
  owners_[page.value] = to;
  --counts_[static_cast<std::size_t>(from.use)];
  ++counts_[static_cast<std::size_t>(to.use)];
}

void PagePool::give_back(PageIndex page, const PageOwner& from) {
  check(from.use != PageUse::free, "expected a page that has an owner");
  hand_over(page, from, PageOwner{});
  free_.push_back(page);
}

}  // namespace slora
