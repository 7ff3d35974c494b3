#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "train/data_line.h"
#include "train/labelled_text.h"
#include "train/model_text.h"
#include "train/sample.h"

namespace slora {

// What became of lines: sums over all that were made.
struct SampleCounts {
  std::int64_t truncated = 0;           // samples that were longer than allowed
  std::int64_t lost_by_truncation = 0;  // of those: all that was to be learned was cut off
  std::int64_t without_labels = 0;      // nothing in them is learned, whatever their length
  std::int64_t split_lines = 0;         // lines that gave more than one sample
  std::int64_t turns = 0;               // parts that are learned, up to their ends
  std::int64_t turns_without_end = 0;   // of those: the last token that is learned does not end an answer

  [[nodiscard]] std::int64_t lost() const { return lost_by_truncation + without_labels; }
};

// Makes samples of lines, with the tokens that the server would see. One thread.
class SampleMaker {
 public:
  // `text` outlives it. `tokens_max`: of a sample; the tokens after that are cut off.
  SampleMaker(const ModelText& text, std::size_t tokens_max) : text_(text), tokens_max_(tokens_max) {}

  // Usually one; none of a line in which nothing can be learned, which is counted. E_DATA for what has no labels for another reason.
  [[nodiscard]] Result<std::vector<Sample>> make(const DataLine& line);
  [[nodiscard]] const SampleCounts& counts() const { return counts_; }

 private:
  // Tokens that are complete but for being cut.
  struct Draft {
    std::vector<TokenId> tokens;  // at most tokens_max_ + 1 are read
    std::vector<bool> labels;
    bool had_labels = false;  // also of what was not read
  };

  Result<std::vector<Draft>> draft(const ConversationLine& line);
  Result<std::vector<Draft>> draft(const CompletionLine& line);
  Result<std::vector<Draft>> draft(const TextLine& line);
  Result<std::vector<Draft>> draft(const SegmentsLine& line);
  Result<std::vector<Draft>> draft(const TokensLine& line);

  Result<Draft> draft_labelled(const LabelledText& labelled);
  // The first token of each label, and the one after its last, for labels that begin within the tokens that were read.
  Result<std::vector<TextRange>> token_labels(const LabelledText& labelled, std::span<const TokenId> tokens) const;
  Result<std::size_t> prompt_token_count(std::string_view prompt, std::span<const TokenId> tokens) const;
  Result<std::vector<TokenId>> encode(std::string_view text, SpecialTokens special) const;
  void append_eos(std::vector<TokenId>& tokens) const;
  // Without what comes after the end token that closes a turn, which a server never asks for: white space, further end tokens.
  [[nodiscard]] std::size_t end_of_turn(std::span<const TokenId> tokens, const TextRange& turn) const;
  void count_turn(std::span<const TokenId> tokens, const TextRange& turn);
  [[nodiscard]] bool is_blank(std::span<const TokenId> tokens) const;

  const ModelText& text_;
  const std::size_t tokens_max_;
  SampleCounts counts_;
};

}  // namespace slora
