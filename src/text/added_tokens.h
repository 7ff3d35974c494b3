#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/further_tokens.h"
#include "formats/json.h"
#include "text/normalizer.h"
#include "text/tokenizer_settings.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace slora {

// The "added_tokens" of a tokenizer.json: tokens that are matched literally in the text before the model tokenises the rest.
// Immutable; any number of threads.
class AddedTokens {
 public:
  // A stretch of a text: a token, or text in between.
  struct Part {
    TextRange range;
    std::optional<TokenId> token;
  };

  struct Token {
    TokenId id = 0;
    AddedToken form;
  };

  // Tokens missing from the vocabulary get the ids after its last one, as in `tokenizers`; a tokenizer.json with other ids is refused. The
  // settings' tokens come after the file's, and change the flags of those with the same text.
  [[nodiscard]] static Result<AddedTokens> from_json(const Json& tokenizer_json, const TokenizerSettings& settings, const Vocabulary& model,
                                                     const Normalizer& normalizer);

  // Splits the text at the tokens that are matched before normalisation.
  [[nodiscard]] std::vector<Part> split_raw(std::string_view text) const { return split(text, raw_); }
  // Splits the normalised text at the tokens that are matched after normalisation.
  [[nodiscard]] std::vector<Part> split_normalized(std::string_view text) const { return split(text, normalized_); }

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] std::span<const Token> tokens() const { return tokens_; }
  // The text that decoding starts from where it differs from the token's content: a token that is matched in normalised text is
  // decoded from its normalised form. Nullptr for all others.
  [[nodiscard]] const std::string* normalized_text(TokenId id) const;
  // By content: a token of the model with the text of a special one is special too.
  [[nodiscard]] bool is_special(std::string_view token_text) const { return special_.contains(std::string(token_text)); }

 private:
  // Finds the longest token at a position: a trie over bytes whose edges are in one hash table.
  class Trie {
   public:
    void add(std::string_view text, std::size_t token_index);
    struct Match {
      std::size_t token_index;
      std::size_t bytes;
    };
    [[nodiscard]] std::optional<Match> find_longest_at(std::string_view text) const;

   private:
    static std::uint64_t edge(std::size_t node, char byte) {
      return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
    }
    std::unordered_map<std::uint64_t, std::size_t> edges_;  // (node, byte) to node; 0 is the root
    std::vector<std::optional<std::size_t>> token_of_node_ = std::vector<std::optional<std::size_t>>(1);  // [nodes] index into tokens_
  };

  using Indices = std::unordered_map<std::string, std::size_t>;  // into tokens_, by content

  static Result<AddedToken> read_token(const Json& entry);
  Status read_list(Indices& indices, const Json& tokenizer_json, const Vocabulary& model);
  Status add(Indices& indices, AddedToken token, TokenId id);
  [[nodiscard]] TokenId id_for(const AddedToken& token, const Vocabulary& model) const;
  Status build_tries(const TokenizerSettings& settings, const Normalizer& normalizer);
  [[nodiscard]] std::vector<Part> split(std::string_view text, const Trie& trie) const;

  std::vector<Token> tokens_;
  Vocabulary vocabulary_;                    // of the added tokens alone
  std::unordered_set<std::string> special_;  // contents
  std::unordered_map<TokenId, std::string> normalized_texts_;
  Trie raw_;
  Trie normalized_;
};

}  // namespace slora
