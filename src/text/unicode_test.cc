#include "text/unicode.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Unicode, ComposesAndDecomposes) {
  EXPECT_EQ(to_unicode_form("e\u0301", UnicodeForm::nfc), "\u00E9");
  EXPECT_EQ(to_unicode_form("\u00E9", UnicodeForm::nfd), "e\u0301");
  EXPECT_EQ(to_unicode_form("\uFB01\u00B2", UnicodeForm::nfc), "\uFB01\u00B2");
  EXPECT_EQ(to_unicode_form("\uFB01\u00B2", UnicodeForm::nfkc), "fi2");
  EXPECT_EQ(to_unicode_form("\u1100\u1161\u11A8", UnicodeForm::nfc), "\uAC01");
  EXPECT_EQ(to_unicode_form("\uAC01", UnicodeForm::nfkd), "\u1100\u1161\u11A8");
}

TEST(Unicode, SortsMarksByCombiningClass) {
  EXPECT_EQ(to_unicode_form("a\u0301\u0323", UnicodeForm::nfd), "a\u0323\u0301");
  EXPECT_EQ(to_unicode_form("a\u0301\u0323", UnicodeForm::nfc), "\u1EA1\u0301");
  EXPECT_EQ(to_unicode_form("a\u0301\u0300", UnicodeForm::nfd), "a\u0301\u0300");  // equal classes keep their order
}

TEST(Unicode, SortsLongRunsOfMarksInTime) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += "\u0301\u0323";
  EXPECT_EQ(to_unicode_form(text, UnicodeForm::nfd).substr(0, 5), "a\u0323\u0323");
}

TEST(Unicode, KnowsWhiteSpaceAsRustDoes) {
  for (const char32_t c : U"\t\n\v\f\r \u0085\u00A0\u1680\u2000\u200A\u2028\u2029\u202F\u205F\u3000") {
    EXPECT_TRUE(is_white_space(c) || c == 0) << static_cast<unsigned>(c);
  }
  for (const char32_t c : {0x180EU, 0x200BU, 0xFEFFU, 0x1CU}) EXPECT_FALSE(is_white_space(c)) << static_cast<unsigned>(c);
}

TEST(Unicode, KnowsWordsNumbersAndPunctuation) {
  EXPECT_TRUE(is_word(U'_') && is_word(U'\u00E9') && is_word(U'\u0301') && is_word(U'\u24B6') && is_word(U'\u200D'));
  EXPECT_FALSE(is_word(U'-') || is_word(U'\u00B2'));
  EXPECT_TRUE(is_numeric(U'7') && is_numeric(U'\u00BD') && is_numeric(U'\u2167'));
  EXPECT_TRUE(is_punctuation(U'$') && is_punctuation(U'\u3002'));
  EXPECT_FALSE(is_punctuation(U'\u20AC'));
  EXPECT_TRUE(is_punctuation(U'\u166D'));   // a symbol since Unicode 12, which is newer than the reference's version
  EXPECT_FALSE(is_punctuation(U'\u2E43'));  // punctuation since Unicode 9
}

TEST(Unicode, LowersCharacterByCharacter) { EXPECT_EQ(to_lower_case("\u0130A\u03A3"), "i\u0307a\u03C3"); }

}  // namespace
}  // namespace slora
