#include "text/stream_pattern.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace slora {
namespace {

using Place = StreamPattern::Place;

constexpr Place kGrowing{.is_at_start = true, .is_complete = false};

StreamPattern pattern(std::string_view text) { return StreamPattern::compile(text).value(); }

TEST(StreamPattern, FindsTheFirstMatchWithItsGroups) {
  const StreamPattern call = pattern("<f=(?<name>[a-z]+)(?<rest>,.)?>");
  const auto match = call.find("a <f=go> <f=on>", 0, {});
  ASSERT_TRUE(match);
  EXPECT_EQ(match->begin, 2u);
  EXPECT_EQ(match->end, 8u);
  EXPECT_FALSE(match->is_partial);
  EXPECT_EQ(match->groups.size(), 1u) << "the other group took no part";
  EXPECT_EQ(match->groups.at("name"), "go");
  EXPECT_EQ(call.find("a <f=go> <f=on>", 3, {})->groups.at("name"), "on");
  EXPECT_FALSE(call.find("a <f=go> <f=on>", 10, {}));
  EXPECT_TRUE(call.has_group("rest"));
  EXPECT_FALSE(call.has_group("f"));
}

TEST(StreamPattern, SaysWhereAMatchMayHaveBegunWhileTheTextGrows) {
  const StreamPattern mark = pattern("</?think>");
  const auto partial = mark.find("so </th", 0, kGrowing);
  ASSERT_TRUE(partial);
  EXPECT_TRUE(partial->is_partial);
  EXPECT_EQ(partial->begin, 3u);
  EXPECT_FALSE(mark.find("so </th", 0, {})) << "the text is complete";
  EXPECT_FALSE(mark.find("so </thx", 0, kGrowing));
}

TEST(StreamPattern, DoesNotEndAMatchThatMayBecomeLonger) {
  const StreamPattern numbers = pattern("[0-9]+");
  EXPECT_TRUE(numbers.find("a12", 0, kGrowing)->is_partial);
  EXPECT_FALSE(numbers.find("a12", 0, {})->is_partial);
  EXPECT_FALSE(numbers.find("a12b", 0, kGrowing)->is_partial);
}

TEST(StreamPattern, KnowsTheStartOfAnAnswer) {
  const StreamPattern first = pattern("^a");
  EXPECT_TRUE(first.find("ab", 0, {.is_at_start = true}));
  EXPECT_FALSE(first.find("ab", 0, {.is_at_start = false}));
}

TEST(StreamPattern, DotsMatchNewlines) { EXPECT_EQ(pattern("a.b").find("a\nb", 0, {})->end, 3u); }

TEST(StreamPattern, LiteralsAreTakenAsTheyAreAndTheLongestWins) {
  const std::array<std::string, 3> texts = {"[", "[TOOL]", "a.b"};
  const StreamPattern any = StreamPattern::compile_literals(texts).value();
  EXPECT_EQ(any.find("x[TOOL]", 0, {})->end, 7u);
  EXPECT_EQ(any.find("x[T", 0, {})->end, 2u);
  EXPECT_FALSE(any.find("axb", 0, {}));
  EXPECT_TRUE(any.mentions("TOOL"));
  EXPECT_FALSE(any.mentions("b["));
}

TEST(StreamPattern, MatchesThatAreTooLongAreNone) {
  const StreamPattern quoted = pattern("'[^']*'|b");
  const std::string fits(StreamPattern::kMatchBytesMax - 2, 'x'), too_long(StreamPattern::kMatchBytesMax, 'x');
  EXPECT_EQ(quoted.find("'" + fits + "'b", 0, {})->begin, 0u);
  const std::string text = "'" + too_long + "'b";
  EXPECT_EQ(quoted.find(text, 0, {})->begin, text.size() - 1);
}

TEST(StreamPattern, GivesUpWhatBacktracksTooOften) { EXPECT_FALSE(pattern("(a+)+$").find(std::string(200, 'a') + "b", 0, {})); }

TEST(StreamPattern, SaysWhatIsWrongWithAPattern) {
  const auto wrong = StreamPattern::compile("a(b");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, "E_ANSWER_FORMAT");
  EXPECT_NE(wrong.error().message.find("\"a(b\", byte 3"), std::string::npos) << wrong.error().message;
  EXPECT_FALSE(StreamPattern::compile(std::string(9000, 'a')));
  EXPECT_FALSE(StreamPattern::compile("\\C")) << "half a character";
}

}  // namespace
}  // namespace slora
