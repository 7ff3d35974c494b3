#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// A token that is matched literally in texts.
struct AddedToken {
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // also matches the white space before it
  bool rstrip = false;       // also matches the white space after it
  bool normalized = false;   // matched in the normalised text
  bool special = false;
  bool operator==(const AddedToken&) const = default;
};

// Where the tokens of a folder stand in addition to the model of its tokenizer.json. Objects; empty ones for absent files.
struct TokenSources {
  const Json& tokenizer;           // tokenizer.json
  const Json& tokenizer_config;    // tokenizer_config.json
  const Json& special_tokens_map;  // special_tokens_map.json
  const Json& added_tokens;        // added_tokens.json
};

// What the other files say about tokens besides tokenizer.json.
struct FurtherTokens {
  std::vector<std::pair<std::string, std::string>> named;  // texts by name: "eos_token" and so on
  std::vector<AddedToken> added;                           // in the order in which new ones get ids; may change flags of tokenizer.json's
};

// With the precedence of transformers 5 (docs/decisions/003-which-tokenizer-a-folder-means.md). E_BAD_JSON naming file, key, expected and
// found.
[[nodiscard]] Result<FurtherTokens> read_further_tokens(const TokenSources& sources);

// An entry of the "added_tokens" of a tokenizer.json, or of another file that describes a token by an object.
[[nodiscard]] Result<AddedToken> parse_added_token(const Json& object);

}  // namespace slora
