#include "text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Result<Regex> regex = Regex::compile(pattern);
  if (!regex) return {regex.error().message};
  std::vector<std::string> found;
  const Result<std::vector<TextRange>> ranges = regex->find_all(text);
  if (!ranges) return {ranges.error().message};
  for (const TextRange& match : *ranges) found.push_back(text.substr(match.begin, match.end - match.begin));
  return found;
}

TEST(Regex, ReadsClassesAsOniguruma) {
  EXPECT_THAT(matches(R"(\s)", "a\u180E\u00A0\u2003b"), ElementsAre("\u00A0", "\u2003"));
  EXPECT_THAT(matches(R"([^\s]+)", "a\u180E b"), ElementsAre("a\u180E", "b"));
  EXPECT_THAT(matches(R"(\w+)", "caf\u00E9_1\u00B2-\u24B6"), ElementsAre("caf\u00E9_1\u00B2", "\u24B6"));
  EXPECT_THAT(matches(R"(\W+)", "a-\u2014b"), ElementsAre("-\u2014"));
  EXPECT_THAT(matches(R"(\b\d+\b)", "12 a3 45"), ElementsAre("12", "45"));
  EXPECT_THAT(matches(R"(\h+)", "xFFg"), ElementsAre("FF"));
  EXPECT_THAT(matches(R"([\w-]+)", "a\u00B2b"), ElementsAre("a", "b"));
  EXPECT_THAT(matches(R"([[:punct:]]+)", "a$\u20AC!b"), ElementsAre("$\u20AC!"));
  EXPECT_THAT(matches(R"([^[:alnum:]]+)", "\u0915\u093F7-"), ElementsAre("-"));
  EXPECT_THAT(matches(R"(\p{Han}+)", "\u6F22\u5B57\u3001\u304B"), ElementsAre("\u6F22\u5B57"));
  EXPECT_THAT(matches(R"(^.)", "ab\ncd"), ElementsAre("a", "c"));
}

TEST(Regex, KnowsLettersOfNewerUnicode) {
  EXPECT_THAT(matches(R"(\p{L}+)", "a\U00010D50\uA7CBb"), ElementsAre("a\U00010D50\uA7CBb"));
  EXPECT_THAT(matches(R"(\p{N})", "\U0001CCF5"), ElementsAre("\U0001CCF5"));
  EXPECT_THAT(matches(R"(\p{Han})", "\U00031350"), ElementsAre("\U00031350"));
}

TEST(Regex, FindsEmptyMatchesOncePerPlace) { EXPECT_THAT(matches("x*", "axb"), ElementsAre("", "x", "")); }

TEST(Regex, RepeatsGroupsOverLongTexts) {
  EXPECT_THAT(matches("(?:ab|a)+",
                      [] {
                        std::string text;
                        for (int i = 0; i < 300'000; ++i) text += "ab";
                        return text;
                      }()),
              ElementsAre(::testing::SizeIs(600'000)));
}

TEST(Regex, FailsOnTextsWithUnboundedBacktracking) {
  EXPECT_THAT(matches("(a+)+$", std::string(60, 'a') + "b"), ElementsAre(HasSubstr("more steps")));
}

// Long runs could make a pattern quadratic; published ones split them in one pass.
TEST(Regex, SplitsLongRunsWithPublishedPatternsInOnePass) {
  const std::string gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  const std::string llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  for (const std::string& pattern : {gpt2, llama3}) {
    const Result<Regex> regex = Regex::compile(pattern);
    ASSERT_TRUE(regex.has_value());
    for (const std::string unit : {" ", "a", "1", "\n", " \n", "!", "!\n", "'", "  a", "\u0301", "\u00A0"}) {
      std::string text;
      while (text.size() < 1 << 20) text += unit;
      const Result<std::vector<TextRange>> found = regex->find_all(text);
      ASSERT_TRUE(found.has_value()) << unit;
      EXPECT_EQ(found->back().end, text.size()) << unit;
    }
  }
}

// From each place these look at all of the rest without backtracking, which takes minutes for a megabyte.
TEST(Regex, EndsPatternsThatLookAtTheRestFromEachPlace) {
  for (const char* pattern : {"a*b|a", "a*b|[^b]", "(?=a*b)|a", "a+(?=b)|a"}) {
    const Result<Regex> regex = Regex::compile(pattern);
    ASSERT_TRUE(regex) << pattern;
    EXPECT_TRUE(regex->find_all(std::string(1000, 'a'))) << pattern;
    const Result<std::vector<TextRange>> found = regex->find_all(std::string(1 << 17, 'a'));
    ASSERT_FALSE(found) << pattern;
    EXPECT_EQ(found.error().code, "invalid_request_error");
    EXPECT_THAT(found.error().message, HasSubstr("needs more steps than are allowed")) << pattern;
  }
}

TEST(Regex, RefusesWhatPcre2InterpretsDifferently) {
  EXPECT_THAT(matches(R"([a-z&&[^x]])", "a"), ElementsAre(HasSubstr("intersection")));
  EXPECT_THAT(matches(R"([a[bc]])", "a"), ElementsAre(HasSubstr("class within a class")));
  EXPECT_THAT(matches(R"([[:graph:]])", "a"), ElementsAre(HasSubstr("[:graph:]")));
  EXPECT_THAT(matches(R"((?m:a))", "a"), ElementsAre(HasSubstr("(?m")));
  EXPECT_THAT(matches(R"((*UTF)a)", "a"), ElementsAre(HasSubstr("(*U")));
  EXPECT_THAT(matches(R"(\K)", "a"), ElementsAre(HasSubstr("\\K")));
  EXPECT_THAT(matches("(", "a"), ElementsAre(HasSubstr("parenthesis")));
}

TEST(Regex, MatchesALiteralLiterally) {
  const Result<Regex> regex = Regex::compile_literal("a.b");
  ASSERT_TRUE(regex.has_value());
  EXPECT_EQ(regex->find_all("axb a.b")->size(), 1U);
  EXPECT_EQ(regex->find_all("")->size(), 0U);
}

}  // namespace
}  // namespace slora
