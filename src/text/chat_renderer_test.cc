#include "text/chat_renderer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using ::testing::HasSubstr;

const Json kHello = Json::parse(R"([{"role":"user","content":"Hello"}])");
const Json kAnswered = Json::parse(R"([{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi there "}])");
const Json kTools = Json::parse(R"([{"type":"function","function":{"name":"f"}}])");
const Json kDocuments = Json::parse(R"([{"title":"t"}])");

ChatRenderer renderer_of(const std::string& source, std::map<std::string, std::string> named = {}) {
  TokenizerFiles files;
  files.chat_template = source;
  files.named_templates = std::move(named);
  files.special_tokens["bos_token"] = "<s>";
  return ChatRenderer::create(files).value();
}

std::string render(const ChatRenderer& renderer, const Conversation& conversation) {
  const Result<std::string> text = renderer.render(conversation);
  return text ? *text : text.error().param + " | " + text.error().message;
}

TEST(ChatRenderer, GivesTheTemplateWhatTransformersGivesIt) {
  const ChatRenderer renderer = renderer_of(
      "{{ bos_token }}{{ messages[0].content }} {{ tools }} {{ documents }} {{ add_generation_prompt }} {{ eos_token is defined }}");
  EXPECT_EQ(render(renderer, {.messages = kHello}), "<s>Hello None None True False");
  EXPECT_EQ(render(renderer, {.messages = kHello, .tools = &kTools, .documents = &kDocuments, .add_generation_prompt = false}),
            "<s>Hello [{'type': 'function', 'function': {'name': 'f'}}] [{'title': 't'}] False False");
}

TEST(ChatRenderer, PassesVariablesOnButNotOverTheConversation) {
  const ChatRenderer renderer = renderer_of("{{ enable_thinking }} {{ bos_token }} {{ messages | length }} {{ add_generation_prompt }}");
  const Json kwargs = {{"enable_thinking", false}, {"bos_token", "<b>"}, {"messages", nullptr}, {"add_generation_prompt", 0}};
  EXPECT_EQ(render(renderer, {.messages = kHello, .kwargs = &kwargs}), "False <b> 1 0");
}

TEST(ChatRenderer, TakesABoundedNumberOfVariables) {
  Json kwargs = Json::object();
  for (int i = 0; i < 257; ++i) kwargs[fmt::format("k{}", i)] = i;
  EXPECT_THAT(render(renderer_of("x"), {.messages = kHello, .kwargs = &kwargs}),
              HasSubstr("chat_template_kwargs | chat_template_kwargs: expected at most 256"));
}

TEST(ChatRenderer, ChoosesAmongNamedTemplates) {
  const ChatRenderer renderer = renderer_of("usual", {{"tool_use", "tools"}, {"rag", "documents"}});
  EXPECT_EQ(render(renderer, {.messages = kHello}), "usual");
  EXPECT_EQ(render(renderer, {.messages = kHello, .tools = &kTools}), "tools");
  EXPECT_EQ(render(renderer, {.messages = kHello, .documents = &kDocuments}), "documents");
  EXPECT_EQ(render(renderer, {.messages = kHello, .tools = &kTools, .documents = &kDocuments}), "tools");
  EXPECT_EQ(render(renderer, {.messages = kHello, .tools = &kTools, .template_name = "default"}), "usual");
  EXPECT_EQ(render(renderer, {.messages = kHello, .template_name = "{{ 7 }}"}),
            "chat_template | chat_template: expected the name of one of this model's templates (\"default\", \"rag\", \"tool_use\"), found "
            "\"{{ 7 }}\"");
  EXPECT_EQ(render(renderer_of("usual"), {.messages = kHello, .tools = &kTools, .documents = &kDocuments}), "usual");
  EXPECT_THAT(render(renderer_of("", {{"rag", "documents"}}), {.messages = kHello}), HasSubstr("found \"default\""));
}

