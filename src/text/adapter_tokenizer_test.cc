#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "text/tokenizer.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int32_t kAdapterRows = 12;

// A model of single characters and two merges; ids 7 to 11 have rows, and ids 9 to 11 no token.
Json base_json() {
  return Json::parse(R"({
    "added_tokens": [
      {"id": 7, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
      {"id": 8, "content": "<reserved>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "vocab": {"?": 0, "a": 1, "b": 2, " ": 3, "ab": 4, "ba": 5, "aba": 6}, "merges": ["b a", "a b", ["a", "ba"]]}})");
}

Result<std::shared_ptr<const Tokenizer>> adapter_of(const Json& json, const std::vector<AddedToken>& added = {}) {
  static const std::shared_ptr<const Tokenizer> base = Tokenizer::from_json(base_json()).value();
  return Tokenizer::of_adapter(json, {.added_tokens = added}, *base, kAdapterRows);
}

std::string refusal_of_adapter(const Json& json, const std::vector<AddedToken>& added = {}) {
  const auto tokenizer = adapter_of(json, added);
  return tokenizer ? "none" : tokenizer.error().code + ": " + tokenizer.error().message;
}

TEST(AdapterTokenizer, MayAddTokensInSpareRows) {
  const std::vector<AddedToken> added = {{.content = "<tool>"}, {.content = "<call>", .special = true}};
  const auto tokenizer = adapter_of(base_json(), added).value();
  EXPECT_THAT(tokenizer->encode("ab<tool><call>", SpecialTokens::add).value(), ElementsAre(4, 9, 10));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{4, 9, 10}, SpecialText::skip), "ab<tool>");
  EXPECT_EQ(tokenizer->vocabulary_size(), 11u);
}

TEST(AdapterTokenizer, NeedsNoCopyOfTheVocabulary) {
  Json json = base_json();
  json.erase("model");
  EXPECT_THAT(adapter_of(json).value()->encode("ab", SpecialTokens::add).value(), ElementsAre(4));
}

TEST(AdapterTokenizer, MayDescribeTheSameVocabularyInAnotherForm) {
  Json json = base_json();
  json["model"]["merges"] = Json::parse(R"([["b", "a"], "a b", "a ba"])");
  json["model"]["vocab"] = Json::parse(R"({"aba": 6, "?": 0, "a": 1, "b": 2, " ": 3, "ab": 4, "ba": 5})");
  EXPECT_EQ(refusal_of_adapter(json), "none");
}

// transformers 5 saves Llama 2's tokenizer so.
TEST(AdapterTokenizer, MayLeaveOutAnUnknownTokenThatNoTextHas) {
  const Result<Json> file = read_json_file(source_path("tests/golden/tokenizers/llama2/tokenizer.json"));
  Json json = file.value();
  const std::shared_ptr<const Tokenizer> base = Tokenizer::from_json(json).value();
  json["model"]["unk_token"] = nullptr;
  EXPECT_TRUE(Tokenizer::of_adapter(json, {}, *base, 32000).has_value());
}

TEST(AdapterTokenizer, MayHaveStepsOfItsOwn) {
  Json json = base_json();
  json["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "c"}}}, {"content", "a"}};
  EXPECT_THAT(adapter_of(json).value()->encode("cb", SpecialTokens::add).value(), ElementsAre(4));
}

TEST(AdapterTokenizer, MayNameARowThatTheBaseReservesAndUseFewerTokens) {
  Json json = base_json();
  json["added_tokens"][1]["content"] = "<mine>";
  const auto tokenizer = adapter_of(json).value();
  EXPECT_THAT(tokenizer->encode("<mine>", SpecialTokens::add).value(), ElementsAre(8));
  json["added_tokens"].clear();
  EXPECT_EQ(refusal_of_adapter(json), "none");
}

TEST(AdapterTokenizer, IsRefusedWithAnotherVocabularyOrOtherMerges) {
  Json swapped = base_json();
  swapped["model"]["vocab"]["a"] = 2;
  swapped["model"]["vocab"]["b"] = 1;
  EXPECT_THAT(refusal_of_adapter(swapped), HasSubstr("E_ADAPTER_TOKENIZER: tokenizer.json: its vocabulary and merges"));
  Json fewer = base_json();
  fewer["model"]["merges"].erase(0);
  EXPECT_THAT(refusal_of_adapter(fewer), HasSubstr("E_ADAPTER_TOKENIZER"));
  Json unknown = base_json();
  unknown["model"]["unk_token"] = "?";
  EXPECT_THAT(refusal_of_adapter(unknown), HasSubstr("E_ADAPTER_TOKENIZER"));
  Json other = base_json();
  other["model"] = {{"type", "Unigram"}};
  EXPECT_THAT(refusal_of_adapter(other), HasSubstr("E_TOKENIZER"));
}

TEST(AdapterTokenizer, IsRefusedWithOtherIdsForTheBasesTokens) {
  Json json = base_json();
  json["added_tokens"][0]["content"] = "<reserved>";
  json["added_tokens"][1]["content"] = "<end>";
  EXPECT_THAT(refusal_of_adapter(json),
              HasSubstr("E_ADAPTER_TOKENIZER: its tokenizer gives the token \"<reserved>\" the id 7; expected 8, as the base's does"));
}

TEST(AdapterTokenizer, IsRefusedWithMoreTokensThanTheBaseHasRows) {
  std::vector<AddedToken> added = {{.content = "<9>"}, {.content = "<10>"}, {.content = "<11>"}};
  EXPECT_EQ(refusal_of_adapter(base_json(), added), "none");
  added.push_back({.content = "<12>"});
  EXPECT_THAT(refusal_of_adapter(base_json(), added), HasSubstr("the token \"<12>\" the id 12; expected at most 11"));
}

}  // namespace
}  // namespace slora
