#include "formats/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

constexpr std::string_view kPath = "model.layers.10.self_attn.q_proj";

bool matches(std::string_view key, std::string_view path = kPath) {
  const Result<ModulePattern> pattern = ModulePattern::compile(key);
  EXPECT_TRUE(pattern) << key;
  const Result<bool> found = pattern->matches(path);
  EXPECT_TRUE(found) << key;
  return found && *found;
}

bool is_refused(std::string_view key) {
  const Result<ModulePattern> pattern = ModulePattern::compile(key);
  return !pattern && pattern.error().code == "E_PATTERN";
}

TEST(ModulePattern, MatchesWholeComponentsFromTheEnd) {
  EXPECT_TRUE(matches("q_proj"));
  EXPECT_TRUE(matches("self_attn.q_proj"));
  EXPECT_TRUE(matches(kPath));
  EXPECT_TRUE(matches("10.self_attn.q_proj"));
  EXPECT_FALSE(matches("proj"));
  EXPECT_FALSE(matches("0.self_attn.q_proj"));
  EXPECT_FALSE(matches("self_attn"));
  EXPECT_FALSE(matches("x.model.layers.10.self_attn.q_proj"));
}

TEST(ModulePattern, TakesADotForAnyCharacter) {
  EXPECT_TRUE(matches("self.attn.q.proj"));
  EXPECT_TRUE(matches(".attn.q_proj", "a.xattn.q_proj"));
  EXPECT_FALSE(matches("self_attn_q_proj", "self_attn.q_proj"));
}

TEST(ModulePattern, ReadsExpressionsAsPythonDoes) {
  EXPECT_TRUE(matches(R"(layers\.1[0-9]\..*_proj)"));
  EXPECT_FALSE(matches(R"(layers\.1[2-9]\..*_proj)"));
  EXPECT_TRUE(matches("q_proj|k_proj"));
  EXPECT_TRUE(matches("(?:q|k)_proj"));
  EXPECT_TRUE(matches(R"(.*\.q_proj)"));
  EXPECT_TRUE(matches("^model.*q_proj"));
  EXPECT_FALSE(matches("^layers.*q_proj"));
  EXPECT_TRUE(matches(R"(layers\.(?!9\.)\d+\.self_attn\.(?P<which>[qv])_proj)"));
  EXPECT_TRUE(matches(R"(q(?=_)_proj$)"));
  EXPECT_TRUE(matches(R"([^]x]_proj)"));
  EXPECT_TRUE(matches("a)|(.*proj")) << "the key stands in a group as text, so this is a choice";
}

TEST(ModulePattern, RefusesWhatPythonReadsOtherwise) {
  for (const std::string_view key :
       {R"(\Kx)", R"(\p{L})",    R"(\Q.\E)",     R"(\v)", R"(\Z)",     "(?<name>x)", "(?R)",      "(?1)", "(?|a|b)", "(*ACCEPT)", "(?i)x",
        "(?C1)x", "[[:alpha:]]", "[a[:digit:]]", "x{,2}", "(?(1)a|b)", "\\",         "(?P>name)", "?R",   "?|a|b",   "*ACCEPT",   "?"}) {
    EXPECT_TRUE(is_refused(key)) << key;
  }
}

TEST(ModulePattern, RefusesWhatIsNoExpression) {
  for (const std::string_view key : {"(", "*x", "[", "a**", "", "((((a{500}b){500}c){500}d){500}e){500}"})
    EXPECT_TRUE(is_refused(key)) << key;
  EXPECT_TRUE(is_refused(std::string(513, 'a')));
}

TEST(ModulePattern, GivesUpOnExpressionsThatExplode) {
  const Result<ModulePattern> pattern = ModulePattern::compile("(a+)+[bc]");
  ASSERT_TRUE(pattern);
  const Result<bool> found = pattern->matches(std::string(60, 'a'));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "E_PATTERN");
}

TEST(ModulePattern, RefusesPathsThatAreNone) {
  const Result<ModulePattern> pattern = ModulePattern::compile("q_proj");
  EXPECT_FALSE(pattern->matches("model\nq_proj"));
  EXPECT_FALSE(pattern->matches("mod\xc3\xa9l.q_proj"));
  EXPECT_FALSE(pattern->matches(std::string(513, 'a')));
}

}  // namespace
}  // namespace slora
