#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// A model folder's tokenizer and template files. Only their form is checked here; the text module interprets them.
struct TokenizerFiles {
  std::unique_ptr<Json> tokenizer;                     // tokenizer.json, an object; never null
  std::string chat_template;                           // the default one; empty if the folder has none
  std::map<std::string, std::string> named_templates;  // others by name, for example "tool_use"
  std::optional<std::string> bos_token;                // from tokenizer_config.json, else special_tokens_map.json
  std::optional<std::string> eos_token;
  std::optional<std::string> unk_token;
  std::optional<std::string> pad_token;
  // Settings that replace steps of tokenizer.json (text/tokenizer_class.h). "add_bos_token" and "add_eos_token" are not read, as in
  // transformers 5: which tokens are added depends on tokenizer.json's post-processor alone.
  std::string tokenizer_class;
  std::string model_type;  // from config.json; empty without one
  std::optional<bool> legacy;
  std::optional<bool> add_prefix_space;
};

// E_NO_TOKENIZER if the folder has no tokenizer.json; E_BAD_JSON, E_TOO_LARGE.
Result<TokenizerFiles> read_tokenizer_files(const std::string& folder);

}  // namespace slora
