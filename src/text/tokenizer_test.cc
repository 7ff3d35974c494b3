#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "text/detokenizer.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json read_golden(const std::string& file) {
  Result<Json> json = read_json_file(source_path("tests/golden/tokenizers/" + file));
  EXPECT_TRUE(json.has_value()) << file;
  return json ? std::move(*json) : Json::object();
}

std::shared_ptr<const Tokenizer> make(const Json& json) {
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(json);
  EXPECT_TRUE(tokenizer.has_value()) << (tokenizer ? "" : tokenizer.error().message);
  return tokenizer ? *tokenizer : nullptr;
}

std::string refusal(const Json& json) {
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(json);
  return tokenizer ? "none" : tokenizer.error().message;
}

// A model of single characters and two merges, without any other step.
Json tiny() {
  return Json::parse(R"({
    "added_tokens": [],
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, " ": 3, "ab": 4, "ba": 5, "aba": 6},
              "merges": ["b a", "a b", ["a", "ba"]]}})");
}

Json added(std::int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", false}};
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, EncodesAndDecodesAsTheReference) {
  const auto tokenizer = make(read_golden(GetParam() + std::string("/tokenizer.json")));
  const Json cases = read_golden(GetParam() + std::string("/cases.json"));
  for (const Json& entry : cases.at("encode")) {
    const auto text = entry.at("text").get<std::string>();
    const auto ids = entry.at("ids").get<std::vector<TokenId>>();
    const auto ids_special = entry.at("ids_special").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::omit).value(), ids) << text;
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::add).value(), ids_special) << text;
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::keep), entry.at("decoded").get<std::string>()) << text;
    EXPECT_EQ(tokenizer->decode(ids_special, SpecialText::skip), entry.at("decoded_skip_special").get<std::string>()) << text;
  }
  for (const Json& entry : cases.at("decode")) {
    const auto ids = entry.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::keep), entry.at("decoded").get<std::string>()) << entry;
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::skip), entry.at("decoded_skip_special").get<std::string>()) << entry;
  }
}

