#include "text/text_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Json encoder_golden(const std::string& file) { return read_json_file(source_path("tests/golden/tokenizers/" + file)).value(); }

Tokenizer::Parts parts_from(const Json& json) {
  Normalizer normalizer = Normalizer::from_json(json).value();
  Bpe model = Bpe::from_json(json).value();
  AddedTokens added = AddedTokens::from_json(json, {}, model.vocabulary(), normalizer).value();
  return {std::move(added),
          std::move(normalizer),
          PreTokenizer::from_json(json).value(),
          std::make_shared<const Bpe>(std::move(model)),
          PostProcessor::from_json(json).value(),
          Decoder::from_json(json).value()};
}

std::string repeated(std::string_view part, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

class TextEncoderOf : public ::testing::TestWithParam<const char*> {
 protected:
  const Json json = encoder_golden(GetParam() + std::string("/tokenizer.json"));
};

TEST_P(TextEncoderOf, EncodesAnyNumberOfTokensFromEitherEnd) {
  const auto tokenizer = Tokenizer::from_json(json).value();
  const Json strings = encoder_golden("sample.json");
  std::string text;  // several samples each, so that there are many words
  for (std::size_t i = 0; i < strings.size(); ++i) {
    text += strings[i].get<std::string>();
    if (i % 12 != 11) continue;
    const std::vector<TokenId> all = tokenizer->encode(text, SpecialTokens::add).value();
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{2}, all.size() / 2, all.size(), all.size() + 1}) {
      const auto kept = static_cast<std::ptrdiff_t>(std::min(count, all.size()));
      EXPECT_EQ(tokenizer->encode_first(text, SpecialTokens::add, count).value(), std::vector(all.begin(), all.begin() + kept)) << text;
      EXPECT_EQ(tokenizer->encode_last(text, SpecialTokens::add, count).value(), std::vector(all.end() - kept, all.end())) << text;
    }
    text.clear();
  }
}

// Words that are longer than a part, as those of tokenizers that do not split texts at all.
TEST_P(TextEncoderOf, EncodesPartsOfAWordAsTheWhole) {
  const Bpe model = Bpe::from_json(json).value();
  const Normalizer normalizer = Normalizer::from_json(json).value();
  std::string word;
  for (const Json& string : encoder_golden("sample.json")) word += normalizer.apply(string.get<std::string>()).value() + "\u2581The";
  std::vector<TokenId> whole, by_parts;
  model.encode(word, {0, word.size()}, whole);
  const std::vector<TextRange> parts = model.parts_of(word).value();
  EXPECT_GT(parts.size(), 5U);
  for (const TextRange& part : parts) model.encode(word, part, by_parts);
  EXPECT_EQ(by_parts, whole);
}

TEST_P(TextEncoderOf, EncodesLittleMoreThanItKeeps) {
  const Tokenizer::Parts parts = parts_from(json);
  const std::string text = repeated("The queen found a rusty key in the garden. ", 1 << 18);
  TextEncoder<TextOrder::forward> all(parts, text.size());
  TextEncoder<TextOrder::backward> last(parts, 1);
  ASSERT_TRUE(all.encode(text, SpecialTokens::omit));
  ASSERT_TRUE(last.encode(text, SpecialTokens::omit));
  EXPECT_LT(last.work(), 6 * text.size()) << "the steps before the model, which may write three bytes for one";
  EXPECT_LT(last.work() + text.size(), all.work());
}

TEST_P(TextEncoderOf, CostsInProportionToHostileTexts) {
  const Tokenizer::Parts parts = parts_from(json);
  for (const std::string_view unit :
       {"a", " ", "e\u0301\u0300", "\U0001F468\u200D\U0001F469\u200D\U0001F467", "\xFF\xC3", "7", "\n ", "<", "\u4E2D"}) {
    const auto work_of = [&](std::size_t bytes) {
      TextEncoder<TextOrder::forward> encoder(parts, bytes * 4);
      EXPECT_TRUE(encoder.encode(repeated(unit, bytes), SpecialTokens::omit)) << unit;
      return static_cast<double>(encoder.work());
    };
    EXPECT_LE(work_of(1 << 18) / work_of(1 << 17), 2.2) << unit;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TextEncoderOf, ::testing::Values("gemma", "gpt2", "llama2", "llama3", "mistral", "qwen2"),
                         [](const auto& family) { return std::string(family.param); });

TEST(TextEncoder, RefusesAWordThatIsTooLongToEncodeAsOne) {
  const auto tokenizer = Tokenizer::from_json(encoder_golden("llama2/tokenizer.json")).value();
  const Result<std::vector<TokenId>> refused = tokenizer->encode_last(std::string((1 << 20) + 1, ' '), SpecialTokens::omit, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "invalid_request_error");
  EXPECT_THAT(refused.error().message, HasSubstr("characters that the tokenizer has to encode as one; expected at most 1048576"));
  EXPECT_TRUE(tokenizer->encode_last(std::string((1 << 20) - 8, ' '), SpecialTokens::omit, 1));
}

TEST(TextEncoder, CutsWordsAtCharactersThatBecomeBytes) {
  Json json = Json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": ["a a"], "byte_fallback": true}})");
  for (int byte = 0; byte < 256; ++byte) json["model"]["vocab"][fmt::format("<0x{:02X}>", byte)] = 2 + byte;
  const std::string word = repeated("aa\u4E2D", 3 * Bpe::kPartBytesMin);
  const Bpe model = Bpe::from_json(json).value();
  EXPECT_GE(model.parts_of(word).value().size(), 3U);
  json["model"]["vocab"]["<0xAD>a"] = 258;
  json["model"]["merges"].push_back({"<0xAD>", "a"});
  const Bpe joins = Bpe::from_json(json).value();
  EXPECT_EQ(joins.parts_of(word).value().size(), 1U);
}

// Two characters with one id: what joins is decided by ids, so that their texts say nothing about where a word may be cut.
TEST(TextEncoder, CutsNoWordsOfAVocabularyWithSharedIds) {
  const Json json = Json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "x": 0, "ab": 2}, "merges": ["a b"]}})");
  const Bpe model = Bpe::from_json(json).value();
  EXPECT_EQ(model.parts_of(repeated("xb", 3 * Bpe::kPartBytesMin)).value().size(), 1U);
}

}  // namespace
}  // namespace slora
