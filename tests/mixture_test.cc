// Mixtures of experts: adapters of experts and others in one batch, and models whose files and configs contradict each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "golden_model.h"
#include "model/weights.h"

namespace slora::testing {
namespace {

using ::testing::HasSubstr;

// A prompt of one adapter, or of the base, and what transformers makes of it.
struct MixturePrompt {
  std::string name;
  std::vector<TokenId> tokens;
  const AdapterView* adapter = nullptr;
  std::vector<float> expected;
};

class MixtureBatch : public ::testing::TestWithParam<std::tuple<std::string, BackendCase>> {
 protected:
  const std::string model_name_ = std::get<0>(GetParam());
  const BackendCase backend_ = std::get<1>(GetParam());

  [[nodiscard]] std::vector<MixturePrompt> prompts(GoldenModel& model) const {
    const Expected expected(model_name_);
    std::vector<MixturePrompt> out;
    for (const std::string& prompt : std::vector<std::string>{"1", "2", "3"}) {
      out.push_back({"base " + prompt, expected.tokens("ids." + prompt), nullptr, expected.floats("logits." + prompt)});
      if (prompt == "3") continue;
      for (const auto& entry : std::filesystem::directory_iterator(golden_folder(model_name_) + "/adapters")) {
        const std::string adapter = entry.path().filename().string();
        out.push_back(
            {adapter, expected.tokens("ids." + prompt), model.adapter(adapter), expected.floats("logits." + adapter + "." + prompt)});
      }
    }
    return out;
  }
};

// One to three tokens of each prompt at a time, in an order that changes with every pass.
TEST_P(MixtureBatch, OfAdaptersOfExpertsAndOthersEqualsEachAlone) {
  GoldenModel model(model_name_, {.backend = backend_.backend, .threads = 2});
  const std::vector<MixturePrompt> all = prompts(model);
  ASSERT_GE(all.size(), 7u);
  std::mt19937 random(5);
  std::vector<std::vector<std::vector<float>>> logits(all.size());
  while (true) {
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto begin = all[i].tokens.begin() + std::ssize(logits[i]);
      const auto count = std::min<std::ptrdiff_t>(1 + random() % 3, all[i].tokens.end() - begin);
      if (count > 0) pieces.push_back({static_cast<int>(i), {begin, begin + count}, all[i].adapter});
    }
    if (pieces.empty()) break;
    std::ranges::shuffle(pieces, random);
    auto rows = model.run(pieces);
    auto row = rows.begin();
    for (const Piece& piece : pieces) {
      auto& own = logits[static_cast<std::size_t>(piece.stream)];
      own.insert(own.end(), row, row + std::ssize(piece.tokens));
      row += std::ssize(piece.tokens);
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    expect_close(logits[i], all[i].expected, backend_, all[i].name);
    EXPECT_EQ(logits[i], model.run_alone(all[i].tokens, all[i].adapter)) << all[i].name << ": other bits than alone";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MixtureBatch,
                         ::testing::Combine(::testing::Values("mixtral", "qwen2_moe", "qwen3_moe"),
                                            ::testing::Values(BackendCase{"reference", true}, BackendCase{"cpu", false})),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param).backend; });

std::string refusal_of(ModelFolder& folder) {
  const Status checked = check_weights(folder.files, folder.config);
  return checked ? "accepted" : checked.error().code + ": " + checked.error().message;
}

TEST(MixtureFiles, ThatHaveOtherExpertsThanTheConfigAreRefused) {
  const auto refusal = [](const char* name, auto change) {
    Result<ModelFolder> folder = open_model_folder(golden_folder(name));
    check(folder.has_value(), "golden data that loads");
    change(folder->config.mixture);
    return refusal_of(*folder);
  };
  EXPECT_EQ(refusal("mixtral", [](MixtureConfig&) {}), "accepted");
  EXPECT_THAT(refusal("mixtral", [](MixtureConfig& mixture) { ++mixture.expert_count; }),
              ::testing::AllOf(HasSubstr("E_MISSING_TENSOR"), HasSubstr("model.layers.0.block_sparse_moe.experts.5.w1.weight")));
  EXPECT_THAT(refusal("mixtral", [](MixtureConfig& mixture) { --mixture.expert_count; }),
              ::testing::AllOf(HasSubstr("E_SHAPE"), HasSubstr("model.layers.0.block_sparse_moe.gate.weight")));
  EXPECT_THAT(refusal("qwen2_moe", [](MixtureConfig& mixture) { mixture.expert_width += 4; }),
              ::testing::AllOf(HasSubstr("E_SHAPE"), HasSubstr("model.layers.0.mlp.experts.0.down_proj.weight")));
  EXPECT_THAT(refusal("qwen3_moe", [](MixtureConfig& mixture) { mixture.layers[0] = true; }),
              ::testing::AllOf(HasSubstr("E_MISSING_TENSOR"), HasSubstr("model.layers.0.mlp.experts.0.down_proj.weight")));
}

}  // namespace
}  // namespace slora::testing
