#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/json.h"
#include "text/merge_table.h"
#include "text/vocabulary.h"

namespace slora {

// Byte-pair encoding of single words: the "model" of a tokenizer.json. Immutable; any number of threads.
class Bpe {
 public:
  [[nodiscard]] static Result<Bpe> from_json(const Json& tokenizer_json);

  // Appends the tokens of `word`. O(n log n) in its length. Requires: valid UTF-8, less than 2 GiB.
  void encode(std::string_view word, std::vector<TokenId>& out) const;

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  // A token of the word so far, in a doubly linked list inside a vector. Small, since a word may be a whole text.
  struct Symbol {
    TokenId token;          // kNone: merged into the one before
    std::int32_t previous;  // index of a neighbour, or kNone
    std::int32_t next;
  };

  Bpe(Vocabulary vocabulary, MergeTable merges);

  static Status check_options(const Json& model);
  static Result<MergeTable> read_merges(const Json& model, const Vocabulary& vocabulary);
  [[nodiscard]] std::vector<Symbol> start_symbols(std::string_view word) const;
  [[nodiscard]] bool has_byte_tokens(std::string_view character) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_tokens_{};  // "<0x00>" to "<0xFF>"; -1: not in the vocabulary
  std::optional<TokenId> unknown_;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;  // a word that is a token is not merged from its characters
};

}  // namespace slora
