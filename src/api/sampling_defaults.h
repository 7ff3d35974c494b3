#pragma once
#include "api/request_spec.h"
#include "formats/generation_config.h"
#include "ops/sampling.h"

namespace slora {

// How requests are sampled that leave it to the model: the parameters of its generation_config.json. All its end tokens are in
// `end_tokens`.
[[nodiscard]] SamplingParams sampling_defaults(const GenerationConfig& config);

// Completes `spec.sampling` with the defaults of the model that the request is for: parameters that the client did not give, and the tokens
// that end its answers.
void apply_sampling_defaults(RequestSpec& spec, const SamplingParams& defaults);

}  // namespace slora
