#include "formats/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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
       {R"({"eos_token_id":"x"})", R"({"eos_token_id":[1,"x"]})", R"({"eos_token_id":1.5})", R"({"temperature":-1})", R"({"top_p":0})",
        R"({"top_p":1.5})", R"({"top_k":-1})", R"({"min_p":2})", R"({"repetition_penalty":0})", R"({"do_sample":1})", "[]"}) {
    EXPECT_FALSE(parse(text, "{}")) << text;
  }
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

}  // namespace
}  // namespace slora
