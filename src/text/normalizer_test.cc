#include "text/normalizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::HasSubstr;

std::string normalized(const Json& step, const std::string& text) {
  const Result<Normalizer> normalizer = Normalizer::from_json({{"normalizer", step}});
  if (!normalizer) return normalizer.error().message;
  return normalizer->apply(text).value();
}

Json replace(const Json& pattern, const std::string& content) { return {{"type", "Replace"}, {"pattern", pattern}, {"content", content}}; }

TEST(Normalizer, ReturnsTextsUnchangedWithoutAStep) {
  EXPECT_EQ(normalized(nullptr, " e\u0301 "), " e\u0301 ");
  EXPECT_EQ(normalized({{"type", "Sequence"}, {"normalizers", Json::array()}}, " e\u0301 "), " e\u0301 ");
}

TEST(Normalizer, RewritesAsEachStepSays) {
  EXPECT_EQ(normalized({{"type", "NFC"}}, "e\u0301\uFB01"), "\u00E9\uFB01");
  EXPECT_EQ(normalized({{"type", "NFKC"}}, "e\u0301\uFB01"), "\u00E9fi");
  EXPECT_EQ(normalized({{"type", "NFD"}}, "\u00E9"), "e\u0301");
  EXPECT_EQ(normalized({{"type", "Lowercase"}}, "STRA\u1E9EE"), "stra\u00DFe");
  EXPECT_EQ(normalized({{"type", "Prepend"}, {"prepend", "_"}}, "a"), "_a");
  EXPECT_EQ(normalized({{"type", "Prepend"}, {"prepend", "_"}}, ""), "");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}, "\n\u3000a "), "a ");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}}, " a\u00A0\t"), " a");
  EXPECT_EQ(normalized(replace({{"String", "."}}, "!"), "a.b."), "a!b!");
  EXPECT_EQ(normalized(replace({{"Regex", " {2,}"}}, " "), "a   b c  "), "a b c ");
}

TEST(Normalizer, RunsStepsInTheirOrder) {
  const Json prepend = {{"type", "Prepend"}, {"prepend", " "}};
  const Json meta = replace({{"String", " "}}, "_");
  EXPECT_EQ(normalized({{"type", "Sequence"}, {"normalizers", {prepend, meta}}}, "a b"), "_a_b");
  EXPECT_EQ(normalized({{"type", "Sequence"}, {"normalizers", {meta, prepend}}}, "a b"), " a_b");
}

TEST(Normalizer, RefusesUnsupportedPartsByName) {
  EXPECT_THAT(normalized({{"type", "StripAccents"}}, ""), HasSubstr("normalizer of type \"StripAccents\""));
  EXPECT_THAT(normalized({{"type", "Replace"}, {"content", ""}}, ""), HasSubstr("pattern"));
  EXPECT_THAT(normalized(replace({{"Regex", "("}}, ""), ""), HasSubstr("regular expression"));
  EXPECT_THAT(normalized({{"type", "Strip"}, {"strip_left", true}}, ""), HasSubstr("strip_right"));
}

}  // namespace
}  // namespace slora
