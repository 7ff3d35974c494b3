#include "memory/prefix_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "memory/stress.h"

namespace slora {
namespace {

// Only has to be fast: find() compares tokens.
std::uint64_t mix(std::uint64_t state, std::uint64_t value) {
  state = (state ^ value) * 0x9e3779b97f4a7c15u;
  return state ^ (state >> 32);
}

}  // namespace

PrefixPin::PrefixPin(PrefixPin&& other) noexcept
    : index_(other.index_), domain_(other.domain_), pages_(std::exchange(other.pages_, {})), trusted_(other.trusted_), returns_(other.returns_) {}

PrefixPin& PrefixPin::operator=(PrefixPin&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  index_ = other.index_;
  domain_ = other.domain_;
  pages_ = std::exchange(other.pages_, {});
  trusted_ = other.trusted_;
  returns_ = other.returns_;
  return *this;
}

void PrefixPin::give_back() {
  if (!pages_.empty()) index_->unpin(*this);
  pages_.clear();
  trusted_ = true;
  returns_ = false;
}

PrefixIndex::PrefixIndex(PagePool& pool, EvictionOrder& order, std::int32_t page_tokens, double page_cost, PrefixHash hash)
    : pool_(pool),
      order_(order),
      page_tokens_(static_cast<std::uint32_t>(page_tokens)),
      page_cost_(page_cost),
      hash_(hash),
      nodes_(pool.page_count()),
      tokens_(std::size_t{pool.page_count()} * page_tokens_),
      buckets_(std::bit_ceil(std::size_t{pool.page_count()} + 1), kNone) {
  check(page_tokens > 0, "expected at least one token per page");
}

PrefixIndex::~PrefixIndex() {
  for (std::uint32_t page = 0; page < nodes_.size(); ++page)
    if (nodes_[page].present) pool_.give_back(PageIndex{page}, owner_of(nodes_[page].domain));
}

void PrefixIndex::match(PrefixPin& pin, std::span<const TokenId> tokens, std::uint32_t page_count_max) {
  check(pin.index_ == this && pin.pages_.empty(), "expected a pin of this index that holds no page");
  const std::size_t page_count = std::min<std::size_t>(tokens.size() / page_tokens_, page_count_max);
  std::uint32_t parent = kNone;
  for (std::size_t i = 0; i < page_count; ++i) {
    const std::uint32_t page = find(domain_of_page(pin.domain_, i), parent, tokens.subspan(i * page_tokens_, page_tokens_));
    if (page == kNone) break;
    if (i == 0) pin.pages_.reserve(page_count);
    this->pin(page);
    pin.pages_.push_back(PageIndex{page});
    parent = page;
  }
}

std::uint32_t PrefixIndex::count(const PrefixDomain& domain, std::span<const TokenId> tokens, std::uint32_t page_count_max) const {
  const std::size_t page_count = std::min<std::size_t>(tokens.size() / page_tokens_, page_count_max);
  std::uint32_t parent = kNone, count = 0;
  for (; count < page_count; ++count) {
    parent = find(domain_of_page(domain, count), parent, tokens.subspan(std::size_t{count} * page_tokens_, page_tokens_));
    if (parent == kNone) break;
  }
  return count;
}

bool PrefixIndex::try_extend(PrefixPin& pin, std::span<const TokenId> tokens, PageList& own) {
  check(pin.index_ == this && tokens.size() == page_tokens_, "expected a pin of this index and the tokens of one page");
  const std::uint32_t parent = pin.pages_.empty() ? kNone : pin.pages_.back().value;
  const PrefixDomain domain = domain_of_page(pin.domain_, pin.pages_.size());
  const std::uint32_t present = find(domain, parent, tokens);
  if (present != kNone) {
    this->pin(present);
    pin.pages_.push_back(PageIndex{present});
    return false;
  }
  const PageIndex page = own.hand_over_first(owner_of(domain));
  link(page.value, domain, parent, tokens);
  nodes_[page.value].pin_count = 1;
  nodes_[page.value].use_count = 1;
  pin.pages_.push_back(page);
  return true;
}

void PrefixIndex::record_use(const PrefixPin& pin) {
  for (const PageIndex page : pin.pages_) {
    if (++nodes_[page.value].use_count == 2) reuse_.count_used_again();
  }
}

void PrefixIndex::evict(PageIndex page) {
  if (nodes_[page.value].use_count <= 1) reuse_.count_lost();
  remove(page.value);
  ++evictions_;
}

void PrefixIndex::forget(AdapterId adapter) {
  std::vector<std::uint32_t> pages;  // parents before children
  for (std::uint32_t page = first_root_; page != kNone; page = nodes_[page].next_sibling) {
    if (nodes_[page].domain.adapter == adapter) pages.push_back(page);
  }
  for (std::uint32_t page = 0; follow_base_count_ > 0 && page < nodes_.size(); ++page) {
    const Node& node = nodes_[page];
    if (node.present && node.domain.adapter == adapter && follows_base(node)) pages.push_back(page);
  }
  for (std::size_t i = 0; i < pages.size(); ++i)
    for (std::uint32_t page = nodes_[pages[i]].first_child; page != kNone; page = nodes_[page].next_sibling) pages.push_back(page);
  for (std::size_t i = pages.size(); i > 0; --i)
    if (nodes_[pages[i - 1]].pin_count == 0) remove(pages[i - 1]);
}

PrefixDomain PrefixIndex::domain_of_page(const PrefixDomain& domain, std::size_t page_index) const {
  const bool is_base = std::cmp_less_equal((page_index + 1) * page_tokens_, domain.adapter_begin);
  return is_base ? PrefixDomain{.tenant = domain.tenant} : domain;
}

PageOwner PrefixIndex::owner_of(const PrefixDomain& domain) const { return {PageUse::prefix, domain.tenant, domain.adapter.value}; }

std::span<const TokenId> PrefixIndex::tokens_of(std::uint32_t page) const {
  return std::span(tokens_).subspan(std::size_t{page} * page_tokens_, page_tokens_);
}

std::uint32_t PrefixIndex::bucket_of(const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens) const {
  if (hash_ == PrefixHash::all_equal || kStressMode == StressMode::hash_zero) return 0;
  std::uint64_t state =
      mix(mix(domain.tenant.value, domain.adapter.value + (std::uint64_t{parent} << 32)), static_cast<std::uint32_t>(domain.adapter_begin));
  for (const TokenId token : tokens) state = mix(state, static_cast<std::uint32_t>(token));
  return static_cast<std::uint32_t>(state & (buckets_.size() - 1));
}

std::uint32_t PrefixIndex::find(const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens) const {
  std::uint32_t page = buckets_[bucket_of(domain, parent, tokens)];
  for (; page != kNone; page = nodes_[page].next_in_bucket) {
    const Node& node = nodes_[page];
    if (node.parent == parent && node.domain == domain && std::ranges::equal(tokens_of(page), tokens)) break;
  }
  return page;
}

std::uint32_t& PrefixIndex::first_sibling(const Node& node) { return node.parent == kNone ? first_root_ : nodes_[node.parent].first_child; }

void PrefixIndex::link(std::uint32_t page, const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens) {
  Node& node = nodes_[page];
  check(!node.present, "expected a page that is not cached yet");
  node = Node{};
  node.present = true;
  node.domain = domain;
  node.parent = parent;
  if (follows_base(node)) ++follow_base_count_;
  std::ranges::copy(tokens, tokens_.begin() + static_cast<std::ptrdiff_t>(std::size_t{page} * page_tokens_));

  std::uint32_t& sibling = first_sibling(node);
  node.next_sibling = sibling;
  if (sibling != kNone) nodes_[sibling].previous_sibling = page;
  sibling = page;

  node.bucket = bucket_of(domain, parent, tokens);
  node.next_in_bucket = buckets_[node.bucket];
  buckets_[node.bucket] = page;
}

void PrefixIndex::remove(std::uint32_t page) {
  Node& node = nodes_[page];
  check(node.present && node.pin_count == 0 && node.first_child == kNone, "expected an unpinned leaf");
  order_.erase(PageIndex{page});
  --unpinned_count_;
  if (follows_base(node)) --follow_base_count_;

  std::uint32_t* entry = &buckets_[node.bucket];
  while (*entry != page) entry = &nodes_[*entry].next_in_bucket;
  *entry = node.next_in_bucket;

  if (node.next_sibling != kNone) nodes_[node.next_sibling].previous_sibling = node.previous_sibling;
  if (node.previous_sibling != kNone)
    nodes_[node.previous_sibling].next_sibling = node.next_sibling;
  else
    first_sibling(node) = node.next_sibling;

  if (node.parent != kNone && nodes_[node.parent].first_child == kNone && nodes_[node.parent].pin_count == 0) {
    order_.insert(PageIndex{node.parent}, nodes_[node.parent].value, EvictionTier::ordinary);
  }
  node.present = false;
  pool_.give_back(PageIndex{page}, owner_of(node.domain));
}

void PrefixIndex::pin(std::uint32_t page) {
  Node& node = nodes_[page];
  if (node.pin_count++ == 0) {
    --unpinned_count_;
    if (node.first_child == kNone) order_.erase(PageIndex{page});
  }
}

void PrefixIndex::unpin(const PrefixPin& pin) {
  for (std::size_t i = pin.pages_.size(); i > 0; --i) {  // leaves first
    const PageIndex page = pin.pages_[i - 1];
    Node& node = nodes_[page.value];
    check(node.present && node.pin_count > 0, "expected a pinned page to be cached");
    if (--node.pin_count > 0) continue;
    ++unpinned_count_;
    node.value = order_.value_at_use(reuse_.expected_uses(node.use_count) + (pin.returns_ ? 1 : 0), page_cost_, 1);
    if (node.first_child != kNone) continue;
    order_.insert(page, node.value, EvictionTier::ordinary);
    if (!pin.trusted_) remove(page.value);
  }
}

std::string PrefixIndex::check_invariants(std::span<const std::uint32_t> pins) const {
  std::uint32_t unpinned_count = 0, follow_base_count = 0;
  for (std::uint32_t page = 0; page < nodes_.size(); ++page) {
    const Node& node = nodes_[page];
    const bool owned = pool_.owner(PageIndex{page}).use == PageUse::prefix;
    if (node.present != owned) return fmt::format("page {}: cached {}, but its owner says {}", page, node.present, owned);
    if (!node.present) {
      if (pins[page] != 0) return fmt::format("page {}: pinned but not cached", page);
      continue;
    }
    if (pool_.owner(PageIndex{page}) != owner_of(node.domain))
      return fmt::format("page {}: cached in another domain than its owner's", page);
    if (node.pin_count != pins[page]) return fmt::format("page {}: {} pins counted, {} held", page, node.pin_count, pins[page]);
    if (node.pin_count == 0) ++unpinned_count;
    if (node.parent != kNone) {
      const Node& parent = nodes_[node.parent];
      const bool is_base = parent.domain == PrefixDomain{.tenant = node.domain.tenant};
      if (follows_base(node)) ++follow_base_count;
      if (!parent.present || (parent.domain != node.domain && !(is_base && node.domain.adapter_begin > 0)))
        return fmt::format("page {}: its parent {} is not cached or of another domain", page, node.parent);
      if (parent.pin_count < node.pin_count) return fmt::format("page {}: pinned more often than its parent {}", page, node.parent);
    }
    const bool evictable = node.pin_count == 0 && node.first_child == kNone;
    if (order_.contains(PageIndex{page}) != evictable) return fmt::format("page {}: wrongly in or out of the eviction order", page);
  }
  if (follow_base_count != follow_base_count_)
    return fmt::format("{} pages of adapters counted that follow the base's, {} are", follow_base_count_, follow_base_count);
  if (unpinned_count != unpinned_count_) return fmt::format("{} unpinned prefix pages counted, {} are", unpinned_count_, unpinned_count);
  return {};
}

}  // namespace slora
