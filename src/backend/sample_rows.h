#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/sampling.h"

namespace slora {

// What a token is drawn by, as the host holds it. Everything is borrowed.
struct SampleSource {
  const SamplingParams* params = nullptr;  // never null
  std::uint32_t choice = 0;
  std::uint32_t position = 0;
  std::int32_t pending_row = -1;
  std::span<const TokenCount> output_counts{};
  std::span<const TokenId> prompt_tokens{};
  std::span<const TokenId> banned{};
  std::int32_t vocabulary = 0;  // as in SampleRow
};

// Flattens sources to the rows of a batch. Its owner uses it again for later steps: it keeps its memory.
class SampleRows {
 public:
  void clear() {
    rows_.clear();
    counts_.clear();
    tokens_.clear();
    biases_.clear();
  }
  // Memory for this many counts, so that later steps allocate none.
  void reserve_counts(std::size_t count) { counts_.reserve(count); }
  void add(const SampleSource& source) {
    const SamplingParams& params = *source.params;
    rows_.push_back({.temperature = params.temperature,
                     .top_p = params.top_p,
                     .min_p = params.min_p,
                     .top_k = params.top_k,
                     .repetition_penalty = params.repetition_penalty,
                     .presence_penalty = params.presence_penalty,
                     .frequency_penalty = params.frequency_penalty,
                     .logprob_count = params.logprob_count,
                     .seed = params.seed,
                     .choice = source.choice,
                     .position = source.position,
                     .pending_row = source.pending_row,
                     .output_counts = append(counts_, source.output_counts),
                     .prompt_tokens = append(tokens_, source.prompt_tokens),
                     .banned = append(tokens_, source.banned),
                     .logit_bias = append(biases_, std::span<const TokenBias>(params.logit_bias)),
                     .vocabulary = source.vocabulary});
  }

  // Adds greedy rows, of which nobody reads the results.
  void pad(std::size_t count) { rows_.resize(count, SampleRow{.temperature = 0}); }

  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  // Valid until the next change.
  [[nodiscard]] SampleBatch batch() const { return {rows_, counts_, tokens_, biases_, nullptr}; }

 private:
  template <class T>
  static SampleRow::Part append(std::vector<T>& list, std::span<const T> part) {
    const SampleRow::Part added{static_cast<std::int32_t>(list.size()), static_cast<std::int32_t>(part.size())};
    list.insert(list.end(), part.begin(), part.end());
    return added;
  }

  std::vector<SampleRow> rows_;
  std::vector<TokenCount> counts_;
  std::vector<TokenId> tokens_;
  std::vector<TokenBias> biases_;
};

}  // namespace slora
