#include "api/adapter_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_look.h"
#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Adapters that are only text: a folder each beside the base's.
class AdapterTextsTest : public ::testing::Test {
 protected:
  // The version of an adapter whose folder is now as given: file names and contents.
  AdapterVersion version(const std::string& name, const std::vector<std::pair<std::string, std::string>>& files) {
    folder.write(name + "/adapter_config.json", "{}");
    for (const auto& [file, content] : files) folder.write(name + "/" + file, content);
    return version_of(name);
  }
  AdapterVersion version_of(const std::string& name) {
    const std::string path = folder.path() + "/" + name;
    return {AdapterId{++last_id}, {name, path, 1, current_stamp(system_folders(), path).value()}, 1};
  }
  static std::string refusal(const Result<std::shared_ptr<const TextModel>>& text) {
    return text ? "none" : text.error().code + ": " + text.error().message;
  }
  static std::string render(const TextModel& text) {
    const Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
    const Result<std::string> prompt = text.render({.messages = messages});
    return prompt ? *prompt : prompt.error().message;
  }

  const TemporaryFolder folder;
  std::uint64_t last_id = 0;
  const std::shared_ptr<const TextModel> base = TextModel::load(source_path("tests/golden/reports/base"), {.vocabulary_size = 288}).value();
  AdapterTexts texts{base};
};

TEST_F(AdapterTextsTest, AnAdapterWithoutTextFilesHasTheBases) {
  EXPECT_EQ(texts.of(version("plain", {})).value(), base);
  EXPECT_EQ(texts.bytes(), 0u);
}

TEST_F(AdapterTextsTest, AVersionIsReadOnce) {
  const AdapterVersion first = version("own", {{"chat_template.jinja", "one"}});
  const auto text = texts.of(first).value();
  EXPECT_EQ(render(*text), "one");
  const AdapterVersion second = version("own", {{"chat_template.jinja", "two"}});
  EXPECT_EQ(render(*texts.of(second).value()), "two");
  EXPECT_EQ(texts.of(first).value(), text) << "of the version, whatever its folder holds by now";
}

TEST_F(AdapterTextsTest, FindsWithoutReading) {
  const AdapterVersion own = version("own", {{"chat_template.jinja", "one"}}), broken = version("broken", {{"tokenizer_config.json", "{"}});
  EXPECT_EQ(texts.find(own), std::nullopt);
  (void)texts.of(own);
  (void)texts.of(broken);
  EXPECT_EQ(render(*texts.find(own).value().value()), "one");
  EXPECT_THAT(refusal(texts.find(broken).value()), HasSubstr("E_BAD_JSON"));
}

TEST_F(AdapterTextsTest, KeepsWhatRequestsWaitFor) {
  AdapterTexts few(base, {.versions_max = 2});
  const AdapterVersion wanted = version("wanted", {{"chat_template.jinja", "wanted"}});
  std::shared_ptr<const void> first = few.hold("wanted"), second = few.hold("wanted");
  (void)few.of(wanted);
  const auto read_others = [&] {
    for (const char* name : {"a", "b", "c"}) (void)few.of(version(name, {{"chat_template.jinja", name}}));
  };
  read_others();
  EXPECT_TRUE(few.find(wanted));
  second.reset();
  read_others();
  EXPECT_TRUE(few.find(wanted));
  first.reset();
  read_others();
  EXPECT_EQ(few.find(wanted), std::nullopt);
}

TEST_F(AdapterTextsTest, EqualContentsAreShared) {
  const auto one = texts.of(version("one", {{"chat_template.jinja", "same"}})).value();
  const std::size_t bytes = texts.bytes();
  EXPECT_GT(bytes, 0u);
  EXPECT_EQ(texts.of(version("two", {{"chat_template.jinja", "same"}})).value(), one);
  EXPECT_EQ(texts.bytes(), bytes);
  EXPECT_NE(texts.of(version("three", {{"chat_template.jinja", "other"}})).value(), one);
}

