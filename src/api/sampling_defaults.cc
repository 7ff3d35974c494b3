#include "api/sampling_defaults.h"

#include <algorithm>
#include <type_traits>

namespace slora {

SamplingParams sampling_defaults(const GenerationConfig& config) {
  const auto set = [](auto& value, const auto& given) {
    if (given) value = static_cast<std::remove_reference_t<decltype(value)>>(*given);
  };
  SamplingParams sampling;
  set(sampling.temperature, config.temperature);
  set(sampling.top_p, config.top_p);
  set(sampling.top_k, config.top_k);
  set(sampling.min_p, config.min_p);
  set(sampling.repetition_penalty, config.repetition_penalty);
  sampling.end_tokens = config.eos_token_ids;
  return sampling;
}

void apply_sampling_defaults(RequestSpec& spec, const SamplingParams& defaults) {
  SamplingParams& sampling = spec.sampling;
  const GivenSampling& given = spec.given;
  sampling.temperature = given.temperature.value_or(defaults.temperature);
  sampling.top_p = given.top_p.value_or(defaults.top_p);
  sampling.top_k = std::max(given.top_k.value_or(defaults.top_k), 0);
  sampling.min_p = given.min_p.value_or(defaults.min_p);
  sampling.repetition_penalty = given.repetition_penalty.value_or(defaults.repetition_penalty);

  if (spec.output.scores_only()) return;
  if (!spec.output.ignore_eos) sampling.end_tokens = defaults.end_tokens;
  for (const TokenId token : spec.output.stop_token_ids) {
    if (std::ranges::find(sampling.end_tokens, token) == sampling.end_tokens.end()) sampling.end_tokens.push_back(token);
  }
}

}  // namespace slora
