#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

Words cut(const Json& step, const std::string& text) {
  const Result<PreTokenizer> pre_tokenizer = PreTokenizer::from_json({{"pre_tokenizer", step}});
  if (!pre_tokenizer) return {pre_tokenizer.error().message};
  CutText whole{text, {{0, text.size()}}, true};
  EXPECT_TRUE(pre_tokenizer->apply(whole).has_value());
  Words words;
  for (const TextRange& piece : whole.pieces) words.emplace_back(whole.piece(piece));
  return words;
}

Json split(const Json& pattern, const std::string& behavior, bool invert) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
}

Json metaspace(const std::string& scheme, bool split) {
  return {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}, {"split", split}};
}

// All expected words were produced by `tokenizers` 0.23.
TEST(PreTokenizer, TreatsMatchesAsTheBehaviorSays) {
  const auto cut_at_dashes = [](const std::string& behavior, bool invert) {
    return cut(split({{"String", "-"}}, behavior, invert), "the-final--countdown");
  };
  EXPECT_EQ(cut_at_dashes("Removed", false), (Words{"the", "final", "countdown"}));
  EXPECT_EQ(cut_at_dashes("Isolated", false), (Words{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(cut_at_dashes("MergedWithPrevious", false), (Words{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(cut_at_dashes("MergedWithNext", false), (Words{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(cut_at_dashes("Contiguous", false), (Words{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(cut_at_dashes("Removed", true), (Words{"-", "-", "-"}));
  EXPECT_EQ(cut_at_dashes("MergedWithPrevious", true), (Words{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(cut_at_dashes("MergedWithNext", true), (Words{"the-", "final-", "-", "countdown"}));
  EXPECT_THAT(cut_at_dashes("Mixed", false), ElementsAre(HasSubstr("\"Mixed\"")));
}

TEST(PreTokenizer, LetsEmptyMatchesDecideWhatIsJoined) {
  EXPECT_THAT(cut(split({{"Regex", "x*"}}, "Isolated", false), "axxb"), ElementsAre("a", "xx", "b"));
  EXPECT_THAT(cut(split({{"Regex", "x*"}}, "MergedWithNext", false), "axxb"), ElementsAre("a", "xxb"));
}

TEST(PreTokenizer, SplitsAtClassesOfCharacters) {
  EXPECT_THAT(cut({{"type", "Digits"}, {"individual_digits", false}}, "a12½b3"), ElementsAre("a", "12½", "b", "3"));
  EXPECT_THAT(cut({{"type", "Digits"}, {"individual_digits", true}}, "a12½b3"), ElementsAre("a", "1", "2", "½", "b", "3"));
  EXPECT_THAT(cut({{"type", "Punctuation"}}, "a!?b"), ElementsAre("a", "!", "?", "b"));
  EXPECT_THAT(cut({{"type", "Punctuation"}, {"behavior", "Contiguous"}}, "a!?b"), ElementsAre("a", "!?", "b"));
  EXPECT_THAT(cut({{"type", "Whitespace"}}, "Hey you, it's 1²"), ElementsAre("Hey", "you", ",", "it", "'", "s", "1", "²"));
  EXPECT_THAT(cut({{"type", "WhitespaceSplit"}}, " Hey  you\u00A0x"), ElementsAre("Hey", "you", "x"));
}

TEST(PreTokenizer, WritesSpacesAsMetaspaces) {
  const Json digits = {{"type", "Digits"}};
  const auto after_digits = [&](const std::string& scheme) {
    return cut({{"type", "Sequence"}, {"pretokenizers", {digits, metaspace(scheme, true)}}}, "a1 b");
  };
  EXPECT_THAT(cut(metaspace("always", true), "Hey  you"), ElementsAre("_Hey", "_", "_you"));
  EXPECT_THAT(cut(metaspace("always", false), "Hey  you"), ElementsAre("_Hey__you"));
  EXPECT_THAT(cut(metaspace("never", true), "Hey  you"), ElementsAre("Hey", "_", "_you"));
  EXPECT_THAT(after_digits("always"), ElementsAre("_a", "_1", "_b"));
  EXPECT_THAT(after_digits("first"), ElementsAre("_a", "1", "_b"));
  EXPECT_THAT(after_digits("never"), ElementsAre("a", "1", "_b"));
}

TEST(PreTokenizer, WritesBytesAsCharacters) {
  EXPECT_THAT(cut({{"type", "ByteLevel"}, {"add_prefix_space", true}}, "Hey it's é"), ElementsAre("ĠHey", "Ġit", "'s", "ĠÃ©"));
  EXPECT_THAT(cut({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}, "Hey it's é"), ElementsAre("HeyĠit'sĠÃ©"));
}

}  // namespace
}  // namespace slora
