#include "kernels/reference/adjust_logits.h"

#include <cmath>
#include <limits>

#include "base/check.h"

namespace slora::reference {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float& logit_of(std::span<float> logits, TokenId token) {
  check(token >= 0 && static_cast<std::size_t>(token) < logits.size(), "expected a token of the vocabulary");
  return logits[static_cast<std::size_t>(token)];
}

// Penalises every token of the prompt or the output once, by merging the two sorted lists.
void penalise_repetition(std::span<float> logits, const SampleRow& row) {
  const float penalty = row.params->repetition_penalty;
  const auto penalise = [&](TokenId token) {
    float& logit = logit_of(logits, token);
    logit = logit > 0 ? logit / penalty : logit * penalty;
  };
  std::size_t next = 0;
  for (const TokenId token : row.prompt_tokens) {
    for (; next < row.output_counts.size() && row.output_counts[next].token < token; ++next) penalise(row.output_counts[next].token);
    if (next < row.output_counts.size() && row.output_counts[next].token == token) ++next;
    penalise(token);
  }
  for (; next < row.output_counts.size(); ++next) penalise(row.output_counts[next].token);
}

// The finaliser of splitmix64: a bijection in which every input bit changes half of the output bits.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

bool make_logits_finite(std::span<float> logits) {
  bool any_finite = false, any_nan = false;
  for (float& logit : logits) {
    any_finite |= std::isfinite(logit);
    any_nan |= std::isnan(logit);
    if (logit == kInfinity) logit = std::numeric_limits<float>::max();
  }
  return any_finite && !any_nan;
}

bool adjusts_logits(const SampleRow& row) {
  const SamplingParams& params = *row.params;
  return params.penalises_repetition() || params.penalises_presence() || !params.logit_bias.empty() || !row.banned.empty();
}

void adjust_logits(std::span<float> logits, const SampleRow& row) {
  const SamplingParams& params = *row.params;
  for (const TokenBias& bias : params.logit_bias) logit_of(logits, bias.token) += bias.bias;
  if (params.penalises_repetition()) penalise_repetition(logits, row);
  if (params.penalises_presence()) {
    for (const TokenCount& output : row.output_counts) {
      logit_of(logits, output.token) -= params.presence_penalty + params.frequency_penalty * static_cast<float>(output.count);
    }
  }
  for (const TokenId token : row.banned) logit_of(logits, token) = -kInfinity;
}

double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position) {
  const std::uint64_t counter = static_cast<std::uint64_t>(choice) << 32 | position;
  return static_cast<double>(mix(mix(seed) ^ counter) >> 11) * 0x1p-53;
}

}  // namespace slora::reference
