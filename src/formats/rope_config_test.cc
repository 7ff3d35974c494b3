#include "formats/rope_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> warnings_of(std::string_view text) {
  std::vector<std::string> warnings;
  EXPECT_TRUE(parse_rope_config(warnings, *parse_json(text), 1024)) << text;
  return warnings;
}
Result<RopeConfig> parse(std::string_view text) {
  std::vector<std::string> ignored;
  return parse_rope_config(ignored, *parse_json(text), 1024);
}
std::string refusal(std::string_view text) {
  const Result<RopeConfig> rope = parse(text);
  return rope ? "accepted" : rope.error().code + ": " + rope.error().message;
}

TEST(RopeConfig, HasTheReferencesDefaults) {
  const RopeConfig rope = *parse("{}");
  EXPECT_EQ(rope.kind, RopeKind::default_);
  EXPECT_EQ(rope.theta, 10000.0);
  EXPECT_EQ(parse(R"({"rope_theta":5e5,"rope_scaling":null})")->theta, 5e5);
}

TEST(RopeConfig, ReadsBothForms) {
  for (const std::string_view text : {R"({"rope_theta":5e5,"rope_scaling":{"type":"linear","factor":4}})",
                                      R"({"rope_theta":5e5,"rope_scaling":{"rope_type":"linear","type":"linear","factor":4.0}})",
                                      R"({"rope_parameters":{"rope_theta":5e5,"rope_type":"linear","factor":4.0}})"}) {
    const Result<RopeConfig> rope = parse(text);
    ASSERT_TRUE(rope) << rope.error().message;
    EXPECT_EQ(rope->kind, RopeKind::linear);
    EXPECT_EQ(rope->theta, 5e5);
    EXPECT_EQ(rope->factor, 4.0);
  }
}

TEST(RopeConfig, ReadsLlama3) {
  const RopeConfig rope = *parse(
      R"({"rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":256}})");
  EXPECT_EQ(rope.kind, RopeKind::llama3);
  EXPECT_EQ(rope.original_max_position, 256);
  EXPECT_EQ(rope.factor, 32.0);
  EXPECT_EQ(rope.high_freq_factor, 4.0);
  EXPECT_THAT(refusal(R"({"rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0}})"), HasSubstr("high_freq_factor"));
  EXPECT_THAT(refusal(R"({"rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":4.0,"high_freq_factor":4.0}})"),
              HasSubstr("a number above 4"));
}

TEST(RopeConfig, ReadsYarnAndFillsItsDefaults) {
  const RopeConfig plain = *parse(R"({"rope_scaling":{"type":"yarn","factor":4.0}})");
  EXPECT_EQ(plain.original_max_position, 1024);
  EXPECT_EQ(plain.factor, 4.0);
  EXPECT_EQ(plain.beta_fast, 32.0);
  EXPECT_EQ(plain.beta_slow, 1.0);
  EXPECT_TRUE(plain.truncate);
  EXPECT_FALSE(plain.attention_factor);

  const RopeConfig full =
      *parse(R"({"rope_parameters":{"rope_type":"yarn","factor":null,"original_max_position_embeddings":256,"beta_fast":16,
      "beta_slow":0,"truncate":false,"mscale":1.0,"mscale_all_dim":0.5,"attention_factor":1.2}})");
  EXPECT_EQ(full.factor, 4.0) << "the ratio of lengths where no factor is given";
  EXPECT_EQ(full.beta_fast, 16.0);
  EXPECT_EQ(full.beta_slow, 1.0) << "0 counts as not given";
  EXPECT_FALSE(full.truncate);
  EXPECT_EQ(full.mscale, 1.0);
  EXPECT_EQ(full.mscale_all_dim, 0.5);
  EXPECT_EQ(full.attention_factor, 1.2);
}

TEST(RopeConfig, TakesTheLengthBesideTheParametersFirst) {
  const RopeConfig rope = *parse(
      R"({"original_max_position_embeddings":128,"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":256}})");
  EXPECT_EQ(rope.original_max_position, 128);
}

TEST(RopeConfig, ReadsDynamic) {
  const RopeConfig rope = *parse(R"({"rope_scaling":{"type":"dynamic","factor":2.0,"original_max_position_embeddings":256}})");
  EXPECT_EQ(rope.kind, RopeKind::dynamic);
  EXPECT_EQ(rope.original_max_position, 1024) << "the reference looks at the model's length only";
}

TEST(RopeConfig, RefusesWhatIsNotServed) {
  EXPECT_THAT(refusal(R"({"rope_scaling":{"type":"longrope","factor":2}})"), HasSubstr("E_UNSUPPORTED_MODEL"));
  EXPECT_THAT(refusal(R"({"rope_scaling":{"type":"su"}})"), HasSubstr("found \"su\""));
  EXPECT_THAT(refusal(R"({"rope_scaling":{"type":"default","mrope_section":[1,2]}})"), HasSubstr("mrope_section"));
  EXPECT_THAT(refusal(R"({"partial_rotary_factor":0.5})"), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(refusal(R"({"rope_parameters":{"partial_rotary_factor":0.5}})"), HasSubstr("partial_rotary_factor"));
  EXPECT_EQ(refusal(R"({"partial_rotary_factor":1.0})"), "accepted");
  EXPECT_THAT(refusal(R"({"rope_parameters":{"full_attention":{"rope_type":"default"}}})"), HasSubstr("full_attention"));
}

TEST(RopeConfig, LeavesOutWhatTransformersLeavesOut) {
  EXPECT_THAT(warnings_of(R"({"rope_scaling":{"type":"yarn","factor":4,"finetuned":true,"max_position_embeddings":4096}})"), IsEmpty());
  EXPECT_THAT(warnings_of(R"({"rope_scaling":{"type":"yarn","factor":4,"attn_factor":1.0,"extrapolation_factor":1}})"), IsEmpty());
  EXPECT_THAT(warnings_of(R"({"rope_scaling":{"type":"yarn","factor":4,"note":"made by hand"}})"), ElementsAre(HasSubstr("\"note\"")));
  EXPECT_THAT(warnings_of(R"({"rope_scaling":{"type":"default","factor":8.0}})"), ElementsAre(HasSubstr("type default does not use it")));
  EXPECT_THAT(warnings_of(R"({"rope_scaling":{"type":"linear","factor":8.0,"low_freq_factor":2}})"),
              ElementsAre(HasSubstr("low_freq_factor")));
}

TEST(RopeConfig, RefusesUnknownKeysThatSuggestAnotherRotation) {
  for (const char* key : {"alpha", "attn_factor", "mrope_interleaved", "base_local", "short_factor", "scale_type", "ntk_by_parts"}) {
    EXPECT_THAT(refusal(fmt::format(R"({{"rope_scaling":{{"type":"yarn","factor":4,"{}":2}}}})", key)), HasSubstr("E_UNSUPPORTED_MODEL"))
        << key;
  }
}

TEST(RopeConfig, RefusesImpossibleNumbers) {
  for (const std::string_view text :
       {R"({"rope_theta":0})", R"({"rope_theta":-1})", R"({"rope_theta":"x"})", R"({"rope_scaling":{"type":"linear"}})",
        R"({"rope_scaling":{"type":"linear","factor":0}})", R"({"rope_scaling":[1]})",
        R"({"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":0}})",
        R"({"rope_scaling":{"type":"yarn","factor":2,"attention_factor":-1}})",
        R"({"rope_scaling":{"type":"yarn","factor":2,"beta_fast":-0.5}})"}) {
    EXPECT_NE(refusal(text), "accepted") << text;
  }
}

}  // namespace
}  // namespace slora
