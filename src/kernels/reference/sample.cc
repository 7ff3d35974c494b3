#include "kernels/reference/sample.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/logprobs.h"

namespace slora::reference {
namespace {

using Logits = std::span<const float>;

float logit_of(Logits logits, TokenId token) { return logits[static_cast<std::size_t>(token)]; }

// Shortens `tokens`, sorted by likelihood, to those that min-p, top-k and top-p keep. weights [tokens].
void truncate(std::vector<TokenId>& tokens, Logits logits, const std::vector<double>& weights, const SampleRow& row) {
  std::size_t kept = tokens.size();
  while (kept > 1 && weights[kept - 1] < row.min_p) --kept;
  if (row.top_k > 0 && static_cast<std::size_t>(row.top_k) < kept) {
    const float lowest = logit_of(logits, tokens[static_cast<std::size_t>(row.top_k) - 1]);
    while (logit_of(logits, tokens[kept - 1]) < lowest) --kept;
  }
  if (row.top_p < 1) {
    double total = 0;
    for (std::size_t i = 0; i < kept; ++i) total += weights[i];
    double head = weights[0];
    std::size_t length = 1;
    while (length < kept && head < row.top_p * total) head += weights[length++];
    kept = length;
  }
  tokens.resize(kept);
}

TokenId draw(Logits logits, const SampleRow& row) {
  std::vector<TokenId> tokens = ordered_tokens(logits);
  if (tokens.empty()) return -1;
  if (row.temperature < kGreedyTemperature) return tokens[0];
  const double highest = logit_of(logits, tokens[0]);
  const auto weight_of = [&](TokenId token) { return std::exp((logit_of(logits, token) - highest) / row.temperature); };
  std::vector<double> weights;
  for (const TokenId token : tokens) weights.push_back(weight_of(token));
  truncate(tokens, logits, weights, row);

  std::sort(tokens.begin(), tokens.end());
  double total = 0;
  for (const TokenId token : tokens) total += weight_of(token);
  const double target = uniform_draw(row.seed, row.choice, row.position) * total;
  double sum = 0;
  for (const TokenId token : tokens) {
    sum += weight_of(token);
    if (sum > target) return token;
  }
  return tokens.back();
}

void sample_row(TokenResult& out, std::span<float> logits, const SampleView& view) {
  out = TokenResult{};
  if (!make_logits_finite(logits)) return;
  std::vector<float> raw(logits.begin(), logits.end());
  adjust_logits(logits, view);
  out.id = draw(logits, view.row);
  if (out.id < 0 && !view.mask.empty()) out.id = last_allowed_token(raw, view.mask);
  if (out.id < 0 || view.row.logprob_count < 0) return;
  const double normaliser = log_sum_exp(raw);
  out.logprob = logprob_of(out.id, raw, normaliser);
  set_most_likely(out, raw, normaliser, view.row.logprob_count);
}

}  // namespace

void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const SampleView view(batch, i);
    sample_row(out[i], logits_of(logits, static_cast<std::int64_t>(i), view.row), view);
  }
}

}  // namespace slora::reference
