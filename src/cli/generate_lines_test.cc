#include "cli/generate_lines.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace slora {
namespace {

TEST(GenerateLine, TakesTheDefaultsThatItDoesNotName) {
  const LineDefaults defaults{"french", 32, 0.5, 7};
  const GenerateLine line = parse_line(R"({"prompt": "Hello", "temperature": 1})", defaults);
  ASSERT_FALSE(line.error);
  EXPECT_EQ(line.endpoint, Endpoint::completions);
  EXPECT_EQ(Json::parse(line.body),
            Json::parse(R"({"prompt": "Hello", "temperature": 1, "model": "french", "max_tokens": 32, "seed": 7, "stream": false})"));
}

TEST(GenerateLine, ItsAdapterIsTheModelOfTheRequest) {
  const GenerateLine line = parse_line(R"({"messages": [{"role": "user", "content": "Hi"}], "adapter": "german", "stream": true})", {});
  EXPECT_EQ(line.endpoint, Endpoint::chat);
  EXPECT_EQ(Json::parse(line.body)["model"], "german");
  EXPECT_EQ(Json::parse(line.body)["stream"], false);
  EXPECT_FALSE(Json::parse(line.body).contains("adapter"));
}

TEST(GenerateLine, ABrokenLineCarriesItsError) {
  EXPECT_TRUE(parse_line("{", {}).error);
  EXPECT_TRUE(parse_line("[]", {}).error);
}

TEST(GenerateLine, AConversationIsAListOfMessagesOrARequest) {
  const LineDefaults defaults{"french", 32, 0, std::nullopt, true};
  const GenerateLine list = parse_conversation(R"([{"role": "user", "content": "Hi"}])", defaults);
  ASSERT_FALSE(list.error);
  EXPECT_EQ(list.endpoint, Endpoint::chat);
  EXPECT_EQ(Json::parse(list.body)["messages"], Json::parse(R"([{"role": "user", "content": "Hi"}])"));
  EXPECT_EQ(Json::parse(list.body)["model"], "french");

  const GenerateLine request = parse_conversation(R"({"messages": [], "tools": [], "max_tokens": 5})", defaults);
  ASSERT_FALSE(request.error);
  EXPECT_EQ(Json::parse(request.body)["max_tokens"], 5);
  EXPECT_TRUE(Json::parse(request.body).contains("tools"));

  for (const char* broken : {"[", "3", "{}", R"({"prompt": "Hi"})", R"({"messages": [], "n": 2})"}) {
    EXPECT_TRUE(parse_conversation(broken, defaults).error) << broken;
  }
}

TEST(GenerateLine, OutputNamesItsInput) {
  EXPECT_EQ(
      output_line(3, R"({"id":"x","model":"m","choices":[{"index":0,"text":"out","finish_reason":"stop"}],"usage":{"total_tokens":2}})"),
      R"({"index":3,"model":"m","text":"out","finish_reason":"stop","usage":{"total_tokens":2}})");
  EXPECT_EQ(
      output_line(
          0,
          R"({"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},"finish_reason":"length"}],"usage":null})"),
      R"({"index":0,"model":"m","text":["a","b"],"finish_reason":["stop","length"],"usage":null})");
  EXPECT_EQ(
      output_line(
          2,
          R"({"model":"m","choices":[{"text":"a","logprobs":{"tokens":["a"]},"token_ids":[5],"finish_reason":"stop"}],"usage":null,"prompt_logprobs":null})"),
      R"({"index":2,"model":"m","text":"a","finish_reason":"stop","logprobs":{"tokens":["a"]},"token_ids":[5],"usage":null})");
  EXPECT_EQ(output_line(1, R"({"error":{"message":"no"}})"), R"({"index":1,"error":{"message":"no"}})");
}

TEST(GenerateLine, EventsBringTheirText) {
  EXPECT_EQ(events_text("data: {\"choices\":[{\"delta\":{\"content\":\"ab\"}}]}\n\n").value(), "ab");
  EXPECT_EQ(events_text("data: {\"choices\":[{\"text\":\"cd\"}]}\n\n").value(), "cd");
  EXPECT_EQ(events_text("data: [DONE]\n\n").value(), "");
  EXPECT_EQ(events_text("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n").value(), "ab");
  const Result<std::string> failed = events_text("data: {\"error\":{\"code\":\"draining\",\"message\":\"over\"}}\n\n");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "over");
}

}  // namespace
}  // namespace slora