// Random strings from a fixed seed; encoding and decoding them equals the reference.
TEST_P(GoldenTokenizer, AgreesWithTheReferenceOnTheSample) {
  const auto tokenizer = make(read_golden(GetParam() + std::string("/tokenizer.json")));
  const Json strings = read_golden("sample.json");
  const Json ids = read_golden(GetParam() + std::string("/sample_ids.json"));
  ASSERT_EQ(strings.size(), 2400U);
  ASSERT_EQ(ids.size(), strings.size());
  for (std::size_t i = 0; i < strings.size(); ++i) {
    EXPECT_EQ(tokenizer->encode(strings[i].get<std::string>(), SpecialTokens::omit).value(), ids[i].get<std::vector<TokenId>>())
        << strings[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTokenizer, ::testing::Values("gemma", "gpt2", "llama2", "llama3", "mistral", "qwen2"),
                         [](const auto& family) { return std::string(family.param); });

TEST(Tokenizer, MergesTheLowestRankFirst) {
  const auto tokenizer = make(tiny());
  EXPECT_THAT(tokenizer->encode("ab", SpecialTokens::add).value(), ElementsAre(4));
  EXPECT_THAT(tokenizer->encode("aba", SpecialTokens::add).value(), ElementsAre(6));  // "b a" comes before "a b"
  EXPECT_THAT(tokenizer->encode("abab", SpecialTokens::add).value(), ElementsAre(6, 2));
}

TEST(Tokenizer, GivesUnknownCharactersTheUnknownToken) {
  Json json = tiny();
  EXPECT_THAT(make(json)->encode("xyab", SpecialTokens::add).value(), ElementsAre(0, 0, 4));
  json["model"]["fuse_unk"] = true;
  EXPECT_THAT(make(json)->encode("xyab", SpecialTokens::add).value(), ElementsAre(0, 4));
  json["model"].erase("unk_token");
  EXPECT_THAT(make(json)->encode("xyab", SpecialTokens::add).value(), ElementsAre(4));
}

TEST(Tokenizer, KeepsWordsThatAreTokensIfMergesAreIgnored) {
  Json json = tiny();
  json["model"]["vocab"]["abab"] = 7;
  EXPECT_THAT(make(json)->encode("abab", SpecialTokens::add).value(), ElementsAre(6, 2));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(make(json)->encode("abab", SpecialTokens::add).value(), ElementsAre(7));
}

TEST(Tokenizer, FindsTheLongestAddedTokenAtEachPlace) {
  Json json = tiny();
  json["added_tokens"] = {added(7, "<x>"), added(8, "<x><x>"), added(2, "b")};
  EXPECT_THAT(make(json)->encode("a<x>b<x><x><x>", SpecialTokens::add).value(), ElementsAre(1, 7, 2, 8, 7));
}

TEST(Tokenizer, AppliesStripAndSingleWordOfAddedTokens) {
  Json json = tiny();
  json["added_tokens"] = {added(7, "<l>"), added(8, "<r>"), added(9, "<w>")};
  json["added_tokens"][0]["lstrip"] = true;
  json["added_tokens"][1]["rstrip"] = true;
  json["added_tokens"][2]["single_word"] = true;
  EXPECT_THAT(make(json)->encode("a  <l> a", SpecialTokens::add).value(), ElementsAre(1, 7, 3, 1));
  EXPECT_THAT(make(json)->encode("a <r>  a", SpecialTokens::add).value(), ElementsAre(1, 3, 8, 1));
  EXPECT_THAT(make(json)->encode("<r> <l>", SpecialTokens::add).value(), ElementsAre(8, 7));
  EXPECT_THAT(make(json)->encode("b <w>", SpecialTokens::add).value(), ElementsAre(2, 3, 9));
  EXPECT_THAT(make(json)->encode("b<w>", SpecialTokens::add).value(), ElementsAre(2, 0, 0, 0));
}

TEST(Tokenizer, LooksForNormalizedAddedTokensInTheNormalizedText) {
  Json json = tiny();
  json["normalizer"] = {{"type", "Lowercase"}};
  json["added_tokens"] = {added(7, "<X>"), added(8, "<Y>")};
  json["added_tokens"][0]["normalized"] = true;
  const auto tokenizer = make(json);
  EXPECT_THAT(tokenizer->encode("<x>A<X>", SpecialTokens::add).value(), ElementsAre(7, 1, 7));
  EXPECT_THAT(tokenizer->encode("<Y><y>", SpecialTokens::add).value(), ElementsAre(8, 0, 0, 0));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{7, 8}, SpecialText::keep), "<x><Y>");
}

TEST(Tokenizer, AddsTokensAroundTheText) {
  Json json = tiny();
  for (const char* type : {"BertProcessing", "RobertaProcessing"}) {
    json["post_processor"] = {{"type", type}, {"cls", {"b", 2}}, {"sep", {"ab", 4}}};
    EXPECT_THAT(make(json)->encode("a", SpecialTokens::add).value(), ElementsAre(2, 1, 4));
    EXPECT_THAT(make(json)->encode("a", SpecialTokens::omit).value(), ElementsAre(1));
  }
  json["post_processor"]["sep"] = {"ab", -1};
  EXPECT_THAT(refusal(json), HasSubstr("-1"));
  json["post_processor"].erase("cls");
  EXPECT_THAT(refusal(json), HasSubstr("\"cls\""));
}

TEST(Tokenizer, TreatsBytesThatAreNotUtf8AsReplacementCharacters) {
  Json json = tiny();
  json["model"]["vocab"]["\uFFFD"] = 7;
  const auto tokenizer = make(json);
  EXPECT_THAT(tokenizer->encode("a\xFF\xE2\x82", SpecialTokens::add).value(), ElementsAre(1, 7, 7));
  EXPECT_THAT(tokenizer
                  ->encode("\xE2\x82"
                           "a",
                           SpecialTokens::add)
                  .value(),
              ElementsAre(7, 1));
}

