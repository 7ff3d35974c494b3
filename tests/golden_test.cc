// The network against transformers and peft: tests/golden/README.md says what the data is.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "golden_model.h"

namespace slora::testing {
namespace {

class GoldenLogits : public ::testing::TestWithParam<std::tuple<std::string, BackendCase>> {
 protected:
  const std::string model_name_ = std::get<0>(GetParam());
  const BackendCase backend_ = std::get<1>(GetParam());
  Expected expected_{model_name_};
};

TEST_P(GoldenLogits, OfTheBaseEqualTransformers) {
  for (const std::int32_t page_tokens : {2, 4, 16}) {
    GoldenModel model(model_name_, {.backend = backend_.backend, .page_tokens = page_tokens});
    for (const std::string& ids : expected_.names_with("ids.")) {
      const std::string prompt = ids.substr(4);
      if (!expected_.has("logits." + prompt)) continue;
      expect_close(model.run_alone(expected_.tokens(ids)), expected_.floats("logits." + prompt), backend_, "prompt " + prompt);
    }
  }
}

class GoldenAdapters : public GoldenLogits {};

TEST_P(GoldenAdapters, GiveTheLogitsOfPeft) {
  GoldenModel model(model_name_, {.backend = backend_.backend});
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(model_name_) + "/adapters")) {
    const std::string adapter = entry.path().filename().string();
    for (const std::string& name : expected_.names_with("logits." + adapter + ".")) {
      const std::string prompt = name.substr(name.rfind('.') + 1);
      expect_close(model.run_alone(expected_.tokens("ids." + prompt), model.adapter(adapter)), expected_.floats(name), backend_, name);
      ++compared;
    }
    if (expected_.has("logits_tail." + adapter)) {
      expect_close(model.run_alone(expected_.tokens("ids." + adapter), model.adapter(adapter)), expected_.floats("logits_tail." + adapter),
                   backend_, adapter);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0);
}

// The tokens that follow greedily, where the oracle's margin is larger than what rounding may do.
TEST_P(GoldenLogits, LeadToTheSameGreedyTokens) {
  GoldenModel model(model_name_, {.backend = backend_.backend});
  const float margin_min = backend_.exact_arithmetic ? 1e-3f : 0.15f;
  int compared = 0;
  int stream = 0;
  for (const std::string& name : expected_.names_with("greedy.")) {
    const std::string what = name.substr(7);
    const std::size_t dot = what.rfind('.');
    const bool prompt_of_model = dot != std::string::npos || expected_.has("logits." + what);
    const std::string prompt = dot == std::string::npos ? what : what.substr(dot + 1);
    const std::string adapter = dot != std::string::npos ? what.substr(0, dot) : (prompt_of_model ? "" : what);
    const std::vector<TokenId> greedy = expected_.tokens(name);
    const std::vector<float> margin = expected_.floats("margin." + what);
    std::vector<TokenId> next = expected_.tokens("ids." + prompt);
    ++stream;
    for (std::size_t i = 0; i < greedy.size() && margin[i] >= margin_min; ++i) {
      const auto logits = model.run({{stream, next, adapter.empty() ? nullptr : model.adapter(adapter)}});
      const auto likeliest = static_cast<TokenId>(std::ranges::max_element(logits.back()) - logits.back().begin());
      ASSERT_EQ(likeliest, greedy[i]) << name << " token " << i << ", margin " << margin[i];
      next = {likeliest};
      ++compared;
    }
  }
  EXPECT_GT(compared, 0);
}

const auto kBackends = ::testing::Values(BackendCase{"reference", true}, BackendCase{"cpu", false});
const auto kName = [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param).backend; };

INSTANTIATE_TEST_SUITE_P(Models, GoldenLogits,
                         ::testing::Combine(::testing::ValuesIn(golden_models_with("expected.safetensors")), kBackends), kName);
INSTANTIATE_TEST_SUITE_P(Models, GoldenAdapters, ::testing::Combine(::testing::ValuesIn(golden_models_with("adapters")), kBackends), kName);

class MixedBatch : public ::testing::TestWithParam<BackendCase> {};

// At least 32 adapters of ranks 1 to 64 and base rows in one forward pass: each as the oracle has it alone, and base rows exactly
// as in a batch without adapters.
TEST_P(MixedBatch, OfManyAdaptersAndBaseRowsEqualsEachAlone) {
  const Expected expected("mix32");
  GoldenModel model("mix32", {.backend = GetParam().backend});
  std::vector<Piece> pieces;
  std::vector<std::string> names;
  int stream = 0;
  const auto add_base = [&](const std::string& prompt) {
    pieces.push_back({stream++, expected.tokens("ids." + prompt), nullptr});
    names.push_back("base." + prompt);
  };
  add_base("2");
  for (const std::string& tail : expected.names_with("logits_tail.")) {
    const std::string adapter = tail.substr(12);
    pieces.push_back({stream++, expected.tokens("ids." + adapter), model.adapter(adapter)});
    names.push_back(adapter);
    if (stream % 10 == 0) add_base("1");
  }
  add_base("3");
  ASSERT_GE(pieces.size(), 32u + 3u);

  const std::vector<std::vector<float>> rows = model.run(pieces);
  std::size_t row = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::vector<std::vector<float>> own(rows.begin() + static_cast<std::ptrdiff_t>(row),
                                              rows.begin() + static_cast<std::ptrdiff_t>(row + pieces[i].tokens.size()));
    row += pieces[i].tokens.size();
    const bool base = names[i].starts_with("base.");
    expect_close(own, expected.floats(base ? "logits." + names[i].substr(5) : "logits_tail." + names[i]), GetParam(), names[i]);
    EXPECT_EQ(own, model.run_alone(pieces[i].tokens, pieces[i].adapter)) << names[i] << ": the same bits alone as in the batch";
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MixedBatch, kBackends, [](const auto& test) { return std::string(test.param.backend); });

}  // namespace
}  // namespace slora::testing
