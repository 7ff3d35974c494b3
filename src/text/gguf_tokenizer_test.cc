// The tokenizers that GGUF files name, against the tokenizer.json that they were made from: tools/golden_gguf.py.
#include "formats/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "text/tokenizer.h"

namespace slora {
namespace {

Json golden_json(const std::string& file) { return read_json_file(source_path("tests/golden/" + file)).value(); }

GgufFile golden_gguf(const std::string& name) {
  const std::string path = source_path("tests/golden/gguf/tokenizers/" + name + ".gguf");
  return read_gguf(ReadOnlyFile::open(path).value(), kGgufModelLimits).value();
}

std::shared_ptr<const Tokenizer> tokenizer_in(const std::string& name) {
  const Result<TokenizerFiles> files = tokenizer_of_gguf(golden_gguf(name));
  check(files.has_value(), "expected a tokenizer that is read");
  return Tokenizer::from_json(*files->tokenizer).value();
}

class ByteLevelGguf : public ::testing::TestWithParam<const char*> {};

TEST_P(ByteLevelGguf, GivesTheIdsOfTheTokenizerItWasMadeFrom) {
  const auto tokenizer = tokenizer_in(GetParam());
  const Json cases = golden_json("tokenizers/" + std::string(GetParam()) + "/cases.json");
  for (const Json& entry : cases.at("encode")) {
    const auto text = entry.at("text").get<std::string>();
    const auto ids = entry.at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::omit).value(), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::keep), entry.at("decoded").get<std::string>()) << text;
  }
  const Json texts = golden_json("tokenizers/sample.json"), ids = golden_json("tokenizers/" + std::string(GetParam()) + "/sample_ids.json");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::omit).value(), ids[i].get<std::vector<TokenId>>()) << text;
  }
}

// An adapter may bring the tokenizer.json of the model that a file was made from.
TEST_P(ByteLevelGguf, IsTheBaseOfAdaptersThatBringTheOriginal) {
  const auto base = tokenizer_in(GetParam());
  const Json original = golden_json("tokenizers/" + std::string(GetParam()) + "/tokenizer.json");
  const auto own = Tokenizer::of_adapter(original, {}, *base, static_cast<std::int32_t>(base->vocabulary_size()));
  EXPECT_TRUE(own.has_value()) << (own ? "" : own.error().message);
}

INSTANTIATE_TEST_SUITE_P(All, ByteLevelGguf, ::testing::Values("gpt2", "llama3", "qwen2"));

class SentencePieceGguf : public ::testing::TestWithParam<const char*> {};

TEST_P(SentencePieceGguf, MergesByScoresAsTransformersDoes) {
  const auto tokenizer = tokenizer_in(GetParam());
  const Json ids = golden_json("gguf/tokenizers/" + std::string(GetParam()) + ".json").at("ids");
  std::vector<std::string> texts;
  const Json cases = golden_json("tokenizers/" + std::string(GetParam()) + "/cases.json"), sample = golden_json("tokenizers/sample.json");
  for (const Json& entry : cases.at("encode")) texts.push_back(entry.at("text").get<std::string>());
  for (const Json& text : sample) texts.push_back(text.get<std::string>());
  ASSERT_EQ(texts.size(), ids.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<TokenId> found = tokenizer->encode(texts[i], SpecialTokens::add).value();
    EXPECT_EQ(found, ids[i].get<std::vector<TokenId>>()) << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, SentencePieceGguf, ::testing::Values("gemma", "llama2", "mistral"));

TEST(GgufTokenizer, HasTheTokensThatEndAnswers) {
  const Result<std::vector<std::int64_t>> ends = end_tokens_of_gguf(golden_gguf("qwen2"));
  ASSERT_TRUE(ends);
  const auto tokenizer = tokenizer_in("qwen2");
  EXPECT_THAT(*ends, ::testing::Contains(*tokenizer->token_id("<|endoftext|>")));
}

TEST(GgufTokenizer, KnowsWaysToCutWordsByAllOfTheirNames) {
  for (const char* name : {"llama-bpe", "qwen2", "smollm", "gpt-2", "default", "tekken", "gpt-4o", "seed-coder"})
    EXPECT_NE(find_gguf_words(name), nullptr) << name;
  for (const char* name : {"", " ", "llama", "qwen2 stablelm2"}) EXPECT_EQ(find_gguf_words(name), nullptr) << name;
}

}  // namespace
}  // namespace slora
