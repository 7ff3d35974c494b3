#include "text/loose_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "text/json_characters.h"

namespace slora {
namespace {

const JsonDialect kLoose{.unquoted_keys = true, .string_delims = {{"<|\"|>", "<|\"|>"}, {"'''", "'''"}}};

// All at once, and byte by byte: the same.
std::string standard(const std::string& text, const JsonDialect& dialect = kLoose) {
  LooseJson whole(dialect), pieces(dialect);
  std::string at_once = whole.push(text);
  at_once += whole.finish();
  std::string piecewise;
  for (const char c : text) piecewise += pieces.push(std::string_view(&c, 1));
  piecewise += pieces.finish();
  EXPECT_EQ(at_once, piecewise);
  return at_once;
}

TEST(LooseJson, BecomesTheStandard) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{a:1,b_2 : [true,{c:null}]}", R"({"a":1,"b_2" : [true,{"c":null}]})"},
      {R"({"a":"b:c, d","e":1})", R"({"a":"b:c, d","e":1})"},
      {"{a:<|\"|>say \"hi\"\n\\<|\"|>}", R"({"a":"say \"hi\"\n\\"})"},
      {"{a:'''it's'''}", R"({"a":"it's"})"},
      {R"({"a":"\"b:1,c:2"})", R"({"a":"\"b:1,c:2"})"},
      {"{größe:1}", R"({"größe":1})"},
      {"[true, false]", "[true, false]"},
  };
  for (const auto& [loose, expected] : cases) {
    EXPECT_EQ(standard(loose), expected);
    EXPECT_TRUE(Json::accept(standard(loose))) << loose;
  }
}

TEST(LooseJson, LeavesTheStandardAsItIs) {
  const std::string text = "{a: '''b''' }";
  EXPECT_EQ(standard(text, {}), text);
}

TEST(LooseJson, HoldsBackWhatTheNextPieceMayChange) {
  LooseJson json(kLoose);
  EXPECT_EQ(json.push("{ab"), "{");
  EXPECT_EQ(json.push("c "), "");
  EXPECT_EQ(json.push(": ''"), "\"abc\" : ");
  EXPECT_EQ(json.push("'x''"), "\"x");
  EXPECT_EQ(json.push("'}"), "\"}");
  EXPECT_EQ(json.finish(), "");
}

TEST(LooseJson, GivesTheRestOfATextThatIsCutOff) {
  LooseJson json(kLoose);
  EXPECT_EQ(json.push("{a:'''b'"), "{\"a\":\"b");
  EXPECT_EQ(json.finish(), "'");
}

std::string read_text(std::string_view inside) {
  JsonTextReader reader;
  std::string out;
  for (const char c : inside) reader.push(c, out);
  return out;
}

TEST(JsonTextReader, ReadsEscapes) {
  EXPECT_EQ(read_text(R"(a\n\t\"\\\/b)"), "a\n\t\"\\/b");
  EXPECT_EQ(read_text(R"(\u00e9\u20ac)"), "é€");
  EXPECT_EQ(read_text(R"(\ud83d\ude00)"), "😀");
  EXPECT_EQ(read_text(R"(\ud83dx)"), "\xef\xbf\xbdx") << "half a pair";
  EXPECT_EQ(read_text(R"(\ude00x)"), "\xef\xbf\xbdx");
  EXPECT_EQ(read_text(R"(\ud83d\ud83d\ude00)"), "\xef\xbf\xbd😀");
  EXPECT_EQ(read_text(R"(\q\'\u12x)"), R"(\q\'\u12x)") << "JSON does not have these";
}

TEST(JsonTextReader, ReadsBackWhatIsWritten) {
  std::string text = "größe \"a\\b\"\n\t\r";
  for (char c = 0; c < 0x20; ++c) text += c;
  std::string inside;
  append_json_text(inside, text);
  EXPECT_EQ(read_text(inside), text);
  EXPECT_EQ(Json::parse("\"" + inside + "\"").get<std::string>(), text);
}

}  // namespace
}  // namespace slora
