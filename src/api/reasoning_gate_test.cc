#include "api/reasoning_gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace slora {
namespace {

constexpr TokenId kOpen = 40, kClose = 41;

// Allows the tokens 7 and then 8, and nothing else.
class TwoTokens final : public TokenConstraint {
 public:
  Status fill(std::span<std::uint32_t> allowed) override {
    std::ranges::fill(allowed, 0);
    if (accepted_ < 2) allowed[0] = std::uint32_t{1} << (7 + accepted_);
    return {};
  }
  Status accept(TokenId token) override {
    if (token != 7 + accepted_) return error("constraint_violated", "expected {}, found {}", 7 + accepted_, token);
    ++accepted_;
    return {};
  }
  bool is_complete() const override { return accepted_ == 2; }

 private:
  TokenId accepted_ = 0;
};

class TwoTokensForm final : public CompiledConstraint {
 public:
  std::unique_ptr<TokenConstraint> start() const override { return std::make_unique<TwoTokens>(); }
};

std::unique_ptr<TokenConstraint> gated(ReasoningMarks marks) { return after_reasoning(std::make_shared<TwoTokensForm>(), marks)->start(); }

bool allows(TokenConstraint& constraint, TokenId token) {
  std::array<std::uint32_t, 2> allowed{};
  EXPECT_TRUE(constraint.fill(allowed).has_value());
  return ((allowed[static_cast<std::size_t>(token) / 32] >> (token % 32)) & 1) != 0;
}

TEST(ReasoningGate, LetsAFormBeginAfterTheClosingMark) {
  const auto constraint = gated({.open = kOpen, .close = kClose, .is_open = true});
  EXPECT_TRUE(allows(*constraint, 63));
  EXPECT_TRUE(constraint->accept(8).has_value());
  EXPECT_TRUE(constraint->accept(kOpen).has_value());
  EXPECT_FALSE(constraint->is_complete());
  EXPECT_TRUE(constraint->accept(kClose).has_value());
  EXPECT_TRUE(allows(*constraint, 7));
  EXPECT_FALSE(allows(*constraint, 63));
  EXPECT_FALSE(allows(*constraint, kOpen));
  EXPECT_TRUE(constraint->accept(7).has_value());
  EXPECT_FALSE(constraint->accept(kOpen).has_value());
  EXPECT_TRUE(constraint->accept(8).has_value());
  EXPECT_TRUE(constraint->is_complete());
}

TEST(ReasoningGate, LetsTheAnswerItselfOpenReasoning) {
  const auto thinks = gated({.open = kOpen, .close = kClose, .is_open = false});
  EXPECT_TRUE(allows(*thinks, kOpen));
  EXPECT_TRUE(allows(*thinks, 7));
  EXPECT_FALSE(allows(*thinks, 8));
  EXPECT_TRUE(thinks->accept(kOpen).has_value());
  EXPECT_TRUE(allows(*thinks, 8));
  const auto answers = gated({.open = kOpen, .close = kClose, .is_open = false});
  EXPECT_TRUE(answers->accept(7).has_value());
  EXPECT_FALSE(allows(*answers, kOpen));
  EXPECT_FALSE(answers->accept(9).has_value());
}

}  // namespace
}  // namespace slora
