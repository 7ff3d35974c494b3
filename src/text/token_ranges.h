#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace slora {

// Where the tokens of a text stand in it: for each of `ids`, the first tokens of `text`, the bytes that it was made of, in order. A token
// that a tokenizer inserts before a word has an empty range. Where it rewrites the text, as normalisation does, each token has the whole
// rewritten part, which ends at the next special token. Requires: `text` is valid UTF-8, and was encoded without special tokens around it.
[[nodiscard]] std::vector<TextRange> token_ranges(const Tokenizer& tokenizer, std::string_view text, std::span<const TokenId> ids);

}  // namespace slora
