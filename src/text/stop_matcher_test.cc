#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace slora {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::size_t> stop;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces, StopText stop_text = StopText::exclude) {
  StopMatcher matcher(stops, stop_text);
  Outcome out;
  for (const std::string& piece : pieces) {
    StopMatcher::Output output = matcher.push(piece);
    out.text += output.text;
    out.stop = output.stop;
    if (out.stop) return out;
  }
  out.text += matcher.finish();
  return out;
}

TEST(StopMatcher, FindsAStopStringAcrossPieces) {
  EXPECT_EQ(run({"END"}, {"one E", "N", "D two"}), (Outcome{"one ", 0}));
  EXPECT_EQ(run({"END"}, {"one E", "N", "D two"}, StopText::include), (Outcome{"one END", 0}));
  EXPECT_EQ(run({"x", "END"}, {"one E", "N", "d"}), (Outcome{"one ENd", std::nullopt}));
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopMatcher matcher({"\n\n"}, StopText::exclude);
  EXPECT_EQ(matcher.push("a\n").text, "a");
  EXPECT_EQ(matcher.push("b").text, "\nb");
  EXPECT_EQ(matcher.push("\n").text, "");
  EXPECT_EQ(matcher.finish(), "\n");
}

TEST(StopMatcher, FindsAStopStringThatOverlapsAFalseStart) {
  EXPECT_EQ(run({"aab"}, {"aa", "aab"}), (Outcome{"aa", 0}));
  EXPECT_EQ(run({"abac"}, {"ab", "ab", "ac"}), (Outcome{"ab", 0}));
}

TEST(StopMatcher, TakesTheMatchThatEndsFirstAndOfThoseTheLongest) {
  EXPECT_EQ(run({"longer stop", "er"}, {"a longer stop"}), (Outcome{"a long", 1}));
  EXPECT_EQ(run({"b", "ab"}, {"xab"}), (Outcome{"x", 1}));
}

TEST(StopMatcher, PassesEverythingWithoutStopStrings) { EXPECT_EQ(run({}, {"a", "b"}), (Outcome{"ab", std::nullopt})); }

// For every division into pieces the result equals that of a search in the whole text.
TEST(StopMatcher, DoesNotDependOnWhereTheTextIsCut) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto word = [&](std::size_t length) {
      std::string text(length, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 2);
      return text;
    };
    std::vector<std::string> stops(1 + random() % 3);
    for (std::string& stop : stops) stop = word(1 + random() % 5);
    const std::string text = word(random() % 30);

    Outcome expected{text, std::nullopt};
    for (std::size_t end = 1; end <= text.size() && !expected.stop; ++end) {
      for (std::size_t i = 0; i < stops.size(); ++i) {
        if (!text.substr(0, end).ends_with(stops[i])) continue;
        if (expected.stop && stops[i].size() <= stops[*expected.stop].size()) continue;
        expected = {text.substr(0, end - stops[i].size()), i};
      }
    }
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      pieces.push_back(text.substr(at, 1 + random() % 4));
      at += pieces.back().size();
    }
    EXPECT_EQ(run(stops, pieces), expected);
  }
}

}  // namespace
}  // namespace slora
