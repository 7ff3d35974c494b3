#include "text/tokenizer_class.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "text/tokenizer.h"

namespace slora {
namespace {

using ::testing::ElementsAre;

// The golden tokenizer `name` as the files of a model of type `model_type`.
TokenizerFiles golden_files(const std::string& name, const std::string& model_type) {
  Result<TokenizerFiles> files = read_tokenizer_files(source_path("tests/golden/tokenizers/" + name));
  EXPECT_TRUE(files.has_value());
  files->model_type = model_type;
  return std::move(*files);
}

std::vector<TokenId> ids_of(TokenizerFiles& files, const std::string& text) {
  apply_tokenizer_class(files);
  return Tokenizer::from_json(*files.tokenizer).value()->encode(text, SpecialTokens::add).value();
}

// The ids are those of transformers 5.23 for the same folder; 266 is "▁the", 434 "the".
TEST(TokenizerClass, WritesTheStepsOfLlamaTokenizers) {
  TokenizerFiles files = golden_files("llama2", "llama");
  EXPECT_THAT(ids_of(files, " the<s>the"), ElementsAre(1, 266, 1, 434));
  EXPECT_THAT(ids_of(files, "<s> the</s>\n"), ElementsAre(1, 1, 266, 2, 13));
  EXPECT_EQ(Tokenizer::from_json(*files.tokenizer).value()->decode(std::vector<TokenId>{266}, SpecialText::keep), "the");
  files.legacy = true;
  EXPECT_THAT(ids_of(files, " the<s>the"), ElementsAre(1, 266, 1, 266));
  EXPECT_THAT(ids_of(files, "<s> the</s>\n"), ElementsAre(1, 1, 266, 2, 680, 13));
  files.add_prefix_space = false;
  EXPECT_THAT(ids_of(files, "the<s> the"), ElementsAre(1, 434, 1, 266));
  EXPECT_EQ(Tokenizer::from_json(*files.tokenizer).value()->decode(std::vector<TokenId>{266}, SpecialText::keep), " the");
}

TEST(TokenizerClass, LeavesOtherFoldersToTheirFile) {
  for (const auto& [name, model_type, tokenizer_class] :
       {std::tuple("llama2", "mistral", "LlamaTokenizer"), std::tuple("llama2", "llama", "PreTrainedTokenizerFast"),
        std::tuple("llama3", "llama", "LlamaTokenizerFast"), std::tuple("qwen2", "qwen2", "Qwen2Tokenizer")}) {
    TokenizerFiles files = golden_files(name, model_type);
    files.tokenizer_class = tokenizer_class;
    const Json before = *files.tokenizer;
    apply_tokenizer_class(files);
    EXPECT_EQ(*files.tokenizer, before) << name;
  }
}

}  // namespace
}  // namespace slora
