#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::EndsWith;

Reply complete(Json body) {
  body.update({{"temperature", 0}, {"ignore_eos", true}});
  return post(demo_server().port(), "/v1/completions", body);
}

Json first_choice(const Reply& reply) { return reply.status == 200 ? reply.json()["choices"][0] : Json(reply.body); }

TEST(Answers, ScoresOfAPromptAreThoseOfTheSameTokensAsOutput) {
  for (const char* model : {"demo", "spanish"}) {
    const Json output =
        first_choice(complete({{"model", model}, {"prompt", {5, 6, 7}}, {"max_tokens", 4}, {"logprobs", 2}, {"return_token_ids", true}}));
    Json ids = output["prompt_token_ids"];
    ids.insert(ids.end(), output["token_ids"].begin(), output["token_ids"].end());
    ASSERT_EQ(ids.size(), 7u);
    const Reply reply = complete({{"model", model}, {"prompt", ids}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 2}});
    const Json scored = first_choice(reply);
    EXPECT_EQ(scored["logprobs"]["tokens"].size(), 7u);
    EXPECT_EQ(scored["logprobs"]["token_logprobs"][0], nullptr);
    EXPECT_EQ(reply.json()["usage"]["completion_tokens"], 0);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(scored["logprobs"]["tokens"][3 + i], output["logprobs"]["tokens"][i]);
      EXPECT_EQ(scored["logprobs"]["token_logprobs"][3 + i], output["logprobs"]["token_logprobs"][i]) << "the same bits, however computed";
      EXPECT_EQ(scored["logprobs"]["top_logprobs"][3 + i], output["logprobs"]["top_logprobs"][i]);
    }
  }
}

TEST(Answers, EchoedAndGeneratedLogprobsStandInOneList) {
  Json body = {{"prompt", "The queen found"}, {"max_tokens", 3}, {"echo", true}, {"logprobs", 1}};
  const Reply whole = complete(body);
  const Json logprobs = first_choice(whole)["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), whole.json()["usage"]["total_tokens"]);
  body["stream"] = true;
  Json streamed;
  for (const Json& event : complete(body).events()) {
    for (const auto& [name, list] : event["choices"][0]["logprobs"].items()) {
      for (const Json& entry : list) streamed[name].push_back(entry);
    }
  }
  EXPECT_EQ(streamed, logprobs);
}

TEST(Answers, TokenIdsAreAPromptThatIsAnsweredTheSame) {
  Json body = chat_body("spanish", "Rosa painted a broken hat at the market.");
  body["return_token_ids"] = true;
  const Json chat = post(demo_server().port(), "/v1/chat/completions", body).json();
  const Reply again = post(demo_server().port(), "/v1/completions",
                           {{"model", "spanish"}, {"prompt", chat["prompt_token_ids"]}, {"temperature", 0}, {"max_tokens", 48}});
  EXPECT_EQ(first_choice(again)["text"], chat["choices"][0]["message"]["content"]);
  EXPECT_EQ(chat["choices"][0]["token_ids"].size(), chat["usage"]["completion_tokens"]);
}

TEST(Answers, SeveralPromptsAndChoicesKeepTheirIndicesInStreams) {
  const Json body = {{"prompt", {{5, 6}, {8, 9, 10}}}, {"n", 2}, {"max_tokens", 3}, {"stream", true}, {"return_token_ids", true}};
  std::vector<Json> prompts(4);
  std::vector<std::size_t> tokens(4);
  const Reply reply = complete(body);
  EXPECT_THAT(reply.body, EndsWith("data: [DONE]\n\n"));
  for (const Json& event : reply.events()) {
    const Json& choice = event["choices"][0];
    const auto index = choice["index"].get<std::size_t>();
    ASSERT_LT(index, 4u);
    if (choice.contains("prompt_token_ids")) prompts[index] = choice["prompt_token_ids"];
    tokens[index] += choice["token_ids"].size();
  }
  EXPECT_THAT(prompts, ::testing::ElementsAre(Json({5, 6}), Json({5, 6}), Json({8, 9, 10}), Json({8, 9, 10})));
  EXPECT_THAT(tokens, ::testing::Each(3u));
}

TEST(Answers, AnAdapterMayBeNamedApartFromTheModel) {
  const Json named = first_choice(complete({{"model", "shout"}, {"prompt", "The queen"}, {"max_tokens", 8}}));
  for (const char* field : {"lora_path", "adapter_id"}) {
    EXPECT_EQ(first_choice(complete({{field, "shout"}, {"prompt", "The queen"}, {"max_tokens", 8}})), named) << field;
  }
  const Reply both = complete({{"model", "spanish"}, {"lora_path", "shout"}, {"prompt", "a"}});
  EXPECT_EQ(both.status, 400);
  EXPECT_EQ(both.json()["error"]["param"], "lora_path");
  const Reply path = complete({{"lora_path", "../adapters/shout"}, {"prompt", "a"}});
  EXPECT_EQ(path.status, 404);
  EXPECT_EQ(path.json()["error"]["param"], "lora_path");
}

TEST(Answers, ConversationsWithToolsAreAnswered) {
  Json body = chat_body("demo", "What is the tide?");
  const Json function = {{"name", "tide"}, {"arguments", "{\"at\": \"noon\"}"}};
  body["messages"].push_back(
      {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"id", "c"}, {"type", "function"}, {"function", function}}}}});
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "c"}, {"content", "high"}});
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "tide"}, {"parameters", {{"type", "object"}}}}}}};
  EXPECT_EQ(post(demo_server().port(), "/v1/chat/completions", body).status, 200);
}

TEST(ForcedCalls, AreReadFromTheAnswerWhateverTheModelKnows) {
  if (get(demo_server().port(), "/server_info").json()["grammar_backend"] == "none") GTEST_SKIP() << "built without xgrammar";
  const Json parameters = {{"type", "object"},
                           {"properties", {{"city", {{"enum", {"Paris", "Rome"}}}}}},
                           {"required", {"city"}},
                           {"additionalProperties", false}};
  Json body = chat_body("demo", "What is the weather in Rome?");
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "weather"}, {"parameters", parameters}}}}};
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "weather"}}}};
  const Json choice = post(demo_server().port(), "/v1/chat/completions", body).json()["choices"][0];
  EXPECT_TRUE(choice["message"]["content"].is_null()) << choice.dump();
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1U) << choice.dump();
  const Json& call = choice["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(call["name"], "weather");
  const Json arguments = Json::parse(call["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["city"] == "Paris" || arguments["city"] == "Rome") << arguments.dump();

  body["stream"] = true;
  std::string joined;
  for (const Json& event : post(demo_server().port(), "/v1/chat/completions", body).events()) {
    if (event["choices"].empty() || !event["choices"][0]["delta"].contains("tool_calls")) continue;
    joined += event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(joined, call["arguments"]);
}

}  // namespace
}  // namespace slora
