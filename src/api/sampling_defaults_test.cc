#include "api/sampling_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

SamplingParams defaults_of_a_model() {
  GenerationConfig config;
  config.eos_token_ids = {3, 4};
  config.temperature = 0.5;
  config.top_k = 20;
  return sampling_defaults(config);
}

TEST(SamplingDefaults, FillWhatTheClientDidNotGive) {
  RequestSpec spec;
  spec.given.top_k = 7;
  spec.given.min_p = 0.25F;
  apply_sampling_defaults(spec, defaults_of_a_model());
  EXPECT_EQ(spec.sampling.temperature, 0.5F);
  EXPECT_EQ(spec.sampling.top_k, 7);
  EXPECT_EQ(spec.sampling.min_p, 0.25F);
  EXPECT_EQ(spec.sampling.top_p, 1.0F) << "neither the client nor the model says anything";
  EXPECT_THAT(spec.sampling.end_tokens, ElementsAre(3, 4));
}

TEST(SamplingDefaults, AreLaidOverThoseOfTheBaseFieldByField) {
  GenerationConfig base, over;
  base.eos_token_ids = {9};
  base.temperature = 0.7;
  base.top_k = 20;
  over.eos_token_ids = {5, 9};
  over.temperature = 0.2;
  over.min_p = 0.1;
  const GenerationConfig both = overlay(base, over);
  EXPECT_THAT(both.eos_token_ids, ElementsAre(5, 9));
  EXPECT_EQ(both.temperature, 0.2);
  EXPECT_EQ(both.top_k, 20);
  EXPECT_EQ(both.min_p, 0.1);
  EXPECT_FALSE(both.top_p);
}

TEST(SamplingDefaults, TakeBothWaysOfSayingAllTokens) {
  for (const std::int32_t all : {0, -1}) {
    RequestSpec spec;
    spec.given.top_k = all;
    apply_sampling_defaults(spec, defaults_of_a_model());
    EXPECT_EQ(spec.sampling.top_k, 0);
  }
}

TEST(SamplingDefaults, EndAnswersAtTheModelsTokensAndTheClients) {
  RequestSpec spec;
  spec.output.stop_token_ids = {9, 3};
  apply_sampling_defaults(spec, defaults_of_a_model());
  EXPECT_THAT(spec.sampling.end_tokens, ElementsAre(3, 4, 9));
}

TEST(SamplingDefaults, EndOnlyAtTheClientsTokensWithIgnoreEos) {
  RequestSpec spec;
  spec.output.ignore_eos = true;
  spec.output.stop_token_ids = {9};
  apply_sampling_defaults(spec, defaults_of_a_model());
  EXPECT_THAT(spec.sampling.end_tokens, ElementsAre(9));
}

TEST(SamplingDefaults, EndNothingWhereOnlyThePromptIsScored) {
  RequestSpec spec;
  spec.output.max_tokens = 0;
  spec.output.stop_token_ids = {9};
  apply_sampling_defaults(spec, defaults_of_a_model());
  EXPECT_THAT(spec.sampling.end_tokens, IsEmpty());
}

}  // namespace
}  // namespace slora
