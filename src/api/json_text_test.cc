#include "api/json_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace slora {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesWhatJsonMustNotHoldAndNothingElse) {
  EXPECT_EQ(json_string("plain \xc3\xa4"), "\"plain \xc3\xa4\"");
  EXPECT_EQ(json_string("a\"b\\c\nd\te\rf"), R"("a\"b\\c\nd\te\rf")");
  EXPECT_EQ(json_string(std::string_view("\x01\x00", 2)), R"("\u0001\u0000")");
}

TEST(JsonText, EveryByteComesBackFromAParser) {
  std::string ascii;
  for (char c = 0; c >= 0 && c < 127; ++c) ascii.push_back(c);
  EXPECT_EQ(nlohmann::json::parse(json_string(ascii)).get<std::string>(), ascii);
}

TEST(JsonText, BrokenUtf8BecomesReplacementCharacters) { EXPECT_EQ(json_string("a\xff"), "\"a\xEF\xBF\xBD\""); }

TEST(JsonText, NumbersAreAlwaysFinite) {
  std::string out;
  append_json_number(out, -1.5);
  EXPECT_EQ(out, "-1.5");
  for (const double value :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    out.clear();
    append_json_number(out, value);
    EXPECT_TRUE(nlohmann::json::accept(out)) << out;
  }
}

}  // namespace
}  // namespace slora
