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
void penalise_repetition(std::span<float> logits, const SampleView& view) {
  const float penalty = view.row.repetition_penalty;
  bool is_pending_done = view.pending < 0;
  const auto penalise = [&](TokenId token) {
    is_pending_done |= token == view.pending;
    float& logit = logit_of(logits, token);
    logit = logit > 0 ? logit / penalty : logit * penalty;
  };
  const std::span<const TokenCount> counts = view.output_counts;
  std::size_t next = 0;
  for (const TokenId token : view.prompt_tokens) {
    for (; next < counts.size() && counts[next].token < token; ++next) penalise(counts[next].token);
    if (next < counts.size() && counts[next].token == token) ++next;
    penalise(token);
  }
  for (; next < counts.size(); ++next) penalise(counts[next].token);
  if (!is_pending_done) penalise(view.pending);
}

void penalise_presence(std::span<float> logits, const SampleView& view) {
  bool is_pending_done = view.pending < 0;
  const auto penalise = [&](TokenId token, std::int32_t count) {
    const bool is_pending = token == view.pending;
    is_pending_done |= is_pending;
    const auto times = static_cast<float>(is_pending ? count + 1 : count);
    logit_of(logits, token) -= view.row.presence_penalty + view.row.frequency_penalty * times;
  };
  for (const TokenCount& output : view.output_counts) penalise(output.token, output.count);
  if (!is_pending_done) penalise(view.pending, 0);
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

bool adjusts_logits(const SampleView& view) {
  return view.row.penalises_repetition() || view.row.penalises_presence() || !view.logit_bias.empty() || !view.banned.empty() ||
         !view.mask.empty();
}

void adjust_logits(std::span<float> logits, const SampleView& view) {
  adjust_before_mask(logits, view);
  if (view.mask.empty()) return;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!allows(view.mask, static_cast<TokenId>(i))) logits[i] = -kInfinity;
}

TokenId last_allowed_token(std::span<const float> raw, std::span<const std::uint32_t> mask) {
  TokenId best = -1;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    if (allows(mask, token) && (best < 0 || raw[i] > raw[static_cast<std::size_t>(best)])) best = token;
  }
  return best;
}

void adjust_before_mask(std::span<float> logits, const SampleView& view) {
  for (const TokenBias& bias : view.logit_bias) logit_of(logits, bias.token) += bias.bias;
  if (view.row.penalises_repetition()) penalise_repetition(logits, view);
  if (view.row.penalises_presence()) penalise_presence(logits, view);
  for (const TokenId token : view.banned) logit_of(logits, token) = -kInfinity;
}

double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position) {
  const std::uint64_t counter = static_cast<std::uint64_t>(choice) << 32 | position;
  return static_cast<double>(mix(mix(seed) ^ counter) >> 11) * 0x1p-53;
}

}  // namespace slora::reference
