#pragma once
#include "formats/tokenizer_file.h"

namespace slora {

// Makes the steps of `files.tokenizer` those that the folder's tokenizer runs in transformers 5, so that our ids are its AutoTokenizer's:
// for some classes it takes the vocabulary, the merges and the post-processor of tokenizer.json and writes the other steps itself. Of the
// folders we serve that changes something for "LlamaTokenizer" (docs/decisions/003-which-tokenizer-a-folder-means.md).
void apply_tokenizer_class(TokenizerFiles& files);

}  // namespace slora
