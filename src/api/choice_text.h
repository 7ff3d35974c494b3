#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "api/request_spec.h"
#include "text/answer_format.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"

namespace slora {

// The text of one sequence as it grows: detokenised, with stop strings found across token boundaries. Owned by its job, used on its thread.
class ChoiceText {
 public:
  // `tokenizer` outlives it, and so does `format`: the text keeps the special tokens that are marks of it. Null: it keeps none.
  ChoiceText(const Tokenizer& tokenizer, std::span<const TokenId> prompt, const RequestSpec& spec, const AnswerFormat* format = nullptr);

  // Text that no later token can change, and the stop string that this token completed, if any.
  [[nodiscard]] StopMatcher::Output push(TokenId token);
  // The text that was held back because it might have become a stop string; after the last token.
  [[nodiscard]] StopMatcher::Output finish();

 private:
  [[nodiscard]] StopMatcher::Output match(std::string text);

  [[nodiscard]] bool is_left_out(TokenId token) const;

  const Tokenizer& tokenizer_;
  const AnswerFormat* const format_;
  const bool skips_special_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  const std::int32_t min_tokens_;
  std::int32_t token_count_ = 0;
};

}  // namespace slora
