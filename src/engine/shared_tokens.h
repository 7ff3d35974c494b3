#pragma once
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace slora {

// A list of tokens that never changes and whose copies share one buffer. Any thread. A shared_ptr, because the API reads a prompt until its
// answer is written and the engine until its sequence has ended, and either may come last. All choices of a request share its prompts; the
// scheduler has a copy for each sequence, which it appends the output to.
class SharedTokens {
 public:
  // As the standard's containers have them, for code that takes any of these.
  using value_type = TokenId;
  using const_reference = const TokenId&;
  using const_iterator = const TokenId*;

  SharedTokens() = default;
  // Implicit, so that a request is filled in like one with a plain list.
  SharedTokens(std::vector<TokenId> tokens) : tokens_(std::make_shared<const std::vector<TokenId>>(std::move(tokens))) {}
  SharedTokens(std::initializer_list<TokenId> tokens) : SharedTokens(std::vector<TokenId>(tokens)) {}

  [[nodiscard]] const TokenId* begin() const { return view().data(); }
  [[nodiscard]] const TokenId* end() const { return begin() + size(); }
  [[nodiscard]] std::size_t size() const { return view().size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const TokenId& operator[](std::size_t index) const { return view()[index]; }

 private:
  [[nodiscard]] std::span<const TokenId> view() const {
    if (tokens_ == nullptr) return {};
    return *tokens_;
  }

  std::shared_ptr<const std::vector<TokenId>> tokens_;  // null: empty
};

}  // namespace slora
