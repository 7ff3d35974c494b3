#include "constraint/xgrammar/grammar_constraint.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "base/thread_time.h"

namespace slora {
namespace {

// Calls the library, and refuses to go on when that took too long. Its exceptions end here.
template <class Work>
Status run_within(const MatchLimits& limits, Work&& work) {
  const Timestamp begin = thread_time();
  try {
    if (Status done = work(); !done) return done;
  } catch (const std::bad_alloc&) {
    return error("constraint_too_costly", "The form takes too much memory to follow");
  } catch (const std::exception& thrown) {
    return error("constraint_too_costly", "The form can't be followed any further: {}", std::string_view(thrown.what()).substr(0, 300));
  }
  if (thread_time() - begin <= limits.token_time_max) return {};
  return error("constraint_too_costly", "The form takes more than {} ms for one token; write it with fewer ambiguous repetitions",
               std::chrono::duration_cast<std::chrono::milliseconds>(limits.token_time_max).count());
}

void set_bit(std::span<std::uint32_t> words, TokenId token) {
  const auto word = static_cast<std::size_t>(token) / 32;
  if (word < words.size()) words[word] |= 1U << (static_cast<std::uint32_t>(token) % 32);
}

bool has_bit(std::span<const std::uint32_t> words, TokenId token) {
  return (words[static_cast<std::size_t>(token) / 32] >> (static_cast<std::uint32_t>(token) % 32) & 1U) != 0;
}

void clear_bit(std::span<std::uint32_t> words, TokenId token) {
  const auto word = static_cast<std::size_t>(token) / 32;
  if (word < words.size()) words[word] &= ~(1U << (static_cast<std::uint32_t>(token) % 32));
}

std::vector<TokenId> inner_tokens_of(const std::vector<std::string>& texts) {
  std::vector<TokenId> inner;
  for (std::size_t token = 0; token < texts.size(); ++token) {
    if (!texts[token].empty() && (static_cast<std::uint8_t>(texts[token].front()) & 0xc0U) == 0x80U) {
      inner.push_back(static_cast<TokenId>(token));
    }
  }
  return inner;
}

}  // namespace

CompiledGrammarConstraint::CompiledGrammarConstraint(std::shared_ptr<const CompiledForm> form, std::span<const TokenId> end_tokens,
                                                     MatchLimits limits)
    : form_(std::move(form)),
      end_tokens_(end_tokens.begin(), end_tokens.end()),
      inner_tokens_(std::make_shared<const std::vector<TokenId>>(inner_tokens_of(form_->grammar.GetTokenizerInfo().GetDecodedVocab()))),
      limits_(limits) {}

std::unique_ptr<TokenConstraint> CompiledGrammarConstraint::start() const {
  return std::make_unique<GrammarConstraint>(form_, end_tokens_, inner_tokens_, limits_);
}

GrammarConstraint::GrammarConstraint(std::shared_ptr<const CompiledForm> form, std::vector<TokenId> end_tokens,
                                     std::shared_ptr<const std::vector<TokenId>> inner_tokens, MatchLimits limits)
    : form_(std::move(form)),
      matcher_(form_->grammar),
      tokenizer_(form_->grammar.GetTokenizerInfo()),
      end_tokens_(std::move(end_tokens)),
      inner_tokens_(std::move(inner_tokens)),
      limits_(limits),
      vocabulary_size_(tokenizer_.GetVocabSize()),
      mask_((static_cast<std::size_t>(vocabulary_size_) + 31) / 32) {}

bool GrammarConstraint::is_end(TokenId token) const { return std::ranges::find(end_tokens_, token) != end_tokens_.end(); }

Status GrammarConstraint::fill_mask() {
  if (is_filled_) return {};
  Status filled = run_within(limits_, [&]() -> Status {
    std::ranges::fill(mask_, 0U);
    std::array<std::int64_t, 1> shape = {static_cast<std::int64_t>(mask_.size())};
    DLTensor tensor{mask_.data(), {kDLCPU, 0}, 1, xgrammar::GetBitmaskDLType(), shape.data(), nullptr, 0};
    matcher_.FillNextTokenBitmask(&tensor);
    return {};
  });
  if (!filled) return filled;
  // The library may set what is left of the last word. An end token is no text, even where its text would fit.
  for (TokenId token = vocabulary_size_; token % 32 != 0; ++token) clear_bit(mask_, token);
  for (const TokenId token : end_tokens_) clear_bit(mask_, token);
  if (utf8_.is_within_character()) {
    keep_utf8();
  } else {  // where any text may come the library allows any bytes
    for (const TokenId token : *inner_tokens_) clear_bit(mask_, token);
  }
  is_filled_ = true;
  return {};
}

void GrammarConstraint::keep_utf8() {
  for (TokenId token = 0; token < vocabulary_size_; ++token) {
    if (!has_bit(mask_, token)) continue;
    Utf8Reader after = utf8_;
    if (!after.take(tokenizer_.GetDecodedVocab()[static_cast<std::size_t>(token)])) clear_bit(mask_, token);
  }
}

Status GrammarConstraint::fill(std::span<std::uint32_t> allowed) {
  std::ranges::fill(allowed, 0U);
  if (!has_ended_) {
    if (Status filled = fill_mask(); !filled) return filled;
    std::copy_n(mask_.begin(), std::min(mask_.size(), allowed.size()), allowed.begin());
  }
  if (has_ended_ || matcher_.IsCompleted()) {
    for (const TokenId token : end_tokens_) set_bit(allowed, token);
  }
  return {};
}

Status GrammarConstraint::accept(TokenId token) {
  const auto violated = [&] { return error("constraint_violated", "The token {} does not continue the form", token); };
  if (has_ended_) return is_end(token) ? Status{} : Status(violated());
  if (is_end(token)) {
    if (!matcher_.IsCompleted()) return violated();
    has_ended_ = true;
    return {};
  }
  if (token < 0 || token >= vocabulary_size_) return violated();
  if (is_filled_ && !has_bit(mask_, token)) return violated();  // the library would say so on stderr
  Status accepted = run_within(limits_, [&]() -> Status { return matcher_.AcceptToken(token) ? Status{} : Status(violated()); });
  if (!accepted) return accepted;
  if (!utf8_.take(tokenizer_.GetDecodedVocab()[static_cast<std::size_t>(token)])) return violated();
  is_filled_ = false;
  is_complete_ = false;
  if (!matcher_.IsCompleted()) return {};
  if (Status filled = fill_mask(); !filled) return filled;
  is_complete_ = std::ranges::all_of(mask_, [](std::uint32_t word) { return word == 0; });
  return {};
}

}  // namespace slora
