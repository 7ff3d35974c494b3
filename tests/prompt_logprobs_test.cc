// Prompts' log-probabilities, as the engine tells them, against the logits of transformers and peft.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/testing/engine_fixture.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

constexpr std::int32_t kTopCount = 5;

// The oracle's log-probabilities behind one position. [vocab]
std::vector<double> log_softmax(std::span<const float> logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<double> out;
  for (const float logit : logits) out.push_back(static_cast<double>(logit) - std::log(sum));
  return out;
}

class GoldenPromptLogprobs : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  const std::string model_ = std::get<0>(GetParam());
  const std::string backend_ = std::get<1>(GetParam());
  const Expected expected_{model_};
};

// fp32: each within 1e-4 and every rank that rounding can't change; else a relative error within 2e-2 over each prompt.
TEST_P(GoldenPromptLogprobs, EqualThoseOfTransformersAndPeft) {
  const fs::path adapters = kGolden / model_ / "adapters";
  TestEngine engine({.model = model_, .backend = backend_, .adapters = fs::exists(adapters) ? adapters : fs::path()});
  int compared = 0, ranks_compared = 0;
  for (const std::string& name : expected_.names_with("logits.")) {
    const std::size_t dot = name.rfind('.');
    const std::vector<TokenId> prompt = expected_.tokens("ids." + name.substr(dot + 1));
    GenerationRequest request = engine.request(dot == 6 ? "" : name.substr(7, dot - 7), prompt, 1);
    request.sampling.prompt_logprob_count = kTopCount;
    const Stream stream = engine.wait(engine.submit(std::move(request)));
    ASSERT_EQ(stream.prompt_logprobs.size() + 1, prompt.size()) << name << ": " << stream.error_message;

    const std::vector<float> logits = expected_.floats(name);
    const std::size_t vocab = logits.size() / prompt.size();
    double difference = 0, reference = 0;
    for (std::size_t i = 0; i + 1 < prompt.size(); ++i) {
      const std::vector<double> truth = log_softmax(std::span(logits).subspan(i * vocab, vocab));
      const PromptLogprob& found = stream.prompt_logprobs[i];
      const double own = truth[static_cast<std::size_t>(prompt[i + 1])];
      ASSERT_EQ(found.token.id, prompt[i + 1]);
      ASSERT_EQ(std::ssize(found.token.top), kTopCount);
      difference += (found.token.logprob - own) * (found.token.logprob - own);
      reference += own * own;
      ++compared;
      if (backend_ != "reference") continue;
      ASSERT_NEAR(found.token.logprob, own, 1e-4) << name << " token " << i + 1;
      for (const TokenLogprob& top : found.token.top) ASSERT_NEAR(top.logprob, truth[static_cast<std::size_t>(top.token)], 1e-4);
      if (std::ranges::count_if(truth, [&](double other) { return std::abs(other - own) < 2e-4; }) > 1) continue;
      EXPECT_EQ(found.rank, 1 + std::ranges::count_if(truth, [&](double other) { return other > own; })) << name << " token " << i + 1;
      ++ranks_compared;
    }
    EXPECT_LE(std::sqrt(difference), 2e-2 * std::sqrt(reference)) << name;
  }
  EXPECT_GT(compared, 20);
  EXPECT_TRUE(backend_ != "reference" || ranks_compared > compared * 9 / 10) << ranks_compared << " of " << compared;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenPromptLogprobs,
                         ::testing::Combine(::testing::ValuesIn(golden_models_with("expected.safetensors")),
                                            ::testing::Values("reference", "cpu")),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });

}  // namespace
}  // namespace slora::testing
