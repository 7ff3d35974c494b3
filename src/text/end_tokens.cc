#include "text/end_tokens.h"

#include <optional>
#include <string_view>

namespace slora {

std::vector<TokenId> end_tokens_of(const Tokenizer& tokenizer, const TokenizerFiles& files, std::int32_t vocabulary_size) {
  std::vector<TokenId> ends;
  const auto add = [&](std::string_view text) {
    const std::optional<TokenId> id = tokenizer.token_id(text);
    if (id && *id < vocabulary_size) ends.push_back(*id);
  };
  if (const auto eos = files.special_tokens.find("eos_token"); eos != files.special_tokens.end()) add(eos->second);
  add("<|eom_id|>");
  return ends;
}

}  // namespace slora
