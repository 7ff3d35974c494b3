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
#include "text/joint_table.h"
#include "text/merge_table.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace slora {

// Byte-pair encoding of single words: the "model" of a tokenizer.json. Immutable; any number of threads.
class Bpe {
 public:
  static constexpr std::size_t kPartBytesMin = 4096;  // shorter words are one part

  [[nodiscard]] static Result<Bpe> from_json(const Json& tokenizer_json);

  // Consecutive parts of `word` whose tokens, one after the other, are those of the word: it is cut after some thousand bytes, where no
  // merge of this model can join the two sides. So the cost is proportional to its length, and either end can be encoded alone. Fails if a
  // part is longer than a million characters. Requires: valid UTF-8.
  [[nodiscard]] Result<std::vector<TextRange>> parts_of(std::string_view word) const;
  // Appends the tokens of one of these parts. O(n log n) in its length. Returns how many merges it considered.
  std::size_t encode(std::string_view word, const TextRange& part, std::vector<TokenId>& out) const;

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  // Whether both have the same tokens with the same ids, and give the same tokens for every word.
  bool operator==(const Bpe& other) const;

 private:
  // A token of the word so far, in a doubly linked list inside a vector. Small, since a word may be a whole text.
  struct Symbol {
    TokenId token;          // kNone: merged into the one before
    std::int32_t previous;  // index of a neighbour, or kNone
    std::int32_t next;
  };

  struct Merges {
    MergeTable table;
    JointTable joints;
    bool joins_bytes = false;  // a merge names the token of a byte
  };
  Bpe(Vocabulary vocabulary, Merges merges);

  static Status check_options(const Json& model);
  static Result<Merges> read_merges(const Json& model, const Vocabulary& vocabulary);
  [[nodiscard]] std::size_t end_of_part(std::string_view word, std::size_t begin) const;
  [[nodiscard]] std::vector<Symbol> start_symbols(std::string_view word) const;
  [[nodiscard]] bool has_byte_tokens(std::string_view character) const;
  [[nodiscard]] bool meets_unknown_characters() const;
  std::size_t merge_all(std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  JointTable joints_;
  bool has_own_ids_ = true;                 // every text of the vocabulary has an id of its own
  bool bytes_stand_alone_ = false;          // characters that the vocabulary lacks become tokens of bytes, which nothing joins
  std::array<TokenId, 256> byte_tokens_{};  // "<0x00>" to "<0xFF>"; -1: not in the vocabulary
  std::optional<TokenId> unknown_;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;  // a word that is a token is not merged from its characters
};

}  // namespace slora
