#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "memory/eviction_order.h"
#include "memory/page_pool.h"
#include "memory/reuse_chance.h"

namespace slora {

// Prefixes are found only within one domain: one tenant's (or share group's) data under one exact adapter content that acts from one
// position on. Pages before that position are the base model's, and shared with it.
struct PrefixDomain {
  TenantId tenant;
  AdapterId adapter = kNoAdapter;
  std::int32_t adapter_begin = 0;  // the first position at which the adapter acts
  auto operator<=>(const PrefixDomain&) const = default;
};

// The index compares tokens after hashes, so its answers do not depend on the hash; `all_equal` lets tests prove it.
enum class PrefixHash : std::uint8_t { tokens, all_equal };

class PrefixIndex;

// Consecutive cached pages from position 0 on, which are not evicted while this exists. Must not outlive the index.
class PrefixPin {
 public:
  PrefixPin() = default;
  PrefixPin(PrefixPin&& other) noexcept;
  PrefixPin& operator=(PrefixPin&& other) noexcept;
  ~PrefixPin() { give_back(); }

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(pages_.size()); }
  [[nodiscard]] std::span<const PageIndex> pages() const { return pages_; }
  [[nodiscard]] const PrefixDomain& domain() const { return domain_; }
  // So that the pin holds `page_count` pages without another allocation.
  void reserve(std::size_t page_count) { pages_.reserve(page_count); }
  // Unpins all pages and keeps the capacity.
  void give_back();
  // They will be read again soon, by the sequence that gives them up for now.
  void expect_return() { returns_ = true; }
  // The contents may be wrong: once unpinned, pages that nobody else pins are dropped instead of cached.
  void distrust() { trusted_ = false; }

 private:
  friend class PrefixIndex;
  PrefixPin(PrefixIndex& index, const PrefixDomain& domain) : index_(&index), domain_(domain) {}

  PrefixIndex* index_ = nullptr;
  PrefixDomain domain_;
  std::vector<PageIndex> pages_;
  bool trusted_ = true;
  bool returns_ = false;
};

// Full pages of KV by the tokens they hold: a tree whose nodes are pages, found by comparing domain, parent and every token.
// A node is pinned by each sequence whose page table it is in, so a parent has at least as many pins as a child, and unpinned nodes
// can be evicted leaves first. Owned by PagedMemory, used on its thread; O(1) per page, O(log n) when it enters or leaves the
// eviction order.
class PrefixIndex {
 public:
  PrefixIndex(PagePool& pool, EvictionOrder& order, std::int32_t page_tokens, double page_cost, PrefixHash hash);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // A pin of no page, to be matched and extended.
  [[nodiscard]] PrefixPin begin(const PrefixDomain& domain) { return {*this, domain}; }
  // Pins the longest cached prefix of `tokens` of at most `page_count_max` pages. Allocates only when there is one that is longer than all
  // that the pin held before. Requires: a pin of this index, of no page.
  void match(PrefixPin& pin, std::span<const TokenId> tokens, std::uint32_t page_count_max);
  // How many pages match() would pin now.
  [[nodiscard]] std::uint32_t count(const PrefixDomain& domain, std::span<const TokenId> tokens, std::uint32_t page_count_max) const;
  // The first page of `own` was filled with `tokens`, which follow the pinned ones: it becomes a cached page and is pinned. Returns false
  // if an equal page is cached already: then that one is pinned instead, and the first page of `own` is a duplicate.
  [[nodiscard]] bool try_extend(PrefixPin& pin, std::span<const TokenId> tokens, PageList& own);

  // A sequence was admitted with these pages: counts towards their value once they are unpinned.
  void record_use(const PrefixPin& pin);
  // Requires: `page` is the cheapest of the eviction order.
  void evict(PageIndex page);
  // Drops every page of `adapter` that is not pinned. O(cached pages at position 0 + pages dropped), or O(pages of the pool) while pages of
  // some adapter follow pages of the base.
  void forget(AdapterId adapter);

  [[nodiscard]] std::uint32_t evictable_count() const { return unpinned_count_; }
  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  // Recomputes counts, links and order and returns the first difference, or nothing. `pins`: in how many PrefixPins each page is.
  // [page_count]
  [[nodiscard]] std::string check_invariants(std::span<const std::uint32_t> pins) const;

 private:
  friend class PrefixPin;
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // The node of page p is nodes_[p].
  struct Node {
    bool present = false;
    PrefixDomain domain;
    std::uint32_t parent = kNone;  // a page, or kNone at position 0
    std::uint32_t first_child = kNone, next_sibling = kNone, previous_sibling = kNone;
    std::uint32_t bucket = kNone, next_in_bucket = kNone;
    std::uint32_t pin_count = 0;
    std::uint32_t use_count = 0;
    double value = 0;  // in the eviction order, as of its last use
  };

  // The domain of the page_index-th page of a prefix: the base's while the adapter does not act in it.
  [[nodiscard]] PrefixDomain domain_of_page(const PrefixDomain& domain, std::size_t page_index) const;
  // Whether the adapter of its domain does not act in the page before it.
  [[nodiscard]] bool follows_base(const Node& node) const {
    return node.parent != kNone && nodes_[node.parent].domain.adapter != node.domain.adapter;
  }
  [[nodiscard]] PageOwner owner_of(const PrefixDomain& domain) const;
  [[nodiscard]] std::span<const TokenId> tokens_of(std::uint32_t page) const;
  [[nodiscard]] std::uint32_t bucket_of(const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens) const;
  [[nodiscard]] std::uint32_t find(const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens) const;
  void link(std::uint32_t page, const PrefixDomain& domain, std::uint32_t parent, std::span<const TokenId> tokens);
  // Takes an unpinned leaf out of the tree and gives its page back.
  void remove(std::uint32_t page);
  // The head of the list that `node` and its siblings are in.
  [[nodiscard]] std::uint32_t& first_sibling(const Node& node);
  void pin(std::uint32_t page);
  void unpin(const PrefixPin& pin);

  PagePool& pool_;
  EvictionOrder& order_;
  const std::uint32_t page_tokens_;
  const double page_cost_;  // to compute a page's tokens again
  const PrefixHash hash_;
  std::vector<Node> nodes_;              // [page_count]
  std::vector<TokenId> tokens_;          // [page_count, page_tokens]
  std::vector<std::uint32_t> buckets_;   // [power of two] first page, or kNone
  std::uint32_t first_root_ = kNone;     // of the pages at position 0, over all domains
  std::uint32_t follow_base_count_ = 0;  // pages of an adapter that follow a page of the base
  std::uint32_t unpinned_count_ = 0;
  std::uint64_t evictions_ = 0;
  ReuseChance reuse_;  // of pages by others than their writers
};

}  // namespace slora
