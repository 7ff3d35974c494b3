#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing/engine_fixture.h"

namespace slora::testing {

// Requests of every kind, the same for a seed.
class RandomRequests {
 public:
  explicit RandomRequests(std::uint64_t seed) : random_(seed) {}

  std::vector<GenerationRequest> make(TestEngine& engine) {
    const std::vector<std::string> adapters = adapter_names();
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 14; ++i) {
      const std::string adapter = one_in(3) ? "" : adapters[below(adapters.size())];
      GenerationRequest request = engine.request(adapter, prompt(), static_cast<std::int32_t>(1 + below(16)));
      SamplingParams& sampling = request.sampling;
      sampling.logprob_count = static_cast<std::int32_t>(below(4)) - 1;
      if (one_in(2)) sampling.temperature = 0.9f;
      if (one_in(3)) sampling.top_p = 0.8f;
      if (one_in(3)) sampling.repetition_penalty = 1.3f;
      if (one_in(3)) sampling.frequency_penalty = 0.4f;
      if (one_in(4)) sampling.presence_penalty = 0.3f;
      if (one_in(4)) sampling.logit_bias = {{token(), 2.0f}, {token(), -3.0f}};
      if (one_in(4)) sampling.prompt_logprob_count = static_cast<std::int32_t>(below(3));
      if (one_in(2)) {
        for (int k = 0; k < 10; ++k) sampling.end_tokens.push_back(token());
        sampling.min_tokens = static_cast<std::int32_t>(below(4));
      }
      sampling.seed = random_();
      requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  std::size_t below(std::size_t end) { return random_() % end; }
  bool one_in(std::size_t count) { return below(count) == 0; }
  TokenId token() { return static_cast<TokenId>(1 + below(90)); }
  std::vector<TokenId> prompt() {
    std::vector<TokenId> tokens;
    if (one_in(2)) tokens = {7, 14, 21, 28, 35, 42, 49, 56, 63};  // shared by several
    for (std::size_t i = 1 + below(20); i > 0; --i) tokens.push_back(token());
    return tokens;
  }

  std::mt19937_64 random_;
};

}  // namespace slora::testing
