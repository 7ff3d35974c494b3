#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/ids.h"
#include "text/tokenizer.h"

namespace slora {

class DecoderStream;

// The text of one growing token sequence, piece by piece: what push() and finish() return, joined, is decode() of the
// whole. Owned by one stream and its thread; the tokenizer must outlive it. Amortised O(1) per token.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, SpecialText special);
  Detokenizer(Detokenizer&&) noexcept;
  ~Detokenizer();

  // Makes what follows a continuation of `prompt`: the prompt's own text is dropped, and rules for the start of a text
  // (a leading space to remove) no longer apply. A character that the prompt left half is completed. Takes the same time for
  // every prompt. Requires: nothing was pushed.
  void continue_from(std::span<const TokenId> prompt);

  // The text that is certain now: whole characters that no later token changes. Often empty.
  [[nodiscard]] std::string push(TokenId id);
  // What was held back, at the end of the sequence. Half a character comes out as U+FFFD.
  [[nodiscard]] std::string finish();

 private:
  const Tokenizer* tokenizer_;
  SpecialText special_;
  std::unique_ptr<DecoderStream> stream_;
};

}  // namespace slora