TEST(Tokenizer, KnowsItsTokens) {
  const auto tokenizer = make(read_golden("llama3/tokenizer.json"));
  const std::optional<TokenId> the = tokenizer->token_id("Ġt");
  ASSERT_TRUE(the.has_value());
  EXPECT_EQ(tokenizer->token_text(*the), "Ġt");
  EXPECT_EQ(tokenizer->token_bytes(*the), " t");
  EXPECT_FALSE(tokenizer->is_special(*the));
  EXPECT_TRUE(tokenizer->is_special(tokenizer->token_id("<|begin_of_text|>").value_or(-1)));
  EXPECT_EQ(tokenizer->token_text(-1), "");
  EXPECT_EQ(tokenizer->token_text(1 << 30), "");
  EXPECT_FALSE(tokenizer->token_id("no such token").has_value());
  EXPECT_EQ(tokenizer->vocabulary_size(), 617U);
  EXPECT_EQ(make(read_golden("llama2/tokenizer.json"))->token_bytes(3 + 0x80), "\x80");
}

TEST(Tokenizer, FailsOnTextsWithUnboundedBacktracking) {
  const std::string text = std::string(60, 'a') + "b";
  const Json pattern = {{"Regex", "(a+)+$"}};
  Json splits = tiny();
  splits["pre_tokenizer"] = {{"type", "Split"}, {"pattern", pattern}, {"behavior", "Isolated"}, {"invert", false}};
  Json replaces = tiny();
  replaces["normalizer"] = {{"type", "Replace"}, {"pattern", pattern}, {"content", ""}};
  for (const Json& json : {splits, replaces}) {
    const auto tokenizer = make(json);
    EXPECT_TRUE(tokenizer->encode("aaa", SpecialTokens::add).has_value());
    const Result<std::vector<TokenId>> ids = tokenizer->encode(text, SpecialTokens::add);
    ASSERT_FALSE(ids.has_value());
    EXPECT_THAT(ids.error().message, HasSubstr("more steps"));
  }
}

TEST(Tokenizer, RefusesUnsupportedPartsByName) {
  Json json = tiny();
  json["model"]["type"] = "WordPiece";
  EXPECT_THAT(refusal(json), HasSubstr("WordPiece"));
  json = tiny();
  json["normalizer"] = {{"type", "Precompiled"}};
  EXPECT_THAT(refusal(json), HasSubstr("Precompiled"));
  json = tiny();
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "UnicodeScripts"}}}}};
  EXPECT_THAT(refusal(json), HasSubstr("pre_tokenizer.pretokenizers[0] of type \"UnicodeScripts\""));
  json = tiny();
  json["decoder"] = {{"type", "CTC"}};
  EXPECT_THAT(refusal(json), HasSubstr("CTC"));
  json = tiny();
  json["decoder"] = {{"type", "Replace"}, {"pattern", {{"Regex", "a"}}}, {"content", ""}};
  EXPECT_THAT(refusal(json), HasSubstr("String"));
  json = tiny();
  json["post_processor"] = {{"type", "Unheard"}};
  EXPECT_THAT(refusal(json), HasSubstr("Unheard"));
  json = tiny();
  json["model"]["continuing_subword_prefix"] = "##";
  EXPECT_THAT(refusal(json), HasSubstr("##"));
  json = tiny();
  json["model"]["dropout"] = 0.1;
  EXPECT_THAT(refusal(json), HasSubstr("dropout"));
}

TEST(Tokenizer, RefusesFilesThatContradictThemselves) {
  Json json = tiny();
  json["model"]["merges"].push_back("a z");
  EXPECT_THAT(refusal(json), HasSubstr("\"z\""));
  json = tiny();
  json["model"]["merges"].push_back("a");
  EXPECT_THAT(refusal(json), HasSubstr("merge 3"));
  json = tiny();
  json["model"]["vocab"]["z"] = -1;
  EXPECT_THAT(refusal(json), HasSubstr("-1"));
  json = tiny();
  json["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(refusal(json), HasSubstr("<unk>"));
  json = tiny();
  json["added_tokens"] = {added(9, "<x>")};
  EXPECT_THAT(refusal(json), HasSubstr("expected 7"));
  EXPECT_THAT(refusal(Json::array()), HasSubstr("an object"));
  EXPECT_THAT(refusal(Json::object()), HasSubstr("model"));
}

}  // namespace
}  // namespace slora
