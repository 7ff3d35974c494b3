#include "api/text_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

// A folder with a tokenizer, and no template yet.
class TextModelTest : public ::testing::Test {
 protected:
  TextModelTest() {
    std::filesystem::copy_file(source_path("tests/golden/tokenizers/qwen2/tokenizer.json"), folder_.path() + "/tokenizer.json");
  }

  TextModel load(const std::optional<std::filesystem::path>& file = std::nullopt) const {
    return *TextModel::load(folder_.path(), {.vocabulary_size = 1000, .chat_template_file = file}).value();
  }
  static std::string render(const TextModel& model) {
    const Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
    const Result<std::string> text = model.render({.messages = messages});
    return text ? *text : text.error().message;
  }

  const TemporaryFolder folder_;
};

TEST_F(TextModelTest, RefusesChatsWithoutATemplate) {
  const TextModel model = load();
  ASSERT_TRUE(model.chat_refusal());
  EXPECT_THAT(model.chat_refusal()->message, HasSubstr("--chat-template FILE"));
  EXPECT_THAT(render(model), HasSubstr("no chat template"));
}

TEST_F(TextModelTest, RefusesChatsWithATemplateThatIsNotServed) {
  folder_.write("chat_template.jinja", "a\n{% extends 'base' %}");
  const TextModel model = load();
  ASSERT_TRUE(model.chat_refusal());
  EXPECT_THAT(render(model), HasSubstr("not served: chat template, line 2: the tag 'extends' is not supported"));
}

TEST_F(TextModelTest, TakesTheFilesTemplatesInTransformersOrder) {
  folder_.write("tokenizer_config.json", R"({"bos_token":"<s>","chat_template":"config {{ bos_token }}"})");
  EXPECT_EQ(render(load()), "config <s>");
  folder_.write("chat_template.jinja", "file {{ messages[0].content }}");
  EXPECT_EQ(render(load()), "file Hi");
}

TEST_F(TextModelTest, TakesTheGivenFileInPlaceOfAllOthers) {
  folder_.write("tokenizer_config.json", R"({"chat_template":[{"name":"default","template":"d"},{"name":"tool_use","template":"t"}]})");
  folder_.write("mine.jinja", "mine");
  const TextModel model = load(folder_.path() + "/mine.jinja");
  const Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
  const Json tools = Json::array({Json::object()});
  EXPECT_EQ(model.render({.messages = messages, .tools = &tools}).value(), "mine");
  EXPECT_EQ(load().render({.messages = messages, .tools = &tools}).value(), "t");
  EXPECT_FALSE(TextModel::load(folder_.path(), {.chat_template_file = folder_.path() + "/absent.jinja"}));
}

}  // namespace
}  // namespace slora
