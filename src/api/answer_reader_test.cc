#include "api/answer_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "api/testing/tool_model_fixture.h"

namespace slora {
namespace {

constexpr const char* kTools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
constexpr std::string_view kCall = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": \"Zürich\"}}\n</tool_call>";

class AnswerReaderTest : public ToolModelFixture {
 protected:
  std::shared_ptr<GenerationJob> chat(const std::string& fields) {
    return start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],)" + fields + "}");
  }
  Json message() const { return body()["choices"][0]["message"]; }
  std::string finish_reason() const { return body()["choices"][0]["finish_reason"].get<std::string>(); }
};

TEST_F(AnswerReaderTest, GivesACallInsteadOfItsText) {
  chat(kTools);
  deliver_all(0, std::string(kCall));
  EXPECT_TRUE(message()["content"].is_null());
  ASSERT_EQ(message()["tool_calls"].size(), 1U);
  const Json call = body()["choices"][0]["message"]["tool_calls"][0];
  EXPECT_EQ(call["function"]["name"], "f");
  EXPECT_EQ(call["function"]["arguments"], "{\"city\": \"Zürich\"}");
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("chatcmpl-tool-"));
  EXPECT_EQ(call["id"].get<std::string>().size(), std::string("chatcmpl-tool-").size() + 32);
  EXPECT_EQ(finish_reason(), "tool_calls");
}

