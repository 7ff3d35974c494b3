#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "ops/step_array.h"
#include "ops/token.h"
#include "tensor/tensor.h"

namespace slora {

struct TokenBias {
  TokenId token;
  float bias;
};
struct TokenCount {
  TokenId token;
  std::int32_t count;
};

// How the tokens of one request are drawn, from the API to the kernels. Values are validated by the API; below it nobody checks them again.
// Kernels apply them in vLLM's order: bias, penalties, bans, the mask of the answer's form, temperature, min-p, top-k, top-p, draw.
struct SamplingParams {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  std::int32_t top_k = 0;  // 0: all
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint64_t seed = 0;
  std::vector<TokenBias> logit_bias{};
  std::int32_t logprob_count = -1;         // -1: none; n: the drawn token's and the n most likely tokens'
  std::int32_t prompt_logprob_count = -1;  // -1: none; n: each prompt token's own and the n most likely tokens' at its position
  std::int32_t min_tokens = 0;             // end tokens are not drawn before this many
  std::vector<TokenId> end_tokens{};       // drawing one ends the sequence: the model's and the request's (empty with ignore_eos)

  [[nodiscard]] bool penalises_repetition() const { return repetition_penalty != 1; }
  [[nodiscard]] bool penalises_presence() const { return presence_penalty != 0 || frequency_penalty != 0; }
};

// How to draw a token from one row of logits, as SamplingParams and the state of the sequence say; flat, so that a device can read it.
struct SampleRow {
  // A part of one of the batch's lists.
  struct Part {
    std::int32_t begin = 0, count = 0;
  };
  float temperature = 1, top_p = 1, min_p = 0;
  std::int32_t top_k = 0;
  float repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  std::int32_t logprob_count = -1;
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;       // which of the request's n choices
  std::uint32_t position = 0;     // tokens drawn before; random numbers are keyed by (seed, choice, position)
  std::int32_t pending_row = -1;  // the row of the previous step that draws the token before, if output_counts lacks it; or -1
  Part output_counts{};           // of SampleBatch::counts: tokens drawn so far, sorted by token; may be empty when no penalty needs them
  Part prompt_tokens{};           // of SampleBatch::tokens: distinct ones, sorted; may be empty without a repetition penalty
  Part banned{};                  // of SampleBatch::tokens: never drawn (end tokens before min_tokens)
  Part logit_bias{};              // of SampleBatch::biases
  Part mask{};                    // of SampleBatch::masks: the tokens that the form of the answer allows; empty: it has none
  std::int32_t vocabulary = 0;    // the logits of the row that count, from the first on; 0: all

  [[nodiscard]] bool penalises_repetition() const { return repetition_penalty != 1; }
  [[nodiscard]] bool penalises_presence() const { return presence_penalty != 0 || frequency_penalty != 0; }
};

// The logits of row i that count, for a SampleRow or a ScoreRow.
template <class Row>
[[nodiscard]] std::span<float> logits_of(Tensor logits, std::int64_t i, const Row& row) {
  return {logits.row<float>(i), static_cast<std::size_t>(row.vocabulary > 0 ? row.vocabulary : logits.cols)};
}

// Whether the mask has bit token % 32 of word token / 32. Tokens beyond its words are not allowed.
[[nodiscard]] constexpr bool allows(std::span<const std::uint32_t> mask, TokenId token) {
  const auto index = static_cast<std::size_t>(token);
  return index / 32 < mask.size() && (mask[index / 32] >> (index % 32) & 1u) != 0;
}

// The rows of a step that a token is drawn from.
struct SampleBatch {
  StepArray<SampleRow> rows;
  StepArray<TokenCount> counts;
  StepArray<TokenId> tokens;
  StepArray<TokenBias> biases;
  StepArray<std::uint32_t> masks;
  const TokenResult* previous = nullptr;  // [rows of the previous step] in device memory; read only by rows with a pending token

  [[nodiscard]] SampleBatch from(std::size_t begin, std::size_t count) const {
    return {rows.from(begin, count), counts, tokens, biases, masks, previous};
  }
};

// A row with its lists, as a backend that computes in the host's memory reads it.
struct SampleView {
  const SampleRow& row;
  std::span<const TokenCount> output_counts;
  std::span<const TokenId> prompt_tokens;
  std::span<const TokenId> banned;
  std::span<const TokenBias> logit_bias;
  // Everything else is not drawn, whatever the bans say: where they leave no allowed token, the one of the largest unmodified logit is
  // drawn. If all its bits are zero, none is.
  std::span<const std::uint32_t> mask;
  TokenId pending = -1;  // drawn too, and not in output_counts

  SampleView(const SampleBatch& batch, std::size_t index)
      : row(batch.rows.device[index]),
        output_counts(part_of(batch.counts, row.output_counts)),
        prompt_tokens(part_of(batch.tokens, row.prompt_tokens)),
        banned(part_of(batch.tokens, row.banned)),
        logit_bias(part_of(batch.biases, row.logit_bias)),
        mask(part_of(batch.masks, row.mask)),
        pending(row.pending_row < 0 ? -1 : batch.previous[row.pending_row].id) {}

 private:
  template <class T>
  static std::span<const T> part_of(const StepArray<T>& list, SampleRow::Part part) {
    return {list.device + part.begin, static_cast<std::size_t>(part.count)};
  }
};

// One row of logits to look up the likelihood of a known token in.
struct ScoreRow {
  TokenId token = -1;
  std::int32_t logprob_count = 0;  // of the most likely tokens, in addition to the token's own
  std::int32_t vocabulary = 0;     // as in SampleRow
};

}  // namespace slora
