#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "constraint/constraint.h"

namespace slora {

// A test double: a finite automaton over tokens. Its masks are cheap, and nothing allocates after start().
class TokenAutomaton final : public CompiledConstraint {
 public:
  // next[state * vocabulary + token]: the state that follows, or -1. It begins with state 0, and is complete in one without any.
  TokenAutomaton(std::int32_t vocabulary, std::vector<std::int32_t> next)
      : table_(std::make_shared<const Table>(Table{vocabulary, std::move(next)})) {}

  // Goes through random states for ever; each allows about one in `sparsity` tokens.
  static std::shared_ptr<const TokenAutomaton> random(std::uint64_t seed, std::int32_t vocabulary, std::int32_t sparsity) {
    constexpr std::int32_t kStates = 7;
    std::mt19937_64 numbers(seed);
    std::vector<std::int32_t> next(static_cast<std::size_t>(kStates * vocabulary), -1);
    for (std::size_t i = 0; i < next.size(); ++i) {
      const bool is_allowed = i % static_cast<std::size_t>(vocabulary) == 0 || numbers() % static_cast<std::uint64_t>(sparsity) == 0;
      if (is_allowed) next[i] = static_cast<std::int32_t>(numbers() % kStates);
    }
    return std::make_shared<const TokenAutomaton>(vocabulary, std::move(next));
  }

  std::unique_ptr<TokenConstraint> start() const override { return std::make_unique<Started>(table_); }

 private:
  struct Table {
    std::int32_t vocabulary;
    std::vector<std::int32_t> next;  // [states, vocabulary]

    [[nodiscard]] std::span<const std::int32_t> of(std::int32_t state) const {
      const auto count = static_cast<std::size_t>(vocabulary);
      return std::span(next).subspan(static_cast<std::size_t>(state) * count, count);
    }
  };

  class Started final : public TokenConstraint {
   public:
    explicit Started(std::shared_ptr<const Table> table) : table_(std::move(table)) {}

    Status fill(std::span<std::uint32_t> allowed) override {
      std::ranges::fill(allowed, 0u);
      const std::span<const std::int32_t> next = table_->of(state_);
      for (std::size_t token = 0; token < next.size(); ++token) allowed[token / 32] |= (next[token] >= 0 ? 1u : 0u) << (token % 32);
      return {};
    }
    Status accept(TokenId token) override {
      const std::int32_t next = token < table_->vocabulary ? table_->of(state_)[static_cast<std::size_t>(token)] : -1;
      if (next < 0) return error("constraint_violated", "token {} is not allowed", token);
      state_ = next;
      return {};
    }
    bool is_complete() const override {
      return std::ranges::all_of(table_->of(state_), [](std::int32_t next) { return next < 0; });
    }

   private:
    const std::shared_ptr<const Table> table_;  // shared with all that were started
    std::int32_t state_ = 0;
  };

  const std::shared_ptr<const Table> table_;
};

}  // namespace slora