TEST(ChatRenderer, RefusesABrokenNamedTemplateOnlyWhereItIsNeeded) {
  const ChatRenderer renderer = renderer_of("usual", {{"tool_use", "\n{% include 'x' %}"}});
  EXPECT_EQ(render(renderer, {.messages = kHello}), "usual");
  EXPECT_THAT(render(renderer, {.messages = kHello, .tools = &kTools}), HasSubstr("line 2: the tag 'include' is not supported"));
  TokenizerFiles files;
  EXPECT_EQ(ChatRenderer::create(files).error().code, "E_NO_CHAT_TEMPLATE");
  files.chat_template = "{% include 'x' %}";
  EXPECT_THAT(ChatRenderer::create(files).error().message, HasSubstr("line 1: the tag 'include' is not supported"));
}

TEST(ChatRenderer, GivesContentAsTheTemplateLoopsOverIt) {
  const std::string loop = "{% for part in message.content %}<{{ part.text }}>{% endfor %}";
  EXPECT_EQ(render(renderer_of("{% for message in messages %}" + loop + "{% endfor %}"), {.messages = kAnswered}), "<Hello><Hi there >");
  EXPECT_EQ(render(renderer_of("{% for message in messages %}{{ message.content }},{% endfor %}"), {.messages = kAnswered}),
            "Hello,Hi there ,");
  EXPECT_EQ(render(renderer_of("{% set rest = messages[1:] %}{% for m in rest | list %}{% for part in m['content'] | list %}{{ part.type }}"
                               "{% endfor %}{% endfor %}"),
                   {.messages = kAnswered}),
            "text");
  EXPECT_EQ(render(renderer_of("{% macro show(parts) %}{% for p in parts %}{{ p.text }};{% endfor %}{% endmacro %}"
                               "{% for m in messages %}{{ show(m.content) }}{% endfor %}"),
                   {.messages = kAnswered}),
            "Hello;Hi there ;");
}

TEST(ChatRenderer, ContinuesTheLastMessage) {
  const std::string plain = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}";
  const Conversation conversation{.messages = kAnswered, .add_generation_prompt = false, .continue_final_message = true};
  EXPECT_EQ(render(renderer_of(plain), conversation), "[user]Hello</s>[assistant]Hi there ");
  EXPECT_EQ(render(renderer_of("{% for m in messages %}{{ m.content | trim }}</s>{% endfor %}"), conversation), "Hello</s>Hi there");
  EXPECT_EQ(render(renderer_of("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}"), conversation),
            "Hello</s>Hi there ");
}

// Nearly the same text twice: a comparison at every position would take minutes.
TEST(ChatRenderer, ContinuesLongMessagesInTimeThatGrowsWithThem) {
  const Json messages = {{{"role", "user"}, {"content", std::string(2 << 20, 'a')}},
                         {{"role", "assistant"}, {"content", std::string(1 << 20, 'a') + "b"}}};
  const ChatRenderer renderer = renderer_of("{% for message in messages %}{{ message.content }}\n{% endfor %}");
  const std::string text = render(renderer, {.messages = messages, .add_generation_prompt = false, .continue_final_message = true});
  EXPECT_EQ(text.size(), (2u << 20) + 1 + (1u << 20) + 1);
}

TEST(ChatRenderer, SaysWhyAMessageCannotBeContinued) {
  const auto why = [](const std::string& source, const std::string& messages) {
    const Json list = Json::parse(messages);
    return render(renderer_of(source), {.messages = list, .add_generation_prompt = false, .continue_final_message = true});
  };
  const std::string spoken = R"([{"role":"assistant","content":"Hi"}])";
  EXPECT_THAT(why("{{ messages[0].content | upper }}", spoken),
              HasSubstr("continue_final_message | continue_final_message: the model's chat template"));
  EXPECT_THAT(why("{{ messages[0].role }}", spoken), HasSubstr("writes no content"));
  EXPECT_THAT(why("{{ messages[0].content }}", R"([{"role":"assistant","content":null}])"), HasSubstr("no content to continue"));
  EXPECT_THAT(
      why("{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}", R"([{"role":"user","content":[]}])"),
      HasSubstr("no text to continue"));
}

}  // namespace
}  // namespace slora
