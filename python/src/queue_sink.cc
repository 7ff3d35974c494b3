#include "queue_sink.h"

#include <chrono>
#include <span>
#include <utility>

namespace slora::python {
namespace {

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

ScoredTokens scored_tokens_of(const Tokenizer& tokenizer, const Token& token, std::int32_t rank) {
  ScoredTokens scored{{token.id, token.logprob, rank, display_text(tokenizer, token.id)}};
  for (std::size_t i = 0; i < token.top.size(); ++i) {
    const TokenLogprob& top = token.top[i];
    const auto top_rank = static_cast<std::int32_t>(i) + 1;
    if (top.token == token.id) {
      scored.front().rank = top_rank;
    } else {
      scored.push_back({top.token, top.logprob, top_rank, display_text(tokenizer, top.token)});
    }
  }
  return scored;
}

PromptAnswer prompt_of(const Answer& answer) {
  const PreparedRequest& request = answer.request;
  const Tokenizer& tokenizer = request.text->tokenizer();
  const SharedTokens& tokens = request.prompts.front().tokens;
  PromptAnswer prompt;
  prompt.tokens.assign(tokens.begin(), tokens.end());
  if (request.spec.endpoint == Endpoint::chat) prompt.text = tokenizer.decode(prompt.tokens, SpecialText::keep);
  const AnsweredPrompt& answered = answer.prompts.front();
  prompt.cached_tokens = answered.cached_tokens;
  for (const PromptLogprob& score : answered.logprobs) prompt.logprobs.push_back(scored_tokens_of(tokenizer, score.token, score.rank));
  return prompt;
}

ChoiceAnswer choice_of(const Answer& answer, std::size_t index, std::string_view text, std::span<const Token> tokens) {
  const AnsweredChoice& answered = answer.choices[index];
  ChoiceAnswer choice;
  choice.index = static_cast<std::int64_t>(index);
  choice.text = text;
  choice.finish_reason = answered.finish_reason;
  choice.stop_reason = answered.stop_reason;
  for (const Token& token : tokens) {
    choice.tokens.push_back(token.id);
    if (answer.request.spec.output.logprobs) choice.logprobs.push_back(scored_tokens_of(answer.request.text->tokenizer(), token, 0));
  }
  return choice;
}

}  // namespace

void QueueSink::part(const AnswerPart& part) {
  if (queue_->is_closed()) return over_();
  if (first_token_seconds_ == 0) first_token_seconds_ = now_seconds();
  if (delivery_ == Delivery::whole) return;
  AnswerUpdate update = make_update(&part.answer);
  update.choices.push_back(choice_of(part.answer, part.choice_index, part.text(), part.tokens()));
  queue_->push(std::move(update));
}

void QueueSink::done(const Answer& answer) {
  AnswerUpdate update = make_update(&answer);
  if (delivery_ == Delivery::whole) {
    for (std::size_t i = 0; i < answer.choices.size(); ++i)
      update.choices.push_back(choice_of(answer, i, answer.choices[i].text, answer.choices[i].tokens));
  }
  push_last(std::move(update));
}

void QueueSink::failed(const ApiError& error) {
  AnswerUpdate update = make_update(nullptr);
  update.error = error;
  push_last(std::move(update));
}

AnswerUpdate QueueSink::make_update(const Answer* answer) {
  AnswerUpdate update;
  update.request = request_;
  update.seconds = now_seconds();
  update.first_token_seconds = first_token_seconds_;
  if (answer != nullptr && !std::exchange(has_prompt_, true)) update.prompt = prompt_of(*answer);
  return update;
}

void QueueSink::push_last(AnswerUpdate update) {
  update.is_last = true;
  queue_->push(std::move(update));
  over_();
}

}  // namespace slora::python
