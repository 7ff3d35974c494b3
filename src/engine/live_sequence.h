#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "adapters/adapter_version.h"
#include "backend/sample_rows.h"
#include "base/check.h"
#include "engine/generation.h"
#include "engine/live_limits.h"
#include "engine/pooled_prompt.h"
#include "engine/token_mask.h"

namespace slora {

// What sampling and scoring must remember of one sequence from its submission to its end. Owned by the engine thread.
class LiveSequence {
 public:
  // `place` is kept until the sequence has ended. `mask`: of a request with a constraint, null for any other.
  explicit LiveSequence(GenerationRequest request, LiveLimits::Place place = {}, std::shared_ptr<TokenMask> mask = nullptr)
      : request_(std::move(request)), place_(std::move(place)), mask_(std::move(mask)) {
    if (!request_.sampling.penalises_repetition()) return;
    prompt_tokens_.assign(request_.prompt.begin(), request_.prompt.end());
    std::ranges::sort(prompt_tokens_);
    prompt_tokens_.erase(std::unique(prompt_tokens_.begin(), prompt_tokens_.end()), prompt_tokens_.end());
  }

  [[nodiscard]] const GenerationRequest& request() const { return request_; }
  [[nodiscard]] std::int32_t output_count() const { return output_count_; }

  // When it was first part of a step; zero before.
  [[nodiscard]] Timestamp started() const { return started_; }
  // Called for each of its steps, with the base's vocabulary. The first one reserves memory for the token counts, so that waiting sequences
  // take none and later steps allocate nothing.
  void note_step(Timestamp now, std::int32_t vocab_size) {
    if (started_ != Timestamp{}) return;
    started_ = now;
    vocabulary_ = vocab_size + (request_.adapter == nullptr ? 0 : request_.adapter->traits().added_tokens);
    counts_max_ = counts_outputs() ? static_cast<std::size_t>(std::min(request_.output_tokens_max, vocabulary_)) : 0;
    output_counts_.reserve(counts_max_);
  }
  // The most different tokens that penalties may count; 0 when none does.
  [[nodiscard]] std::size_t counts_max() const { return counts_max_; }

  // The index of its event among those of an iteration of the engine's loop, if it has one there.
  [[nodiscard]] std::optional<std::size_t> event_index(std::uint64_t iteration) const {
    return iteration == event_iteration_ ? std::optional(event_index_) : std::nullopt;
  }
  void set_event_index(std::uint64_t iteration, std::size_t index) {
    event_iteration_ = iteration;
    event_index_ = index;
  }

  // How to draw the next token, after the pending one; borrows from this object.
  [[nodiscard]] SampleSource sample_source() const {
    const SamplingParams& params = request_.sampling;
    const std::int32_t position = output_count_ + pending_count_;
    const bool bans_end = position < params.min_tokens;
    return {.params = &params,
            .choice = request_.choice,
            .position = static_cast<std::uint32_t>(position),
            .pending_row = pending_count_ > 0 ? pending_row_ : -1,
            .output_counts = output_counts_,
            .prompt_tokens = prompt_tokens_,
            .banned = bans_end ? std::span(params.end_tokens) : std::span<const TokenId>(),
            .vocabulary = vocabulary_,
            .mask_words = mask_ == nullptr ? 0 : mask_->word_count()};
  }

  // A step that draws a token in this row is submitted; the row's result is there.
  void note_submitted(std::int32_t row) {
    ++pending_count_;
    pending_row_ = row;
  }
  void note_collected() { --pending_count_; }

  // Null if every token may come next.
  [[nodiscard]] const std::shared_ptr<TokenMask>& mask() const { return mask_; }
  // Once it has ended.
  [[nodiscard]] std::shared_ptr<TokenMask> take_mask() { return std::move(mask_); }
  // The mask had not come when the tokens of a step were drawn, so that none was drawn for this sequence.
  void note_missing_mask() { lacks_mask_ = true; }
  // Whether that was so in the step that is being collected.
  [[nodiscard]] bool take_missing_mask() { return std::exchange(lacks_mask_, false); }

  [[nodiscard]] bool wants_prompt_logprobs() const { return request_.sampling.prompt_logprob_count >= 0; }
  // What to look up in the logits of a position of the prompt: the token that follows it.
  [[nodiscard]] ScoreRow score_row(std::int32_t position) const {
    return {request_.prompt[static_cast<std::size_t>(position) + 1], request_.sampling.prompt_logprob_count, vocabulary_};
  }
  // Moves the results of `scored` out, those of the positions from `position` on. Positions come in order, each once.
  void take_scores(std::int32_t position, std::span<PromptLogprob> scored) {
    check(std::cmp_equal(prompt_logprobs_.size(), position), "expected every position of the prompt to be scored once");
    std::ranges::move(scored, std::back_inserter(prompt_logprobs_));
  }
  // All of them at once, or nothing when the model gave no finite logits at some position. Requires: the whole prompt was scored.
  [[nodiscard]] std::optional<std::vector<PromptLogprob>> take_prompt_logprobs() {
    check(prompt_logprobs_.size() + 1 == request_.prompt.size(),
          "expected every position of the prompt to be scored before the first token");
    if (std::ranges::find(prompt_logprobs_, 0, &PromptLogprob::rank) != prompt_logprobs_.end()) return std::nullopt;
    return std::move(prompt_logprobs_);
  }

  // The embedding of its prompt, if that is wanted.
  [[nodiscard]] PooledPrompt& pooled() { return pooled_; }

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
  [[nodiscard]] bool counts_outputs() const { return request_.sampling.penalises_repetition() || request_.sampling.penalises_presence(); }

  GenerationRequest request_;
  LiveLimits::Place place_;
  std::shared_ptr<TokenMask> mask_;
  bool lacks_mask_ = false;
  Timestamp started_{};
  std::int32_t output_count_ = 0;
  std::int32_t pending_count_ = 0;  // rows of submitted steps whose results are not there
  std::int32_t pending_row_ = -1;   // the latest of them
  std::size_t counts_max_ = 0;
  std::int32_t vocabulary_ = 0;            // with the adapter's own tokens; known from the first step on
  std::uint64_t event_iteration_ = 0;      // the latest in which it had an event
  std::size_t event_index_ = 0;            // among the events of that iteration
  std::vector<TokenCount> output_counts_;  // sorted by token; kept only when a penalty reads it
  std::vector<TokenId> prompt_tokens_;     // sorted, distinct; kept only for the repetition penalty
  PooledPrompt pooled_;
  std::vector<PromptLogprob> prompt_logprobs_;  // of the tokens from 1 on, until the first token of the output
};

}  // namespace slora
