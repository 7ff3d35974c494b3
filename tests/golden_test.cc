// The network against transformers and peft: tests/golden/README.md says what the data is.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

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

// Prompts of the base and of each adapter in one forward pass: each as the oracle has it, and with the bits that it has alone.
TEST_P(GoldenAdapters, AndTheBaseInOneBatchEqualEachAlone) {
  struct Row {
    std::string name;
    std::vector<TokenId> tokens;
    const AdapterView* adapter;
  };
  GoldenModel model(model_name_, {.backend = backend_.backend});
  std::vector<Row> all;
  for (const std::string& name : expected_.names_with("logits.")) {
    const std::string what = name.substr(7), prompt = what.substr(what.rfind('.') + 1);
    const bool is_of_base = prompt == what;
    if (!expected_.has("ids." + prompt)) continue;
    all.push_back({name, expected_.tokens("ids." + prompt), is_of_base ? nullptr : model.adapter(what.substr(0, what.rfind('.')))});
  }
  ASSERT_GT(all.size(), 1u);
  std::vector<Piece> pieces;
  for (const Row& row : all) pieces.push_back({static_cast<int>(pieces.size()), row.tokens, row.adapter});
  const std::vector<std::vector<float>> rows = model.run(pieces);
  auto begin = rows.begin();
  for (const Row& row : all) {
    const std::vector<std::vector<float>> own(begin, begin + std::ssize(row.tokens));
    begin += std::ssize(row.tokens);
    expect_close(own, expected_.floats(row.name), backend_, row.name);
    EXPECT_EQ(own, model.run_alone(row.tokens, row.adapter)) << row.name << ": other bits than alone";
  }
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

// A prompt of one adapter, or of the base, and the oracle's logits of its last positions.
struct Prompt {
  std::string name;
  std::vector<TokenId> tokens;
  const AdapterView* adapter = nullptr;
  std::vector<float> expected;
};

class MixedBatch : public GoldenLogits {
 protected:
  // Of all adapters whose vectors fit in a page, and of the base between them.
  [[nodiscard]] std::vector<Prompt> prompts(GoldenModel& model) const {
    std::vector<Prompt> prompts;
    const auto add_base = [&](const std::string& prompt) {
      prompts.push_back({"base " + prompt, expected_.tokens("ids." + prompt), nullptr, expected_.floats("logits." + prompt)});
    };
    add_base("2");
    for (const std::string& tail : expected_.names_with("logits_tail.")) {
      const std::string name = tail.substr(12);
      const AdapterView* const adapter = model.adapter_if_it_fits(name);
      if (adapter == nullptr) continue;
      prompts.push_back({name, expected_.tokens("ids." + name), adapter, expected_.floats(tail)});
      if (prompts.size() % 10 == 0) add_base("1");
    }
    add_base("3");
    return prompts;
  }
  [[nodiscard]] std::ptrdiff_t adapter_count() const { return std::ssize(expected_.names_with("logits_tail.")); }

  // Fails unless each prompt has the oracle's logits, and the same bits as alone.
  void expect_as_alone(GoldenModel& model, const std::vector<Prompt>& prompts, const std::vector<std::vector<std::vector<float>>>& logits) {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      expect_close(logits[i], prompts[i].expected, backend_, prompts[i].name);
      EXPECT_EQ(logits[i], model.run_alone(prompts[i].tokens, prompts[i].adapter)) << prompts[i].name << ": other bits than alone";
    }
  }
};

// Adapters of ranks 1 to 64, or of all families, and base rows in one forward pass: each as the oracle has it alone, and base rows exactly
// as in a batch without adapters.
TEST_P(MixedBatch, OfManyAdaptersAndBaseRowsEqualsEachAlone) {
  GoldenModel model(model_name_, {.backend = backend_.backend});
  const std::vector<Prompt> all = prompts(model);
  ASSERT_GE(std::ssize(all), adapter_count() + 3);
  ASSERT_GE(adapter_count(), 29);
  std::vector<Piece> pieces;
  for (const Prompt& prompt : all) pieces.push_back({static_cast<int>(pieces.size()), prompt.tokens, prompt.adapter});
  const std::vector<std::vector<float>> rows = model.run(pieces);
  std::vector<std::vector<std::vector<float>>> logits;
  auto row = rows.begin();
  for (const Prompt& prompt : all) {
    logits.emplace_back(row, row + std::ssize(prompt.tokens));
    row += std::ssize(prompt.tokens);
  }
  expect_as_alone(model, all, logits);
}

// One to three tokens of each prompt at a time, in an order that changes with every pass, and pages so small that matrices lie in many and
// rows are split.
TEST_P(MixedBatch, OfInterleavedTokensAndSmallPagesEqualsEachAlone) {
  for (std::int32_t page_tokens : {1, 2, 4}) {
    if (model_name_ == "mix32") page_tokens *= 2;  // whose pages must hold a column block
    SCOPED_TRACE(std::to_string(page_tokens) + " tokens to a page");
    GoldenModel model(model_name_, {.backend = backend_.backend, .page_tokens = page_tokens});
    const std::vector<Prompt> fitting = prompts(model);
    ASSERT_GE(std::ssize(fitting), page_tokens >= 4 ? adapter_count() + 3 : adapter_count() / 4);
    std::mt19937 random(11);
    std::vector<std::vector<std::vector<float>>> logits(fitting.size());
    while (true) {
      std::vector<Piece> pieces;
      for (std::size_t i = 0; i < fitting.size(); ++i) {
        const auto begin = fitting[i].tokens.begin() + std::ssize(logits[i]);
        const auto count = std::min<std::ptrdiff_t>(1 + random() % 3, fitting[i].tokens.end() - begin);
        if (count > 0) pieces.push_back({static_cast<int>(i), {begin, begin + count}, fitting[i].adapter});
      }
      if (pieces.empty()) break;
      std::ranges::shuffle(pieces, random);
      const std::vector<std::vector<float>> rows = model.run(pieces);
      auto row = rows.begin();
      for (const Piece& piece : pieces) {
        std::vector<std::vector<float>>& own = logits[static_cast<std::size_t>(piece.stream)];
        own.insert(own.end(), row, row + std::ssize(piece.tokens));
        row += std::ssize(piece.tokens);
      }
    }
    expect_as_alone(model, fitting, logits);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MixedBatch, ::testing::Combine(::testing::Values("mix32", "families"), kBackends), kName);

}  // namespace
}  // namespace slora::testing
