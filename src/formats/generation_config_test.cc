#include "formats/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<GenerationConfig> parse(std::string_view generation, std::string_view config) {
  return parse_generation_config(*parse_json(generation), *parse_json(config), 1000);
}

TEST(GenerationConfig, ReadsSeveralEndTokensAndSampling) {
  const Result<GenerationConfig> config = parse(
      R"({"bos_token_id":1,"eos_token_id":[9,7,9],"pad_token_id":0,"do_sample":true,"temperature":0.7,"top_p":0.8,"top_k":20,"min_p":0.1,"repetition_penalty":1.05})",
      R"({"eos_token_id":3})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->eos_token_ids, ElementsAre(3, 7, 9)) << "of both files";
  EXPECT_EQ(config->bos_token_id, 1);
  EXPECT_EQ(config->pad_token_id, 0);
  EXPECT_EQ(config->do_sample, true);
  EXPECT_EQ(config->temperature, 0.7);
  EXPECT_EQ(config->top_p, 0.8);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_EQ(config->min_p, 0.1);
  EXPECT_EQ(config->repetition_penalty, 1.05);
}

TEST(GenerationConfig, FallsBackToTheModelsConfig) {
  const Result<GenerationConfig> config = parse("null", R"({"eos_token_id":3,"bos_token_id":null})");
  ASSERT_TRUE(config);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(3));
  EXPECT_FALSE(config->bos_token_id || config->temperature || config->do_sample);
}

TEST(GenerationConfig, LeavesOutIdsThatCantOccur) {
  const Result<GenerationConfig> config = parse(R"({"eos_token_id":[1000,5],"pad_token_id":-1})", "{}");
  ASSERT_TRUE(config);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(5));
  EXPECT_FALSE(config->pad_token_id);
  EXPECT_THAT(parse("{}", "{}")->eos_token_ids, IsEmpty());
}

TEST(GenerationConfig, RefusesWrongTypesAndRanges) {
  for (const std::string_view text :
       {R"({"eos_token_id":"x"})", R"({"eos_token_id":[1,"x"]})", R"({"eos_token_id":1.5})", R"({"temperature":-1})", R"({"top_p":-0.1})",
        R"({"top_p":1.5})", R"({"top_k":-2})", R"({"top_k":1.5})", R"({"temperature":"warm"})", R"({"min_p":2})",
        R"({"repetition_penalty":0})", R"({"do_sample":1})", "[]"}) {
    EXPECT_FALSE(parse(text, "{}")) << text;
  }
}

TEST(GenerationConfig, StartsWithWhatTransformersAndVllmStartWith) {
  EXPECT_EQ(parse(R"({"top_k":-1})", "{}")->top_k, 0) << "off";
  EXPECT_EQ(parse(R"({"top_k":50.0})", "{}")->top_k, 50);
  const Result<GenerationConfig> greedy = parse(R"({"top_p":0})", "{}");
  ASSERT_TRUE(greedy);
  EXPECT_GT(*greedy->top_p, 0);
  EXPECT_LT(*greedy->top_p, 1e-30);
  const Result<GenerationConfig> text = parse(R"({"temperature":"0.7","top_k":"20"})", "{}");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->temperature, 0.7);
  EXPECT_EQ(text->top_k, 20);
  EXPECT_THAT(text->warnings, ElementsAre(HasSubstr("top_k"), HasSubstr("temperature")));
}

TEST(GenerationConfig, NamesTheFileAndTheKey) {
  for (const char* key : {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "do_sample", "eos_token_id"}) {
    const Result<GenerationConfig> config = parse(fmt::format(R"({{"{}":"x"}})", key), "{}");
    ASSERT_FALSE(config) << key;
    EXPECT_THAT(config.error().message, HasSubstr(fmt::format("generation_config.json: \"{}\"", key)));
  }
  EXPECT_THAT(parse("{}", R"({"eos_token_id":"x"})").error().message, HasSubstr("config.json: \"eos_token_id\""));
}

TEST(GenerationConfig, NeedsNoFileOfItsOwn) {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"eos_token_id":2})");
  EXPECT_THAT(read_generation_config(folder.path(), 10)->eos_token_ids, ElementsAre(2));
  folder.write("generation_config.json", R"({"eos_token_id":[2,4],"top_k":50})");
  EXPECT_THAT(read_generation_config(folder.path(), 10)->eos_token_ids, ElementsAre(2, 4));
  folder.write("generation_config.json", "{");
  EXPECT_EQ(read_generation_config(folder.path(), 10).error().code, "E_BAD_JSON");
}

// The token that the file names, and one by its text.
TEST(GenerationConfig, TakesTheEndTokensOfAGgufFile) {
  const Result<GenerationConfig> config = read_generation_config(source_path("tests/golden/gguf/llama_q4_0/model.gguf"), 96);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->eos_token_ids, ::testing::ElementsAre(94, 95));
  EXPECT_EQ(config->bos_token_id, std::nullopt);
}

}  // namespace
}  // namespace slora
