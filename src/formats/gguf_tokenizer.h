#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/tokenizer_file.h"

namespace slora {

// What the name in "tokenizer.ggml.pre" means: how texts are cut into words, of which a file has the name only.
struct GgufWords {
  std::string_view names;                    // between spaces
  std::array<std::string_view, 4> patterns;  // each cuts what the ones before left; empty ones at the end
  bool has_whole_words = false;              // a word that is a token is not merged from its characters
  bool adds_bos = false;                     // unless the file says otherwise
  bool composes = false;                     // texts are in NFC first
};
// Nullptr for one that is not known.
[[nodiscard]] const GgufWords* find_gguf_words(std::string_view name);

// What tokenizer.json and the files next to it would say, of a file of a base model. Where a file leaves open what its tokenizer does, it
// is done as by llama.cpp, except that texts are brought into NFC where the models' own tokenizers do it. E_TOKENIZER names the file, the
// entry, expected and found.
[[nodiscard]] Result<TokenizerFiles> tokenizer_of_gguf(const GgufFile& file);

// The tokens that end answers: those that the file names, and control tokens whose texts are used for nothing else.
[[nodiscard]] Result<std::vector<std::int64_t>> end_tokens_of_gguf(const GgufFile& file);

}  // namespace slora
