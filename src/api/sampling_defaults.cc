#include "api/sampling_defaults.h"

#include <algorithm>
#include <type_traits>

namespace slora {

void add_end_tokens(GenerationConfig& config, std::span<const TokenId> tokens) {
  std::vector<TokenId>& ends = config.eos_token_ids;
  ends.insert(ends.end(), tokens.begin(), tokens.end());
  std::ranges::sort(ends);
  ends.erase(std::ranges::unique(ends).begin(), ends.end());
}

GenerationConfig overlay(const GenerationConfig& config, const GenerationConfig& over) {
  GenerationConfig result = config;
  const auto take = [](auto& field, const auto& other) {
    if (other) field = other;
  };
  take(result.bos_token_id, over.bos_token_id);
  take(result.pad_token_id, over.pad_token_id);
  take(result.do_sample, over.do_sample);
  take(result.temperature, over.temperature);
  take(result.top_p, over.top_p);
  take(result.top_k, over.top_k);
  take(result.min_p, over.min_p);
  take(result.repetition_penalty, over.repetition_penalty);
  add_end_tokens(result, over.eos_token_ids);
  return result;
}

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
