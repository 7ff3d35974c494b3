#include "formats/further_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// A tokenizer.json with one token; the other files as given.
Result<FurtherTokens> read_tokens(const char* config, const char* special_tokens_map = "{}", const char* added_tokens = "{}") {
  static const Json tokenizer = Json::parse(R"({"added_tokens": [
      {"id": 9, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]})");
  return read_further_tokens({tokenizer, Json::parse(config), Json::parse(special_tokens_map), Json::parse(added_tokens)});
}

std::vector<std::string> contents_of(const Result<FurtherTokens>& tokens) {
  std::vector<std::string> contents;
  if (!tokens) return {tokens.error().message};
  for (const AddedToken& token : tokens->added) contents.push_back(token.content);
  return contents;
}

TEST(FurtherTokens, AreNoneWhereAllIsKnown) {
  const FurtherTokens tokens = read_tokens(R"({"bos_token": "<s>", "add_bos_token": true, "pad_token": null})").value();
  EXPECT_THAT(tokens.named, ElementsAre(Pair("bos_token", "<s>")));
  EXPECT_THAT(tokens.added, IsEmpty());
}

TEST(FurtherTokens, ComeInTheOrderInWhichTransformersAddsThem) {
  EXPECT_THAT(
      contents_of(read_tokens(R"({"extra_special_tokens": ["<x>", "<d2>"], "own_token": "<o>", "sep_token": "<sep>", "eos_token": "<e>",
                                          "added_tokens_decoder": {"12": {"content": "<d2>"}, "11": {"content": "<d1>"}}})")),
      ElementsAre("<d1>", "<d2>", "<e>", "<sep>", "<o>", "<x>"));
}

TEST(FurtherTokens, OfTheDecoderChangeFlags) {
  const FurtherTokens tokens =
      read_tokens(R"({"added_tokens_decoder": {"9": {"content": "<s>", "special": true, "lstrip": true}}})").value();
  EXPECT_THAT(tokens.added, ElementsAre(AddedToken{.content = "<s>", .lstrip = true, .special = true}));
}

TEST(FurtherTokens, WithANameAreSpecialWhateverTheDecoderSays) {
  const FurtherTokens tokens =
      read_tokens(R"({"eos_token": "<e>", "added_tokens_decoder": {"10": {"content": "<e>", "special": false}}})").value();
  EXPECT_THAT(tokens.added, ElementsAre(AddedToken{.content = "<e>", .normalized = true, .special = true}));
}

TEST(FurtherTokens, OfOlderFilesAreReadWhereThereIsNoDecoder) {
  const char* map = R"({"eos_token": {"content": "<e>", "special": false}, "bos_token": null, "additional_special_tokens": ["<x>"]})";
  const char* added = R"({"<a>": 10, "<x>": 11, "<s>": 9})";
  const FurtherTokens tokens = read_tokens(R"({"bos_token": "<s>"})", map, added).value();
  EXPECT_THAT(tokens.named, ElementsAre(Pair("eos_token", "<e>")));
  EXPECT_THAT(tokens.added, ElementsAre(AddedToken{.content = "<a>", .normalized = true}, AddedToken{.content = "<x>", .normalized = true},
                                        AddedToken{.content = "<e>", .special = true}));
  const Result<FurtherTokens> newer = read_tokens(R"({"bos_token": "<s>", "added_tokens_decoder": {}})", map, added);
  EXPECT_THAT(newer->named, ElementsAre(Pair("bos_token", "<s>")));
  EXPECT_THAT(newer->added, IsEmpty());
}

TEST(FurtherTokens, OfTheOlderListCountWhereTheNewerOneIsEmpty) {
  EXPECT_THAT(contents_of(read_tokens(R"({"additional_special_tokens": ["<a>"], "extra_special_tokens": []})")), ElementsAre("<a>"));
  EXPECT_THAT(contents_of(read_tokens(R"({"additional_special_tokens": ["<a>"], "extra_special_tokens": ["<x>"]})")), ElementsAre("<x>"));
  EXPECT_THAT(contents_of(read_tokens(R"({"additional_special_tokens": ["<a>"]})", R"({"additional_special_tokens": ["<b>"]})")),
              ElementsAre("<a>"));
}

TEST(FurtherTokens, NameTheFileAndTheKeyAtFault) {
  const auto message = [](const Result<FurtherTokens>& tokens) { return tokens ? "none" : tokens.error().message; };
  EXPECT_THAT(message(read_tokens(R"({"eos_token": 7})")), HasSubstr("tokenizer_config.json: \"eos_token\": expected a string"));
  EXPECT_THAT(message(read_tokens(R"({"additional_special_tokens": "<x>"})")),
              HasSubstr("tokenizer_config.json: \"additional_special_tokens\": expected a list of tokens"));
  EXPECT_THAT(message(read_tokens(R"({"added_tokens_decoder": []})")), HasSubstr("\"added_tokens_decoder\": expected an object"));
  EXPECT_THAT(message(read_tokens(R"({"added_tokens_decoder": {"5": {"content": "x", "special": 1}}})")),
              HasSubstr("\"added_tokens_decoder\": 5: \"special\""));
  EXPECT_THAT(message(read_tokens("{}", R"({"eos_token": {}})")), HasSubstr("special_tokens_map.json: \"eos_token\""));
  EXPECT_THAT(message(read_tokens("{}", "{}", R"({"<a>": "1"})")), HasSubstr("added_tokens.json: the id of \"<a>\""));
}

}  // namespace
}  // namespace slora
