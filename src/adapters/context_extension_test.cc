#include "adapters/context_extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/lora_fixture.h"
#include "formats/json.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class FindContextExtension : public ::testing::Test {
 protected:
  FindContextExtension() { base_.max_position_embeddings = 4096; }

  // `keys`: members of the adapter's config besides those of LoRA.
  [[nodiscard]] Result<std::optional<ContextExtension>> find(const std::string& keys) const {
    const std::string config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6)" + (keys.empty() ? "" : ", " + keys) + "}";
    Result<AdapterConfig> parsed = parse_adapter_config(*parse_json(config));
    if (!parsed) return tl::unexpected(parsed.error());
    return find_context_extension(*Folder::open(folder_.path()), *parsed, base_, positions_max_);
  }
  void expect(const std::string& keys, double factor, std::int32_t tokens_max) const {
    const auto found = find(keys);
    ASSERT_TRUE(found) << keys << ": " << found.error().message;
    ASSERT_TRUE(*found) << keys;
    EXPECT_EQ((*found)->factor, factor) << keys;
    EXPECT_EQ((*found)->tokens_max, tokens_max) << keys;
  }
  void expect_none(const std::string& keys) const {
    const auto found = find(keys);
    ASSERT_TRUE(found) << keys << ": " << found.error().message;
    EXPECT_FALSE(*found) << keys;
  }
  [[nodiscard]] std::string refusal(const std::string& keys) const {
    const auto found = find(keys);
    return found ? "accepted" : found.error().code + ": " + found.error().message;
  }

  TemporaryFolder folder_;
  ModuleTable base_ = test_modules();
  std::int64_t positions_max_ = 1 << 20;
};

constexpr const char* kTwo = R"("rope_scaling": {"rope_type": "linear", "factor": 2})";

TEST_F(FindContextExtension, ReadsTheFactorOfTheConfigInBothSpellings) {
  expect_none("");
  expect_none(R"("rope_scaling": null, "context_length": null)");
  expect(kTwo, 2, 8192);
  expect(R"("rope_scaling": {"type": "linear", "factor": 2.5})", 2.5, 10240);
  expect_none(R"("rope_scaling": {"type": "linear", "factor": 1})");
  expect(R"("rope_scaling": {"type": "linear", "factor": 2}, "context_length": 6000)", 2, 6000);
}

TEST_F(FindContextExtension, TakesTheFactorThatALengthNeeds) {
  expect(R"("context_length": 8192)", 2, 8192);
  expect(R"("context_length": 8193)", 3, 8193);
  expect(R"("max_position_embeddings": 32768)", 8, 32768);
  expect_none(R"("context_length": 4096)");
  expect_none(R"("max_position_embeddings": 2048)");
}

TEST_F(FindContextExtension, MultipliesTheFactorOfABaseThatHasOne) {
  base_.rope.kind = RopeKind::linear;
  base_.rope.factor = 4;
  expect(kTwo, 8, 32768);
  expect(R"("context_length": 32768)", 8, 32768);
  expect_none(R"("context_length": 16384)");
}

TEST_F(FindContextExtension, ReadsAConfigOfTheWholeModelInItsFolder) {
  write_text(folder_.file("config.json"), R"({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 8.0}})");
  expect("", 8, 32768);
  expect(kTwo, 2, 8192);  // the adapter's own key comes first
  base_.rope.kind = RopeKind::linear;
  base_.rope.factor = 4;
  expect("", 8, 32768);  // replaces the base's
  base_.rope.factor = 16;
  EXPECT_THAT(refusal(""), HasSubstr("from 16 to"));
}

TEST_F(FindContextExtension, LeavesOutACopyOfTheBasesConfig) {
  write_text(folder_.file("config.json"), R"({"rope_theta": 5e5, "max_position_embeddings": 8192})");
  expect_none("");
  write_text(folder_.file("config.json"), R"({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})");
  expect_none("");
  write_text(folder_.file("config.json"), R"({"rope_scaling": {"type": "linear", "factor": 4}})");
  base_.rope.kind = RopeKind::linear;
  base_.rope.factor = 4;
  expect_none("");
  const std::string llama3 = R"({"max_position_embeddings": 4096, "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3",
    "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256}})";
  write_text(folder_.file("config.json"), llama3);
  EXPECT_THAT(refusal(""), HasSubstr("E_ROPE: config.json: expected linear RoPE or the base's (linear), found llama3"));
  std::vector<std::string> warnings;
  base_.rope = *parse_rope_config(warnings, *parse_json(llama3), 4096);
  expect_none("");
}

TEST_F(FindContextExtension, RefusesWhatIsNotServed) {
  base_.rope.kind = RopeKind::llama3;
  EXPECT_THAT(refusal(kTwo), HasSubstr("found llama3"));
  base_.rope = RopeConfig();
  positions_max_ = 0;
  EXPECT_THAT(refusal(kTwo), HasSubstr("E_ROPE: this server serves no adapters with a RoPE factor: start it with --max-adapter-len"));
  expect_none("");
  write_text(folder_.file("config.json"), R"({"rope_theta": 2e4, "rope_scaling": {"type": "linear", "factor": 2}})");
  EXPECT_THAT(refusal(""), HasSubstr("\"rope_theta\" 10000, found 20000"));
  write_text(folder_.file("config.json"), "[]");
  EXPECT_THAT(refusal(""), HasSubstr("E_BAD_JSON: config.json: expected an object"));
}

TEST_F(FindContextExtension, IsLimitedToThePositionsThatTheServerHas) {
  positions_max_ = 5000;
  expect(kTwo, 2, 5000);
}

}  // namespace
}  // namespace slora
