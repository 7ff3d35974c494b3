#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "constraint/constraint.h"

namespace slora {

// What a scripted constraint does, as functions of the tokens so far. Called by any thread; `on_fill` and `on_accept` may take long, and
// may be empty.
struct ConstraintScript {
  using Tokens = std::span<const TokenId>;
  std::function<std::vector<TokenId>(Tokens)> allowed;
  std::function<bool(Tokens)> is_complete;
  std::function<Status(Tokens)> on_fill{};    // before a mask
  std::function<Status(Tokens)> on_accept{};  // with the token that is accepted
};

// A test double: a constraint as its script says. Accepts only what it allows.
class ScriptedConstraint final : public CompiledConstraint {
 public:
  explicit ScriptedConstraint(ConstraintScript script) : script_(std::make_shared<const ConstraintScript>(std::move(script))) {}
  std::unique_ptr<TokenConstraint> start() const override { return std::make_unique<Started>(script_); }

 private:
  class Started final : public TokenConstraint {
   public:
    explicit Started(std::shared_ptr<const ConstraintScript> script) : script_(std::move(script)) {}

    Status fill(std::span<std::uint32_t> allowed) override {
      if (script_->on_fill) {
        if (Status done = script_->on_fill(tokens_); !done) return done;
      }
      std::ranges::fill(allowed, 0u);
      for (const TokenId token : script_->allowed(tokens_)) allowed[static_cast<std::size_t>(token) / 32] |= 1u << (token % 32);
      return {};
    }
    Status accept(TokenId token) override {
      const std::vector<TokenId> allowed = script_->allowed(tokens_);
      if (std::ranges::find(allowed, token) == allowed.end()) return error("constraint_violated", "token {} is not allowed", token);
      tokens_.push_back(token);
      return script_->on_accept ? script_->on_accept(tokens_) : Status{};
    }
    bool is_complete() const override { return script_->is_complete(tokens_); }

   private:
    const std::shared_ptr<const ConstraintScript> script_;  // shared with all that were started
    std::vector<TokenId> tokens_;
  };

  const std::shared_ptr<const ConstraintScript> script_;
};

}  // namespace slora
