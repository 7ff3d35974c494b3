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
void truncate(std::vector<TokenId>& tokens, Logits logits, const std::vector<double>& weights, const SamplingParams& params) {
  std::size_t kept = tokens.size();
  while (kept > 1 && weights[kept - 1] < params.min_p) --kept;
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < kept) {
    const float lowest = logit_of(logits, tokens[static_cast<std::size_t>(params.top_k) - 1]);
    while (logit_of(logits, tokens[kept - 1]) < lowest) --kept;
  }
  if (params.top_p < 1) {
    double total = 0;
    for (std::size_t i = 0; i < kept; ++i) total += weights[i];
    double head = weights[0];
    std::size_t length = 1;
    while (length < kept && head < params.top_p * total) head += weights[length++];
    kept = length;
  }
  tokens.resize(kept);
}

TokenId draw(Logits logits, const SampleRow& row) {
  std::vector<TokenId> tokens = ordered_tokens(logits);
  if (tokens.empty()) return -1;
  const SamplingParams& params = *row.params;
  if (params.temperature < kGreedyTemperature) return tokens[0];
  const double highest = logit_of(logits, tokens[0]);
  const auto weight_of = [&](TokenId token) { return std::exp((logit_of(logits, token) - highest) / params.temperature); };
  std::vector<double> weights;
  for (const TokenId token : tokens) weights.push_back(weight_of(token));
  truncate(tokens, logits, weights, params);

  std::sort(tokens.begin(), tokens.end());
  double total = 0;
  for (const TokenId token : tokens) total += weight_of(token);
  const double target = uniform_draw(params.seed, row.choice, row.position) * total;
  double sum = 0;
  for (const TokenId token : tokens) {
    sum += weight_of(token);
    if (sum > target) return token;
  }
  return tokens.back();
}

void sample_row(Token& out, std::span<float> logits, const SampleRow& row) {
  out = Token{};
  if (!make_logits_finite(logits)) return;
  std::vector<float> raw(logits.begin(), logits.end());
  adjust_logits(logits, row);
  out.id = draw(logits, row);
  if (out.id < 0 || row.params->logprob_count < 0) return;
  const double normaliser = log_sum_exp(raw);
  out.logprob = logprob_of(out.id, raw, normaliser);
  out.top = most_likely(raw, normaliser, row.params->logprob_count);
}

}  // namespace

void sample(std::span<Token> out, Tensor logits, std::span<const SampleRow> rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    float* row = logits.row<float>(static_cast<std::int64_t>(i));
    sample_row(out[i], {row, static_cast<std::size_t>(logits.cols)}, rows[i]);
  }
}

}  // namespace slora::reference
