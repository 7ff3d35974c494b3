#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// A model folder's text files, read and checked for form only: what they mean is the text module's business.
struct TokenizerFiles {
  std::unique_ptr<Json> tokenizer;                     // tokenizer.json, an object; never null
  std::string chat_template;                           // the default one; empty when the folder has none
  std::map<std::string, std::string> named_templates;  // others by name, for example "tool_use"
  std::optional<std::string> bos_token;                // from tokenizer_config.json, else special_tokens_map.json
  std::optional<std::string> eos_token;
  std::optional<std::string> unk_token;
  std::optional<std::string> pad_token;
  // What decides about steps beside tokenizer.json (text/tokenizer_class.h). Its post-processor decides alone about added tokens: like
  // transformers 5 we don't read "add_bos_token" and "add_eos_token".
  std::string tokenizer_class;
  std::string model_type;  // from config.json; empty without one
  std::optional<bool> legacy;
  std::optional<bool> add_prefix_space;
};

// E_NO_TOKENIZER when the folder has no tokenizer.json; E_BAD_JSON, E_TOO_LARGE.
Result<TokenizerFiles> read_tokenizer_files(const std::string& folder);

}  // namespace slora
