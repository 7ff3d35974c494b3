#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/further_tokens.h"
#include "formats/json.h"
#include "formats/text_files.h"

namespace slora {

// A folder's tokenizer and template files. Only their form is checked here; the text module interprets them.
struct TokenizerFiles {
  std::unique_ptr<Json> tokenizer;                     // tokenizer.json, an object; null where the folder has none
  std::string chat_template;                           // the default one; empty if the folder has none
  std::map<std::string, std::string> named_templates;  // others by name, for example "tool_use"
  std::map<std::string, std::string> special_tokens;   // by name, for example "eos_token"
  std::vector<AddedToken> added_tokens;                // of the other files, in addition to tokenizer.json's
  std::string response_template;                       // how its answers are taken apart, as JSON; empty: it does not say
  std::optional<bool> split_special_tokens;            // true: special tokens are not recognised in texts
  // Settings that replace steps of tokenizer.json (text/tokenizer_class.h). "add_bos_token" and "add_eos_token" are not read, as in
  // transformers 5: which tokens are added depends on tokenizer.json's post-processor alone.
  std::string tokenizer_class;
  std::string model_type;  // from config.json; empty without one
  std::optional<bool> legacy;
  std::optional<bool> add_prefix_space;
  // SHA-256 of the files that hold vocabularies, by name: tokenizer.json and those of other forms.
  std::map<std::string, Sha256Digest, std::less<>> vocabularies;

  [[nodiscard]] bool has_templates() const { return !chat_template.empty() || !named_templates.empty(); }
};

// Of a folder, or of a GGUF file at this path. E_NO_TOKENIZER if the folder has no tokenizer.json; E_BAD_JSON, E_TOO_LARGE; E_TOKENIZER.
Result<TokenizerFiles> read_tokenizer_files(const std::string& folder);

// The same from files that were read; without "model_type".
Result<TokenizerFiles> parse_tokenizer_files(const TextFiles& files);
// Those of an adapter's folder, which may lack any. `tokenizer` is null where the folder has no tokenizer.json or the bytes of the base's.
// Requires: `base` has a tokenizer, which may lack its "model".
Result<TokenizerFiles> parse_adapter_files(const TextFiles& files, const TokenizerFiles& base);

}  // namespace slora
