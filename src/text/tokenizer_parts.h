#pragma once
#include <memory>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace slora {

// The parts of a tokenizer, in the order in which they process a text.
struct Tokenizer::Parts {
  AddedTokens added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::shared_ptr<const Bpe> model;  // shared with the tokenizers of adapters, which have the same
  PostProcessor post_processor;
  Decoder decoder;

  // Views with null data for an id without a token.
  [[nodiscard]] std::string_view token_text(TokenId id) const;
  [[nodiscard]] std::string_view text_to_decode(TokenId id) const;
};

}  // namespace slora
