#pragma once
#include "formats/tokenizer_file.h"

namespace slora {

// Replaces the steps of `files.tokenizer` by those that transformers 5 runs for the folder's tokenizer class, so that our ids equal those
// of its AutoTokenizer: for some classes it reads only the vocabulary, the merges and the post-processor from tokenizer.json. Of the
// classes that are supported this affects "LlamaTokenizer" (docs/decisions/003-which-tokenizer-a-folder-means.md).
void apply_tokenizer_class(TokenizerFiles& files);

}  // namespace slora
