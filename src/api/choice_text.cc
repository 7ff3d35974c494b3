#include "api/choice_text.h"

namespace slora {

ChoiceText::ChoiceText(const Tokenizer& tokenizer, std::span<const TokenId> prompt, const RequestSpec& spec, const AnswerFormat* format)
    : tokenizer_(tokenizer),
      format_(format),
      skips_special_(spec.output.skip_special_tokens),
      detokenizer_(tokenizer, skips_special_ && format == nullptr ? SpecialText::skip : SpecialText::keep),
      matcher_(spec.output.stop, spec.output.include_stop_text ? StopText::include : StopText::exclude),
      min_tokens_(spec.sampling.min_tokens) {
  detokenizer_.continue_from(prompt);
}

StopMatcher::Output ChoiceText::push(TokenId token) {
  ++token_count_;
  return is_left_out(token) ? StopMatcher::Output{} : match(detokenizer_.push(token));
}

bool ChoiceText::is_left_out(TokenId token) const {
  if (format_ == nullptr || !skips_special_ || !tokenizer_.is_special(token)) return false;
  return !format_->is_in_mark(tokenizer_.token_bytes(token));
}

StopMatcher::Output ChoiceText::finish() {
  StopMatcher::Output output = match(detokenizer_.finish());
  if (!output.stop) output.text += matcher_.finish();
  return output;
}

// Stop strings are matched only after the first min_tokens tokens.
StopMatcher::Output ChoiceText::match(std::string text) {
  if (token_count_ <= min_tokens_) return {std::move(text), std::nullopt};
  return matcher_.push(text);
}

}  // namespace slora