TEST_F(AdapterTextsTest, ManyAskForTheSameVersionAndItIsBuiltOnce) {
  const AdapterVersion own = version("own", {{"tokenizer_config.json", R"({"extra_special_tokens":["<x>"]})"}});
  std::vector<std::shared_ptr<const TextModel>> found(8);
  std::vector<std::thread> threads;
  for (auto& text : found) threads.emplace_back([&] { text = texts.of(own).value(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& text : found) EXPECT_EQ(text, found.front());
}

TEST_F(AdapterTextsTest, WhatIsRememberedIsBoundedAndRequestsKeepTheirs) {
  AdapterTexts few(base, {.versions_max = 2});
  const AdapterVersion first = version("first", {{"chat_template.jinja", "first"}});
  const auto kept = few.of(first).value();
  for (int i = 0; i < 5; ++i) {
    const std::string name = "n" + std::to_string(i);
    EXPECT_EQ(render(*few.of(version(name, {{"chat_template.jinja", name}})).value()), name);
  }
  const std::size_t of_two = few.bytes();
  EXPECT_EQ(render(*kept), "first");
  EXPECT_EQ(few.of(first).value(), kept) << "read again, and still the content that a request has";
  EXPECT_NEAR(static_cast<double>(few.bytes()), static_cast<double>(of_two), 100) << "of two again";

  AdapterTexts small(base, {.bytes_max = 1});
  for (int i = 0; i < 3; ++i) static_cast<void>(small.of(version_of("n" + std::to_string(i))).value());
  EXPECT_LT(small.bytes(), of_two) << "only the one used last";
}

TEST_F(AdapterTextsTest, AnAdapterThatCantBeServedIsRefusedByName) {
  Json tokenizer = read_json_file(source_path("tests/golden/reports/base/tokenizer.json")).value();
  std::swap(tokenizer["added_tokens"][0]["content"], tokenizer["added_tokens"][1]["content"]);
  EXPECT_THAT(refusal(texts.of(version("ids", {{"tokenizer.json", tokenizer.dump()}}))),
              HasSubstr("E_ADAPTER_TOKENIZER: adapter \"ids\": its tokenizer gives the token \"<|eos|>\" the id 256; expected 257"));
  tokenizer["model"]["vocab"]["!"] = 1;
  EXPECT_THAT(refusal(texts.of(version("vocabulary", {{"tokenizer.json", tokenizer.dump()}}))), HasSubstr("E_ADAPTER_TOKENIZER"));
  EXPECT_THAT(refusal(texts.of(version("other", {{"tokenizer.model", "pieces"}}))),
              HasSubstr("E_ADAPTER_TOKENIZER: adapter \"other\": tokenizer.model without tokenizer.json"));
  EXPECT_THAT(refusal(texts.of(version("json", {{"tokenizer_config.json", "{"}}))),
              HasSubstr("E_BAD_JSON: adapter \"json\": tokenizer_config.json"));
  EXPECT_THAT(refusal(texts.of(version("range", {{"generation_config.json", R"({"temperature":-1})"}}))),
              HasSubstr("E_GENERATION_CONFIG: adapter \"range\": generation_config.json: \"temperature\""));
  EXPECT_EQ(texts.bytes(), 0u);
}

TEST_F(AdapterTextsTest, MoreTokensThanTheBaseHasRowsAreRefused) {
  Json extra = Json::array();
  for (int i = 0; i < 28; ++i) extra.push_back("<" + std::to_string(i) + ">");
  EXPECT_EQ(refusal(texts.of(version("full", {{"tokenizer_config.json", Json{{"extra_special_tokens", extra}}.dump()}}))), "none");
  extra.push_back("<28>");
  EXPECT_THAT(refusal(texts.of(version("more", {{"tokenizer_config.json", Json{{"extra_special_tokens", extra}}.dump()}}))),
              HasSubstr("the token \"<28>\" the id 288; expected at most 287: the base has 288 rows"));
}

TEST_F(AdapterTextsTest, ATemplateThatIsNotServedRefusesChatsOnly) {
  const auto text = texts.of(version("own", {{"chat_template.jinja", "{% extends 'x' %}"}})).value();
  EXPECT_THAT(render(*text), HasSubstr("This adapter's chat template is not served"));
  EXPECT_EQ(text->tokenizer().token_text(259), "<|im_end|>");
}

TEST_F(AdapterTextsTest, SettingsOfGenerationAreLaidOverTheBases) {
  const auto text = texts.of(version("own", {{"generation_config.json", R"({"temperature":0.25,"eos_token_id":[258]})"}})).value();
  EXPECT_EQ(text->sampling().temperature, 0.25F);
  EXPECT_THAT(text->sampling().end_tokens, ::testing::ElementsAre(257, 258));
  EXPECT_EQ(&text->tokenizer(), &base->tokenizer());
}

TEST_F(AdapterTextsTest, ASpecialTokensMapAloneChangesWhatItNames) {
  const auto text = texts.of(version("own", {{"special_tokens_map.json", R"({"eos_token":{"content":"<|im_end|>"}})"}})).value();
  EXPECT_THAT(text->sampling().end_tokens, ::testing::ElementsAre(257, 259));
  EXPECT_EQ(render(*text), render(*base));
}

TEST_F(AdapterTextsTest, TheAdaptersTemplateWinsOverTheGivenFile) {
  folder.write("given.jinja", "given");
  const auto with_file = TextModel::load(source_path("tests/golden/reports/base"),
                                         {.vocabulary_size = 288, .chat_template_file = folder.path() + "/given.jinja"})
                             .value();
  AdapterTexts given(with_file);
  EXPECT_EQ(render(*given.base()), "given");
  EXPECT_EQ(render(*given.of(version("own", {{"chat_template.jinja", "own"}})).value()), "own");
  EXPECT_EQ(render(*given.of(version("ends", {{"special_tokens_map.json", R"({"eos_token":"<|im_end|>"})"}})).value()), "given");
}

TEST_F(AdapterTextsTest, AnAdapterServesChatsWhereTheBaseHasNoTemplate) {
  for (const char* name : {"config.json", "tokenizer.json"}) {
    folder.write(std::string("bare/") + name,
                 read_text_file(source_path(std::string("tests/golden/reports/base/") + name), 1 << 20).value());
  }
  AdapterTexts bare(TextModel::load(folder.path() + "/bare", {.vocabulary_size = 288}).value());
  EXPECT_THAT(render(*bare.base()), HasSubstr("no chat template"));
  EXPECT_EQ(render(*bare.of(version("own", {{"chat_template.jinja", "own"}})).value()), "own");
  EXPECT_THAT(render(*bare.of(version("ends", {{"special_tokens_map.json", R"({"eos_token":"<|im_end|>"})"}})).value()),
              HasSubstr("no chat template"));
}

TEST_F(AdapterTextsTest, AFolderThatChangesMeanwhileIsNoReasonToRefuseItForGood) {
  const AdapterVersion version_before = version("own", {{"chat_template.jinja", "one"}});
  folder.write("own/chat_template.jinja", "two");
  EXPECT_THAT(refusal(texts.of(version_before)), HasSubstr("E_CHANGED: adapter \"own\""));
  EXPECT_EQ(render(*texts.of(version_of("own")).value()), "two");
}

TEST_F(AdapterTextsTest, AFolderWhoseOtherFilesChangeHasTheSameText) {
  const AdapterVersion version_before = version("own", {{"chat_template.jinja", "one"}});
  folder.write("own/adapter_config.json", R"({"changed":true})");
  EXPECT_EQ(render(*texts.of(version_before).value()), "one");
}

}  // namespace
}  // namespace slora
