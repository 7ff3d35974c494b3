#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/ids.h"
#include "text/tokenizer.h"

namespace slora {

class DecoderStream;

// The text of a growing token sequence, piece by piece: the results of push() and finish() joined equal decode() of the whole
// sequence. Owned by one stream and its thread; the tokenizer must outlive it. Amortised O(1) per token.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, SpecialText special);
  Detokenizer(Detokenizer&&) noexcept;
  ~Detokenizer();

  // Treats the following tokens as a continuation of `prompt`: the prompt's own text is dropped, and rules for the start of a text
  // (a leading space to remove) no longer apply. A character that the prompt ends inside of is completed. Takes the same time for
  // every prompt. Requires: push() was not called.
  void continue_from(std::span<const TokenId> prompt);

  // The new text that no later token can change: whole characters. Often empty.
  [[nodiscard]] std::string push(TokenId id);
  // The text that was held back, at the end of the sequence. An incomplete character becomes U+FFFD.
  [[nodiscard]] std::string finish();

 private:
  const Tokenizer* tokenizer_;
  SpecialText special_;
  std::unique_ptr<DecoderStream> stream_;
};

}  // namespace slora
