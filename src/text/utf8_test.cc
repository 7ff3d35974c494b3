#include "text/utf8.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Utf8, ReadsBackEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_TRUE(is_valid_utf8(text));
    ASSERT_EQ(first_code_point(text).value, c);
    ASSERT_EQ(last_code_point("x" + text).value, c);
    ASSERT_EQ(first_code_point(text).bytes, text.size());
  }
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndTooLargeValues) {
  for (const char* bytes :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5", "\x80", "\xFF"}) {
    EXPECT_FALSE(is_valid_utf8(bytes));
  }
}

// The numbers of replacement characters that the Unicode Standard recommends (3.9, table 3-8 and following).
TEST(Utf8, ReplacesTheLongestImpossiblePart) {
  EXPECT_EQ(to_valid_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                          "b\x80"
                          "c\x80\xBF"
                          "d"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(to_valid_utf8("a\xE2\x82"), "a\uFFFD");
}

TEST(Utf8, KeepsTheStartOfACharacterPending) {
  std::string pending = "a\xE2\x82";
  std::string out;
  move_valid_utf8(pending, out);
  EXPECT_EQ(out, "a");
  pending += "\xAC";
  move_valid_utf8(pending, out);
  EXPECT_EQ(out, "a\u20AC");
  EXPECT_TRUE(pending.empty());
}

}  // namespace
}  // namespace slora
