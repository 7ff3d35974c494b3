#include "formats/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  const Result<Json> json = parse_json(text, limits);
  return json ? "accepted" : json.error().code + ": " + json.error().message;
}

TEST(Json, KeepsTheOrderOfKeys) {
  const Result<Json> json = parse_json(R"({"z":1,"a":{"y":2,"b":3},"m":[true,null,-4,2.5,"x"]})");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->dump(), R"({"z":1,"a":{"y":2,"b":3},"m":[true,null,-4,2.5,"x"]})");
}

TEST(Json, ReadsScalarsAndEmptyContainers) {
  for (const std::string_view text : {"1", "null", "\"\"", "[]", "{}", " [ ] "}) EXPECT_EQ(refusal(text), "accepted") << text;
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_THAT(refusal(R"({"a":1,"b":2,"a":3})"), HasSubstr("E_BAD_JSON: line 1, byte 19: the key \"a\" stands twice"));
  EXPECT_THAT(refusal(R"([{"x":{"k":1,"\u006b":2}}])"), HasSubstr("stands twice"));
  EXPECT_EQ(refusal(R"({"a":{"b":1},"b":{"a":1}})"), "accepted");
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const std::string_view text :
       {"", "{", "[1,]", "{\"a\":}", "{'a':1}", "[1] 2", "// c\n1", "NaN", "Infinity", "01", "\"\\x\"", "\"\n\"", "[1 2]"}) {
    EXPECT_THAT(refusal(text), HasSubstr("E_BAD_JSON")) << text;
  }
}

TEST(Json, NamesLineAndExpectation) {
  const std::string message = refusal("{\n\"a\": 1,\n\"b\" 2}");
  EXPECT_THAT(message, HasSubstr("line 3"));
  EXPECT_THAT(message, HasSubstr("expected ':'"));
}

TEST(Json, RefusesBadUtf8AndLoneSurrogates) {
  for (const std::string_view text :
       {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", R"("\ud800")", R"("\udc00x")"}) {
    const std::string message = refusal(text);
    EXPECT_THAT(message, HasSubstr("E_BAD_JSON"));
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }))
        << "a message that can be printed";
  }
  EXPECT_EQ(refusal("\"\xf0\x9f\x98\x80 \\ud83d\\ude00\""), "accepted");
}

TEST(Json, RefusesNumbersOutOfRange) {
  EXPECT_THAT(refusal("1e999"), HasSubstr("E_BAD_JSON"));
  const Result<Json> large = parse_json(R"({"n":18446744073709551615,"f":1e3})");
  ASSERT_TRUE(large);
  EXPECT_FALSE(integer_at(*large, "n"));
  EXPECT_FALSE(integer_at(*large, "f"));
}

TEST(Json, RefusesBytesAfterAZero) { EXPECT_THAT(refusal(std::string_view("{}\0{", 4)), HasSubstr("byte 2")); }

TEST(Json, BoundsDepthValuesAndBytes) {
  EXPECT_EQ(refusal(std::string(64, '[') + std::string(64, ']')), "accepted");
  EXPECT_THAT(refusal(std::string(65, '[') + std::string(65, ']')), HasSubstr("at most 64 nested"));
  EXPECT_THAT(refusal(std::string(1'000'000, '[')), HasSubstr("at most 64 nested"));
  EXPECT_THAT(refusal("[1,2,3]", {.values_max = 3}), HasSubstr("at most 3 values"));
  EXPECT_THAT(refusal("[1,2,3]", {.bytes_max = 6}), HasSubstr("E_TOO_LARGE"));
}

