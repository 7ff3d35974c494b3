#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "backend/op_args.h"
#include "base/check.h"
#include "engine/generation.h"

namespace slora {

// What sampling and scoring must remember of one sequence while it lives. Owned by the engine thread.
class LiveSequence {
 public:
  explicit LiveSequence(GenerationRequest request) : request_(std::move(request)) {
    if (request_.sampling.repetition_penalty == 1) return;
    prompt_tokens_ = request_.prompt;
    std::ranges::sort(prompt_tokens_);
    prompt_tokens_.erase(std::unique(prompt_tokens_.begin(), prompt_tokens_.end()), prompt_tokens_.end());
  }

  [[nodiscard]] const GenerationRequest& request() const { return request_; }
  [[nodiscard]] std::int32_t output_count() const { return output_count_; }

  // When it was first in a step; zero before.
  [[nodiscard]] Timestamp started() const { return started_; }
  // Room for its counts is made in the first of its steps, so that waiting costs none. Takes how many tokens there are.
  void note_step(Timestamp now, std::int32_t vocab_size) {
    if (started_ != Timestamp{}) return;
    started_ = now;
    if (counts_outputs()) output_counts_.reserve(static_cast<std::size_t>(std::min(request_.output_tokens_max, vocab_size)));
  }

  // Which of the events of a turn of the loop is its own.
  [[nodiscard]] std::optional<std::size_t> event_index(std::uint64_t turn) const {
    return turn == event_turn_ ? std::optional(event_index_) : std::nullopt;
  }
  void set_event_index(std::uint64_t turn, std::size_t index) {
    event_turn_ = turn;
    event_index_ = index;
  }

  // How to draw the next token; borrows from this object.
  [[nodiscard]] SampleRow sample_row() const {
    const SamplingParams& params = request_.sampling;
    SampleRow row;
    row.temperature = params.temperature;
    row.top_p = params.top_p;
    row.top_k = params.top_k;
    row.min_p = params.min_p;
    row.repetition_penalty = params.repetition_penalty;
    row.presence_penalty = params.presence_penalty;
    row.frequency_penalty = params.frequency_penalty;
    row.seed = params.seed;
    row.choice = params.choice;
    row.position = static_cast<std::uint32_t>(output_count_);
    row.output_counts = output_counts_;
    row.prompt_tokens = prompt_tokens_;
    row.logit_bias = params.logit_bias;
    if (output_count_ < params.min_tokens) row.banned = params.end_tokens;
    row.logprob_count = params.logprob_count;
    return row;
  }

  [[nodiscard]] bool wants_prompt_logprobs() const { return request_.sampling.prompt_logprob_count >= 0; }
  // What the logits at a position of the prompt are asked: how likely the token behind it was.
  [[nodiscard]] ScoreRow score_row(std::int32_t position) const {
    return {request_.prompt[static_cast<std::size_t>(position) + 1], request_.sampling.prompt_logprob_count};
  }
  // Takes the answers of `scored`, of positions from `position` on. Positions come in order and once.
  void take_scores(std::int32_t position, std::span<PromptLogprob> scored) {
    check(std::cmp_equal(prompt_logprobs_.size(), position), "every position of the prompt is scored once");
    std::ranges::move(scored, std::back_inserter(prompt_logprobs_));
  }
  // All of them at once, or nothing when the model gave no finite logits somewhere. Requires: the whole prompt was scored.
  [[nodiscard]] std::optional<std::vector<PromptLogprob>> take_prompt_logprobs() {
    check(prompt_logprobs_.size() + 1 == request_.prompt.size(), "every position of the prompt is scored before the first token");
    if (std::ranges::find(prompt_logprobs_, 0, &PromptLogprob::rank) != prompt_logprobs_.end()) return std::nullopt;
    return std::move(prompt_logprobs_);
  }

  void append(TokenId token) {
    ++output_count_;
    if (!counts_outputs()) return;
    const auto at = std::ranges::lower_bound(output_counts_, token, {}, &TokenCount::token);
    if (at != output_counts_.end() && at->token == token) {
      ++at->count;
    } else {
      output_counts_.insert(at, {token, 1});
    }
  }

  [[nodiscard]] bool ends_with(TokenId token) const {
    return std::ranges::find(request_.sampling.end_tokens, token) != request_.sampling.end_tokens.end();
  }

 private:
  [[nodiscard]] bool counts_outputs() const {
    const SamplingParams& params = request_.sampling;
    return params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
  }

  GenerationRequest request_;
  Timestamp started_{};
  std::int32_t output_count_ = 0;
  std::uint64_t event_turn_ = 0;
  std::size_t event_index_ = 0;                 // in the events of that turn
  std::vector<TokenCount> output_counts_;       // sorted by token; kept only when a penalty reads it
  std::vector<TokenId> prompt_tokens_;          // sorted, distinct; kept only for the repetition penalty
  std::vector<PromptLogprob> prompt_logprobs_;  // of the tokens from 1 on, until the first token of the output
};

}  // namespace slora
