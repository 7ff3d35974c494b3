#pragma once
#include <span>

#include "formats/further_tokens.h"

namespace slora {

// What other files say about a tokenizer besides its tokenizer.json. Borrowed for one call.
struct TokenizerSettings {
  std::span<const AddedToken> added_tokens = {};
  bool split_special_tokens = false;  // special tokens are not recognised in texts
};

}  // namespace slora
