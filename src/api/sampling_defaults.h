#pragma once
#include <span>

#include "api/request_spec.h"
#include "formats/generation_config.h"
#include "ops/sampling.h"

namespace slora {

// `config` with the fields that `over` sets replaced; with the end tokens of both.
[[nodiscard]] GenerationConfig overlay(const GenerationConfig& config, const GenerationConfig& over);
// Keeps them sorted, without repeats.
void add_end_tokens(GenerationConfig& config, std::span<const TokenId> tokens);

// How requests are sampled that leave it to the model: the parameters of its generation_config.json. All its end tokens are in
// `end_tokens`.
[[nodiscard]] SamplingParams sampling_defaults(const GenerationConfig& config);

// Completes `spec.sampling` with the defaults of the model that the request is for: parameters that the client did not give, and the tokens
// that end its answers.
void apply_sampling_defaults(RequestSpec& spec, const SamplingParams& defaults);

}  // namespace slora
