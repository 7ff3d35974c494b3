#pragma once
#include <span>

#include "formats/further_tokens.h"
#include "formats/tokenizer_file.h"

namespace slora {

// What other files say about a tokenizer besides its tokenizer.json. Borrowed for one call.
struct TokenizerSettings {
  std::span<const AddedToken> added_tokens = {};
  bool split_special_tokens = false;  // special tokens are not recognised in texts
};

// Views of the files, which must outlive them.
[[nodiscard]] inline TokenizerSettings tokenizer_settings(const TokenizerFiles& files) {
  return {files.added_tokens, files.split_special_tokens.value_or(false)};
}

}  // namespace slora
