#pragma once
#include <xgrammar/xgrammar.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "constraint/constraint.h"
#include "constraint/xgrammar/form_cache.h"
#include "constraint/xgrammar/utf8_reader.h"

namespace slora {

// How long one token may take, in time of the processor: the library can't be interrupted, but grammars that take longer and longer end
// their request.
struct MatchLimits {
  std::chrono::nanoseconds token_time_max = std::chrono::milliseconds(50);
};

// A form with the end tokens of whoever answers. Const; any thread.
class CompiledGrammarConstraint final : public CompiledConstraint {
 public:
  CompiledGrammarConstraint(std::shared_ptr<const CompiledForm> form, std::span<const TokenId> end_tokens, MatchLimits limits);

  [[nodiscard]] std::unique_ptr<TokenConstraint> start() const override;

 private:
  const std::shared_ptr<const CompiledForm> form_;
  const std::vector<TokenId> end_tokens_;
  const std::shared_ptr<const std::vector<TokenId>> inner_tokens_;  // that begin within a character
  const MatchLimits limits_;
};

// One sequence's way through a form. Used by one thread at a time.
class GrammarConstraint final : public TokenConstraint {
 public:
  // `inner_tokens`: those whose text begins with a later byte of a character.
  GrammarConstraint(std::shared_ptr<const CompiledForm> form, std::vector<TokenId> end_tokens,
                    std::shared_ptr<const std::vector<TokenId>> inner_tokens, MatchLimits limits);

  [[nodiscard]] Status fill(std::span<std::uint32_t> allowed) override;
  [[nodiscard]] Status accept(TokenId token) override;
  [[nodiscard]] bool is_complete() const override { return has_ended_ || is_complete_; }

 private:
  [[nodiscard]] Status fill_mask();
  [[nodiscard]] bool is_end(TokenId token) const;
  // Takes from the mask what would end a character as none.
  void keep_utf8();

  const std::shared_ptr<const CompiledForm> form_;  // whose memory counts until nobody follows it
  xgrammar::GrammarMatcher matcher_;
  const xgrammar::TokenizerInfo tokenizer_;
  Utf8Reader utf8_;  // of the tokens so far
  const std::vector<TokenId> end_tokens_;
  const std::shared_ptr<const std::vector<TokenId>> inner_tokens_;
  const MatchLimits limits_;
  const TokenId vocabulary_size_;
  std::vector<std::uint32_t> mask_;  // [ceil(vocabulary / 32)] of the tokens that are text
  bool is_filled_ = false;           // for the tokens so far
  bool is_complete_ = false;
  bool has_ended_ = false;
};

}  // namespace slora