TEST(Json, KeepsMessagesShort) { EXPECT_LT(refusal("[\"" + std::string(100'000, 'x') + "\\q").size(), 400u); }

TEST(Json, ReadsManyKeysInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text.back() = '}';
  const Result<Json> json = parse_json(text);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 200'000u);
}

TEST(Json, AccessorsNameKeyExpectedAndFound) {
  const Json object = *parse_json(R"({"i":3,"f":0.5,"b":true,"s":"text","l":["x","y"],"n":null})");
  EXPECT_EQ(*integer_at(object, "i"), 3);
  EXPECT_EQ(**optional_number_at(object, "i"), 3.0);
  EXPECT_EQ(**optional_number_at(object, "f"), 0.5);
  EXPECT_TRUE(**optional_bool_at(object, "b"));
  EXPECT_EQ(*string_at(object, "s"), "text");
  EXPECT_EQ(optional_strings_at(object, "l")->value(), (std::vector<std::string>{"x", "y"}));
  EXPECT_FALSE(optional_integer_at(object, "n")->has_value());
  EXPECT_FALSE(optional_integer_at(object, "absent")->has_value());
  EXPECT_EQ(integer_at(object, "f").error().message, "\"f\": expected an integer of 64 bits, found 0.5 (a number)");
  EXPECT_EQ(integer_at(object, "absent").error().message, "\"absent\": expected an integer, found nothing");
  EXPECT_FALSE(optional_bool_at(object, "i"));
  EXPECT_FALSE(optional_number_at(object, "b"));
  EXPECT_FALSE(string_at(object, "l"));
  EXPECT_FALSE(optional_strings_at(object, "s"));
}

TEST(Json, ShowsValuesShortAndPrintable) {
  EXPECT_EQ(shown(Json("a\n\xc3\xa9")), R"("a\n\u00e9")");
  EXPECT_LE(shown(Json(std::string(1000, 'x'))).size(), 60u);
  EXPECT_EQ(quote("a\tb"), R"("a\tb")");
}

TEST(ReadTextFile, RefusesWhatIsNoFileOrTooLarge) {
  const TemporaryFolder folder;
  folder.write("a.txt", "12345");
  EXPECT_EQ(*read_text_file(folder.file("a.txt"), 5), "12345");
  EXPECT_EQ(read_text_file(folder.file("a.txt"), 4).error().code, "E_TOO_LARGE");
  EXPECT_EQ(read_text_file(folder.file("b.txt"), 4).error().code, "E_NO_FILE");
  EXPECT_EQ(read_text_file(folder.path(), 4).error().code, "E_FILE_TYPE");
  EXPECT_EQ(read_text_file("/dev/zero", 4).error().code, "E_FILE_TYPE");
}

TEST(ReadTextFile, FollowsLinks) {
  const TemporaryFolder folder;
  folder.write("blobs/x", "{\"a\":1}");
  std::filesystem::create_symlink("blobs/x", folder.file("config.json"));
  EXPECT_TRUE(read_json_file(folder.file("config.json")));
}

TEST(Json, QuotesNothingOfATextThatIsNoJson) {
  for (const std::string_view text :
       {"root:secret:0:0", "{\"secret", "{\"secret\": secret", "[\"a\", secret]", "{\"a\" secret", "1e999 secret", "'; expected secret",
        "\"x'; expected secret", "[1e999999, \"secret\"]", "-secret", "{\"a\": 1}secret", "secret\xff"}) {
    const Result<Json> json = parse_json(text);
    ASSERT_FALSE(json) << text;
    EXPECT_EQ(json.error().message.find("secret"), std::string::npos) << json.error().message;
    EXPECT_EQ(json.error().message.find("e999"), std::string::npos) << json.error().message;
    EXPECT_NE(json.error().message.find("byte "), std::string::npos) << json.error().message;
  }
}

TEST(Json, GivesTheMembersOfAnObjectOneByOne) {
  std::vector<std::string> seen;
  const auto take = [&](const std::string& name, const Json& value) -> Status {
    seen.push_back(name + "=" + value.dump());
    if (name == "stop") return error("E_STOP", "stopped");
    return {};
  };
  EXPECT_TRUE(parse_json_members(R"({"a": {"b": [1, {"c": null}]}, "a": 2, "d": []})", {}, take));
  EXPECT_EQ(seen, (std::vector<std::string>{R"(a={"b":[1,{"c":null}]})", "a=2", "d=[]"}));
  EXPECT_EQ(parse_json_members(R"({"stop": 1, "never": )", {}, take).error().code, "E_STOP");
  EXPECT_EQ(parse_json_members("[1]", {}, take).error().code, "E_BAD_JSON");
  EXPECT_EQ(parse_json_members(R"({"a": {"b": 1, "b": 2}})", {}, take).error().code, "E_BAD_JSON");
  EXPECT_EQ(parse_json_members(R"({"a": 1} x)", {}, take).error().code, "E_BAD_JSON");
}

}  // namespace
}  // namespace slora
