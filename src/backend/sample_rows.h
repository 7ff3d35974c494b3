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
  std::size_t mask_words = 0;   // of its mask, which mask_of() takes; 0: it has none
};

// Flattens sources to the rows of a batch. Its owner uses it again for later steps: it keeps its memory.
class SampleRows {
 public:
  void clear() {
    rows_.clear();
    counts_.clear();
    tokens_.clear();
    biases_.clear();
    masks_.clear();
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
                     .mask = append_mask(source.mask_words),
                     .vocabulary = source.vocabulary});
  }

  // Where to write the mask of a row, until the next change. It allows nothing at first.
  [[nodiscard]] std::span<std::uint32_t> mask_of(std::size_t row) {
    const SampleRow::Part part = rows_[row].mask;
    return std::span(masks_).subspan(static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.count));
  }

  // Adds greedy rows, of which nobody reads the results, and words that belong to no row.
  void pad(std::size_t count, std::size_t mask_words) {
    rows_.resize(count, SampleRow{.temperature = 0});
    masks_.resize(mask_words);
  }

  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  // Valid until the next change.
  [[nodiscard]] SampleBatch batch() const { return {rows_, counts_, tokens_, biases_, masks_, nullptr}; }

 private:
  template <class T>
  static SampleRow::Part append(std::vector<T>& list, std::span<const T> part) {
    const SampleRow::Part added{static_cast<std::int32_t>(list.size()), static_cast<std::int32_t>(part.size())};
    list.insert(list.end(), part.begin(), part.end());
    return added;
  }
  SampleRow::Part append_mask(std::size_t word_count) {
    const SampleRow::Part added{static_cast<std::int32_t>(masks_.size()), static_cast<std::int32_t>(word_count)};
    masks_.resize(masks_.size() + word_count);
    return added;
  }

  std::vector<SampleRow> rows_;
  std::vector<TokenCount> counts_;
  std::vector<TokenId> tokens_;
  std::vector<TokenBias> biases_;
  std::vector<std::uint32_t> masks_;
};

}  // namespace slora
