#pragma once
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "formats/tokenizer_file.h"
#include "text/tokenizer.h"

namespace slora {

// The tokens of a tokenizer that end answers, whatever the generation config says: its end token, as in vLLM and SGLang, and Llama 3's end
// of a message to a tool, as in SGLang. Those that the model has a row for.
[[nodiscard]] std::vector<TokenId> end_tokens_of(const Tokenizer& tokenizer, const TokenizerFiles& files, std::int32_t vocabulary_size);

}  // namespace slora