TEST_F(AnswerReaderTest, StreamsWhatTheWholeAnswerHas) {
  const std::string words = "<think>\nHm.\n</think>\nLook: " + std::string(kCall) + "\n" + std::string(kCall);
  chat(kTools);
  deliver_all(0, words);
  const Json whole = message();
  chat(std::string(kTools) + R"(,"stream":true)");
  deliver_all(1, words);
  Json joined = {{"role", ""}, {"content", ""}, {"reasoning", ""}, {"reasoning_content", ""}, {"tool_calls", Json::array()}};
  std::vector<std::string> order;
  for (const Json& event : sink->events()) {
    const Json& delta = event["choices"][0]["delta"];
    for (const char* field : {"role", "content", "reasoning", "reasoning_content"}) {
      if (delta.contains(field)) joined[field] = joined[field].get<std::string>() + delta[field].get<std::string>();
    }
    for (const Json& part : delta.value("tool_calls", Json::array())) {
      if (part.contains("id")) {
        EXPECT_EQ(part["function"]["arguments"], "");
        EXPECT_EQ(part["index"], joined["tool_calls"].size());
        joined["tool_calls"].push_back(part);
        joined["tool_calls"].back().erase("index");
      } else {
        EXPECT_EQ(part["index"], joined["tool_calls"].size() - 1);
        Json& arguments = joined["tool_calls"].back()["function"]["arguments"];
        arguments = arguments.get<std::string>() + part["function"]["arguments"].get<std::string>();
      }
    }
  }
  const Json last = sink->events().back();
  EXPECT_EQ(last["choices"][0]["delta"], Json::object());
  EXPECT_EQ(last["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(sink->events().front()["choices"][0]["delta"], Json({{"role", "assistant"}, {"content", ""}}));
  std::set<std::string> ids;
  for (Json* message : {&joined}) {
    for (Json& call : (*message)["tool_calls"]) ids.insert(call["id"].get<std::string>());
  }
  EXPECT_EQ(ids.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) joined["tool_calls"][i]["id"] = whole["tool_calls"][i]["id"];
  EXPECT_EQ(joined, Json({{"role", "assistant"},
                          {"content", whole["content"]},
                          {"reasoning", whole["reasoning"]},
                          {"reasoning_content", whole["reasoning_content"]},
                          {"tool_calls", whole["tool_calls"]}}));
  EXPECT_EQ(whole["content"], "Look:");
  EXPECT_EQ(whole["reasoning"], "Hm.");
}

TEST_F(AnswerReaderTest, TellsACutCallByItsFinishReason) {
  chat(kTools);
  deliver_all(0, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1", EndReason::length);
  EXPECT_EQ(finish_reason(), "length");
  EXPECT_TRUE(message()["tool_calls"][0]["function"]["arguments"].get<std::string>().starts_with("{\"a\": 1"));
  chat(std::string(kTools) + R"(,"stop":["city"])");
  deliver_all(1, std::string(kCall));
  EXPECT_EQ(finish_reason(), "stop");
  EXPECT_EQ(body()["choices"][0]["stop_reason"], "city");
  EXPECT_EQ(message()["tool_calls"][0]["function"]["arguments"], "{\"");
}

TEST_F(AnswerReaderTest, LeavesTextAloneWithoutTools) {
  chat(R"("n":1)");
  deliver_all(0, std::string(kCall));
  EXPECT_EQ(message()["content"], kCall);
  EXPECT_FALSE(message().contains("tool_calls"));
  EXPECT_EQ(finish_reason(), "stop");
  chat(std::string(kTools) + R"(,"tool_choice":"none")");
  deliver_all(1, std::string(kCall));
  EXPECT_EQ(message()["content"], kCall);
}

TEST_F(AnswerReaderTest, DropsWhatFollowsTheOneCall) {
  chat(std::string(kTools) + R"(,"parallel_tool_calls":false)");
  deliver_all(0, std::string(kCall) + "\n" + std::string(kCall) + " text");
  EXPECT_EQ(message()["tool_calls"].size(), 1U);
  EXPECT_TRUE(message()["content"].is_null());
}

TEST_F(AnswerReaderTest, GivesEachChoiceItsOwnCalls) {
  chat(std::string(kTools) + R"(,"n":2)");
  deliver_all(0, std::string(kCall));
  deliver_all(1, "No.");
  EXPECT_EQ(body()["choices"][0]["message"]["tool_calls"].size(), 1U);
  EXPECT_EQ(body()["choices"][1]["message"]["content"], "No.");
  EXPECT_EQ(body()["choices"][1]["finish_reason"], "stop");
}

TEST_F(AnswerReaderTest, CountsReasoningAndLeavesItOut) {
  chat(R"("logprobs":true)");
  deliver_all(0, "<think>a b c</think>d");
  const auto reasoning = body()["usage"]["completion_tokens_details"]["reasoning_tokens"].get<int>();
  EXPECT_GT(reasoning, 3);
  EXPECT_EQ(message()["reasoning_content"], "a b c");
  const std::size_t all = body()["choices"][0]["logprobs"]["content"].size();
  chat(R"("logprobs":true,"include_reasoning":false)");
  deliver_all(1, "<think>a b c</think>d");
  EXPECT_FALSE(message().contains("reasoning"));
  EXPECT_EQ(message()["content"], "d");
  EXPECT_EQ(body()["usage"]["completion_tokens_details"]["reasoning_tokens"], reasoning);
  EXPECT_EQ(body()["choices"][0]["logprobs"]["content"].size(), all - static_cast<std::size_t>(reasoning));
}

TEST_F(AnswerReaderTest, RefusesChoicesThatDoNotFitTheTools) {
  const auto param = [&](const std::string& fields) {
    chat(fields);
    return sink->error ? sink->error->param : std::string();
  };
  EXPECT_EQ(param(R"("tool_choice":"auto")"), "tool_choice");
  EXPECT_EQ(param(R"("tool_choice":"none")"), "");
  EXPECT_EQ(param(std::string(kTools) + R"(,"tool_choice":"any")"), "tool_choice");
  EXPECT_EQ(param(std::string(kTools) + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})"), "tool_choice.function.name");
  EXPECT_EQ(param(std::string(kTools) + R"(,"tool_choice":{"type":"function"})"), "tool_choice.function.name");
}

TEST_F(AnswerReaderTest, TurnsForcedChoicesIntoAForm) {
  const auto form = [&](const std::string& fields) {
    const Result<PreparedRequest> request =
        preparer->prepare(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],)" + std::string(kTools) + fields + "}");
    return request.value().spec.constraint;
  };
  EXPECT_FALSE(form(""));
  const std::optional<ConstraintSpec> required = form(R"(,"tool_choice":"required")");
  ASSERT_TRUE(required);
  EXPECT_EQ(required->kind, ConstraintKind::structural_tag);
  EXPECT_EQ(Json::parse(required->text),
            Json::parse(R"({"type":"structural_tag","format":{"type":"tags_with_separator","tags":[{"type":"tag",
              "begin":"<tool_call>\n{\"name\": \"f\", \"arguments\": ",
              "content":{"type":"json_schema","json_schema":{"type":"object"},"style":"json"},
              "end":"}\n</tool_call>"}],"separator":"\n","at_least_one":true,"stop_after_first":false}})"));
  const auto named = form(R"(,"tool_choice":{"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(Json::parse(named->text)["format"]["stop_after_first"], true);
}

// Of a model whose template shows no form of calls.
class UnknownFormTest : public GenerationJobFixture {
 protected:
  void start_chat(const std::string& fields) {
    generator.context = 512;
    start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],)" + std::string(kTools) + fields + "}");
  }
};

TEST_F(UnknownFormTest, LeavesFreeTextFreeWhereToolsAreStrict) {
  const Result<PreparedRequest> request = preparer->prepare(
      Endpoint::chat,
      R"({"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","strict":true}}]})");
  EXPECT_FALSE(request.value().spec.constraint);
}

TEST_F(UnknownFormTest, RefusesForcedCallsWhereCallsStayText) {
  AdapterTexts plain(TextModel::load(folder.path(), {.vocabulary_size = kVocabulary, .answer_forms = {"none", ""}}).value());
  preparer.emplace(std::vector<std::string>{"base"}, kVocabulary, plain, generator);
  start_chat(R"(,"tool_choice":"required")");
  ASSERT_TRUE(sink->error);
  EXPECT_EQ(sink->error->param, "tool_choice");
  EXPECT_NE(sink->error->message.find("--tool-call-parser none"), std::string::npos) << sink->error->message;
}

}  // namespace
}  // namespace slora
