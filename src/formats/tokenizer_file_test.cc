#include "formats/tokenizer_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

TEST(TokenizerFiles, SaysWhatToDoWithoutTokenizerJson) {
  const TemporaryFolder folder;
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, "E_NO_TOKENIZER");
  EXPECT_THAT(files.error().message, HasSubstr("tokenizer.model"));
}

TEST(TokenizerFiles, NeedsNothingButTokenizerJson) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"model":{"type":"BPE"}})");
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ((*files->tokenizer)["model"]["type"], "BPE");
  EXPECT_TRUE(files->chat_template.empty());
  EXPECT_FALSE(files->legacy || files->add_prefix_space || files->split_special_tokens);
  EXPECT_TRUE(files->special_tokens.empty());
  EXPECT_EQ(files->model_type, "");
}

TEST(TokenizerFiles, ReadsSpecialTokensInBothForms) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token":"<s>","eos_token":{"__type":"AddedToken","content":"</s>","lstrip":false},"unk_token":null,"add_bos_token":false,"chat_template":"{{ x }}"})");
  folder.write("special_tokens_map.json", R"({"bos_token":"<bos>","unk_token":{"content":"<unk>"}})");
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->special_tokens.at("bos_token"), "<bos>") << "the map over the config, as in transformers";
  EXPECT_EQ(files->special_tokens.at("eos_token"), "</s>");
  EXPECT_EQ(files->special_tokens.at("unk_token"), "<unk>");
  EXPECT_EQ(files->chat_template, "{{ x }}");
}

TEST(TokenizerFiles, ReadsWhatDecidesAboutSteps) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write("config.json", R"({"model_type":"llama"})");
  folder.write("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer","legacy":false,"add_prefix_space":null})");
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->model_type, "llama");
  EXPECT_EQ(files->tokenizer_class, "LlamaTokenizer");
  EXPECT_EQ(files->legacy, false);
  EXPECT_FALSE(files->add_prefix_space.has_value());
}

TEST(TokenizerFiles, ReadsNamedTemplates) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write("tokenizer_config.json", R"({"chat_template":[{"name":"default","template":"a"},{"name":"tool_use","template":"b"}]})");
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->chat_template, "a");
  EXPECT_EQ(files->named_templates.at("tool_use"), "b");
}

TEST(TokenizerFiles, PrefersTemplatesInFilesOfTheirOwn) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write("tokenizer_config.json", R"({"chat_template":[{"name":"default","template":"old"},{"name":"tool_use","template":"b"}]})");
  folder.write("chat_template.jinja", "new");
  folder.write("additional_chat_templates/rag.jinja", "cited");
  const Result<TokenizerFiles> files = read_tokenizer_files(folder.path());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->chat_template, "new");
  EXPECT_FALSE(files->named_templates.contains("tool_use"));
  EXPECT_EQ(files->named_templates.at("rag"), "cited");
}

TEST(TokenizerFiles, ReadsTheTemplateOfOlderProcessorsWhereThereIsNoOther) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write("chat_template.json", R"({"chat_template":"older"})");
  EXPECT_EQ(read_tokenizer_files(folder.path())->chat_template, "older");
  folder.write("tokenizer_config.json", R"({"chat_template":"config"})");
  EXPECT_EQ(read_tokenizer_files(folder.path())->chat_template, "config");
  folder.write("tokenizer_config.json", "{}");
  folder.write("chat_template.json", R"({"chat_template":5})");
  EXPECT_THAT(read_tokenizer_files(folder.path()).error().message, HasSubstr("chat_template.json: \"chat_template\": expected a string"));
}

TEST(TokenizerFiles, NamesTheFileAtFault) {
  const TemporaryFolder folder;
  const auto refusal = [&] { return read_tokenizer_files(folder.path()).error().message; };
  folder.write("tokenizer.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: expected an object"));
  folder.write("tokenizer.json", "{");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: line 1"));
  folder.write("tokenizer.json", "{}");
  folder.write("tokenizer_config.json", R"({"chat_template":7})");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: \"chat_template\""));
  folder.write("tokenizer_config.json", R"({"bos_token":{"x":1}})");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: \"bos_token\""));
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"y"}}})");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: \"added_tokens_decoder\": expected token ids as keys, found \"x\""));
  folder.write("tokenizer_config.json", R"({"extra_special_tokens":[7]})");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: \"extra_special_tokens\": expected a string or an object"));
  folder.write("tokenizer_config.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: expected an object"));
}

}  // namespace
}  // namespace slora
