#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/testing/source_path.h"
#include "text/utf8.h"

namespace slora {
namespace {

std::shared_ptr<const Tokenizer> golden_tokenizer(const std::string& family) {
  Result<Json> json = read_json_file(source_path("tests/golden/tokenizers/" + family + "/tokenizer.json"));
  EXPECT_TRUE(json.has_value());
  Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(json ? *json : Json::object());
  EXPECT_TRUE(tokenizer.has_value());
  return tokenizer ? *tokenizer : nullptr;
}

std::vector<std::string> push_all(Detokenizer& detokenizer, const std::vector<TokenId>& ids) {
  std::vector<std::string> pieces;
  for (const TokenId id : ids) pieces.push_back(detokenizer.push(id));
  pieces.push_back(detokenizer.finish());
  return pieces;
}

std::vector<std::string> stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  Detokenizer detokenizer(tokenizer, SpecialText::skip);
  return push_all(detokenizer, ids);
}

class DetokenizerOfFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(DetokenizerOfFamily, PutsOutTheWholeTextInPiecesOfWholeCharacters) {
  const auto tokenizer = golden_tokenizer(GetParam());
  const auto size = static_cast<TokenId>(tokenizer->vocabulary_size());
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    // Some sequences are mostly single bytes, which are the first tokens of each of these vocabularies.
    std::uniform_int_distribution<TokenId> any(-1, seed % 2 == 0 ? size : 300);
    std::vector<TokenId> ids(random() % 40);
    for (TokenId& id : ids) id = any(random);
    for (const SpecialText special : {SpecialText::keep, SpecialText::skip}) {
      Detokenizer detokenizer(*tokenizer, special);
      std::string joined;
      for (const std::string& piece : push_all(detokenizer, ids)) {
        EXPECT_TRUE(is_valid_utf8(piece));
        joined += piece;
      }
      EXPECT_EQ(joined, tokenizer->decode(ids, special));
    }
  }
}

// Emitted text must not depend on later tokens: every prefix of the stream is a prefix of every longer text.
TEST_P(DetokenizerOfFamily, NeverTakesTextBack) {
  const auto tokenizer = golden_tokenizer(GetParam());
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_int_distribution<TokenId> any(0, seed % 2 == 0 ? 500 : 270);
    std::vector<TokenId> ids;
    Detokenizer detokenizer(*tokenizer, SpecialText::keep);
    std::string emitted;
    for (int i = 0; i < 20; ++i) {
      ids.push_back(any(random));
      emitted += detokenizer.push(ids.back());
      EXPECT_TRUE(tokenizer->decode(ids, SpecialText::keep).starts_with(emitted));
      std::vector<TokenId> other = ids;
      other.push_back(any(random));
      EXPECT_TRUE(tokenizer->decode(other, SpecialText::keep).starts_with(emitted));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DetokenizerOfFamily, ::testing::Values("gemma", "gpt2", "llama2", "llama3", "mistral", "qwen2"),
                         [](const auto& family) { return std::string(family.param); });

TEST(Detokenizer, HoldsBackAnIncompleteCharacter) {
  const auto tokenizer = golden_tokenizer("llama3");
  const std::vector<TokenId> ids =
      tokenizer->encode("\u20AC!", SpecialTokens::omit).value();  // the sign's three bytes are tokens of their own
  ASSERT_EQ(ids.size(), 4U);
  EXPECT_EQ(stream(*tokenizer, ids), (std::vector<std::string>{"", "", "\u20AC", "!", ""}));
  EXPECT_EQ(stream(*tokenizer, {ids[0], ids[1]}), (std::vector<std::string>{"", "", "\uFFFD"}));
  EXPECT_EQ(stream(*tokenizer, {ids[0], ids[3]}), (std::vector<std::string>{"", "\uFFFD!", ""}));
}

TEST(Detokenizer, HoldsBackByteTokensUntilTheirRunEndsOrBreaks) {
  const auto tokenizer = golden_tokenizer("llama2");
  const auto byte = [](int value) { return static_cast<TokenId>(3 + value); };
  const TokenId a = tokenizer->token_id("a").value_or(-1);
  EXPECT_EQ(stream(*tokenizer, {byte(0xC3), byte(0xA9), a}), (std::vector<std::string>{"", "", "éa", ""}));
  EXPECT_EQ(stream(*tokenizer, {byte(0xC3), byte(0xA9)}), (std::vector<std::string>{"", "", "é"}));
  EXPECT_EQ(stream(*tokenizer, {byte(0xC3), byte(0xA9), byte(0xFF), byte(0x41)}),
            (std::vector<std::string>{"", "", "\uFFFD\uFFFD\uFFFD", "\uFFFD", ""}));
  EXPECT_EQ(stream(*tokenizer, {byte(0xC3), a}), (std::vector<std::string>{"", "\uFFFDa", ""}));
}

TEST(Detokenizer, ReturnsNoTextOfThePromptInAContinuation) {
  const auto tokenizer = golden_tokenizer("llama2");
  const auto byte = [](int value) { return static_cast<TokenId>(3 + value); };
  const TokenId a = tokenizer->token_id("a").value_or(-1);
  const std::vector<TokenId> whole = {a, byte(0xC3), byte(0xA9)};
  Detokenizer after_whole(*tokenizer, SpecialText::skip);
  after_whole.continue_from(whole);
  EXPECT_EQ(push_all(after_whole, {byte(0xC3), byte(0xA8), a}), (std::vector<std::string>{"", "", "\u00E8a", ""}));

  const std::vector<TokenId> half = {a, byte(0xC3), byte(0xA9), byte(0xC3)};
  Detokenizer after_half(*tokenizer, SpecialText::skip);
  after_half.continue_from(half);
  EXPECT_EQ(push_all(after_half, {byte(0xA8), a}), (std::vector<std::string>{"", "\u00E8a", ""}));

  std::vector<TokenId> prompt(1000, a);
  prompt.push_back(byte(0xC3));
  Detokenizer after_long_prompt(*tokenizer, SpecialText::skip);
  after_long_prompt.continue_from(prompt);
  EXPECT_EQ(push_all(after_long_prompt, {byte(0xA8), a}), (std::vector<std::string>{"", "\u00E8a", ""}));
}

TEST(Detokenizer, DropsSpacesAtThePromptsEndThatADecoderHoldsBack) {
  const Json json = Json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, " ": 1}, "merges": []},
      "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 1}]}})");
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(json);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  Detokenizer detokenizer(**tokenizer, SpecialText::keep);
  detokenizer.continue_from(std::vector<TokenId>{0, 1});
  EXPECT_EQ(push_all(detokenizer, {0, 1}), (std::vector<std::string>{"a", "", ""}));
}

TEST(Detokenizer, KeepsTheLeadingSpaceOfAContinuation) {
  const auto tokenizer = golden_tokenizer("llama2");
  const std::vector<TokenId> prompt = tokenizer->encode("the", SpecialTokens::add).value();
  const std::vector<TokenId> answer = tokenizer->encode("the", SpecialTokens::omit).value();
  Detokenizer fresh(*tokenizer, SpecialText::skip);
  Detokenizer continued(*tokenizer, SpecialText::skip);
  continued.continue_from(prompt);
  std::string fresh_text;
  std::string continued_text;
  for (const TokenId id : answer) {
    fresh_text += fresh.push(id);
    continued_text += continued.push(id);
  }
  EXPECT_EQ(fresh_text, "the");
  EXPECT_EQ(continued_text, " the");
}

}  // namespace
}  // namespace slora
