// Adapters of other programs' forms give the logits of the PEFT folders that they were made of, bit by bit: tests/golden/README.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "adapters/adapter_conversion.h"
#include "formats/json.h"
#include "formats/model_config.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;

// All but the one whose positions are scaled, which no folder of tests/golden has: adapters_test compares its numbers.
std::vector<std::string> names_of_foreign() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden_folder("foreign"))) names.push_back(entry.path().filename().string());
  std::erase(names, "long_lora");
  std::ranges::sort(names);
  return names;
}

class ForeignLogits : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] std::vector<std::vector<float>> logits_of(const std::string& folder) const {
    GoldenModel model(model_, {.backend = "reference"});
    return model.run_alone(Expected(model_).tokens(prompt_), folder.empty() ? nullptr : model.adapter(folder));
  }

  const std::string folder_ = golden_folder("foreign/" + GetParam());
  const Json expected_ = read_json_file(folder_ + "/expected.json").value();
  const std::string model_ = expected_["model"].get<std::string>();
  const std::string peft_ = golden_folder(expected_["peft"].get<std::string>());
  const std::string prompt_ = "ids.2";
};

TEST_P(ForeignLogits, AreThoseOfThePeftFolder) {
  const std::vector<std::vector<float>> logits = logits_of(peft_);
  EXPECT_NE(logits, logits_of("")) << "the adapter changes nothing";
  const ModuleTable base = make_module_table(read_model_config(golden_folder(model_)).value());
  const TemporaryFolder root;
  const Result<Conversion> made = convert_adapter({.folder = folder_, .out = root.file("out"), .base = &base});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(logits_of(root.file("out")), logits);
  if (fs::exists(folder_ + "/adapter_model.bin") || fs::exists(folder_ + "/adapter_0.pt")) return;
  EXPECT_EQ(logits_of(folder_), logits) << "loaded without a conversion before";
}

INSTANTIATE_TEST_SUITE_P(Forms, ForeignLogits, ::testing::ValuesIn(names_of_foreign()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace slora::testing
