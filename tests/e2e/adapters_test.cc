#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

struct Example {
  std::string adapter, prompt, expected;
};

// The first held-out examples of each adapter.
std::vector<Example> examples_per_adapter(std::size_t count) {
  std::ifstream file(source_path("demo/eval.json"));
  std::map<std::string, std::size_t> taken;
  std::vector<Example> examples;
  const Json eval = Json::parse(file);
  for (const Json& example : eval["examples"]) {
    const std::string adapter = example["adapter"].is_string() ? example["adapter"].get<std::string>() : "demo";
    if (taken[adapter]++ < count) examples.push_back({adapter == "base" ? "demo" : adapter, example["prompt"], example["expected"]});
  }
  return examples;
}

TEST(Adapters, AreListedAfterTheBaseAndRefusedOnesAreNot) {
  const Json models = get(demo_server().port(), "/v1/models").json();
  ASSERT_GE(models["data"].size(), 7u);
  EXPECT_EQ(models["data"][0]["id"], "demo");
  EXPECT_EQ(models["data"][0]["parent"], nullptr);
  for (const Json& model : models["data"]) {
    EXPECT_EQ(model["object"], "model");
    EXPECT_NE(model["id"], "broken");
    EXPECT_EQ(model["max_model_len"], 512);
    if (model["id"] != "demo") {
      EXPECT_EQ(model["parent"], "demo");
    }
  }
}

TEST(Adapters, AreNamedByTheModelFieldAndDoWhatTheyLearned) {
  std::size_t right = 0;
  const std::vector<Example> examples = examples_per_adapter(3);
  for (const Example& example : examples) {
    right += chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(example.adapter, example.prompt))) == example.expected
                 ? 1
                 : 0;
  }
  EXPECT_GE(right * 10, examples.size() * 9) << right << " of " << examples.size();
}

TEST(Adapters, AnswerTheSameAloneAndMixedWithAllOthers) {
  const std::vector<Example> examples = examples_per_adapter(4);
  std::vector<std::string> alone, mixed(examples.size());
  for (const Example& example : examples) {
    alone.push_back(chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(example.adapter, example.prompt))));
  }
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    clients.emplace_back([&, i] {
      mixed[i] = chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(examples[i].adapter, examples[i].prompt)));
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(mixed, alone);
}

TEST(Adapters, AnswerTheSameFromAModelInShards) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--shards", "2"});
  const ServerProcess shards(arguments);
  std::vector<Example> examples;
  for (const Example& example : examples_per_adapter(3)) {
    if (example.adapter == "shout") examples.push_back({"demo", example.prompt, ""});
    if (example.adapter == "shout" || example.adapter == "spanish") examples.push_back(example);
  }
  ASSERT_EQ(examples.size(), 9u);
  std::vector<std::string> expected, mixed(examples.size());
  for (const Example& example : examples) {
    expected.push_back(chat_text(post(demo_server().port(), "/v1/chat/completions", chat_body(example.adapter, example.prompt))));
  }
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    clients.emplace_back(
        [&, i] { mixed[i] = chat_text(post(shards.port(), "/v1/chat/completions", chat_body(examples[i].adapter, examples[i].prompt))); });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(mixed, expected);
}

TEST(Adapters, AnUnknownOneIs404AndARefusedOne400WithItsReason) {
  const Reply unknown = post(demo_server().port(), "/v1/chat/completions", chat_body("nobody", "Hi"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(unknown.json()["error"]["param"], "model");
  const Reply refused = post(demo_server().port(), "/v1/chat/completions", chat_body("broken", "Hi"));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["code"], "E_UNSUPPORTED_OPTION");
  EXPECT_NE(refused.json()["error"]["message"].get<std::string>().find("use_qalora"), std::string::npos);
}

}  // namespace
}  // namespace slora
