#include "cli/generate_lines.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "formats/json.h"

namespace slora {
namespace {

TEST(GenerateLine, TakesTheDefaultsThatItDoesNotName) {
  const LineDefaults defaults{"french", 32, 0.5, 7};
  const GenerateLine line = parse_line(R"({"prompt": "Hello", "temperature": 1})", defaults);
  ASSERT_FALSE(line.error);
  EXPECT_EQ(line.endpoint, Endpoint::completions);
  EXPECT_EQ(line.request,
            Json::parse(R"({"prompt": "Hello", "temperature": 1, "model": "french", "max_tokens": 32, "seed": 7, "stream": false})"));
}

TEST(GenerateLine, ItsAdapterIsTheModelOfTheRequest) {
  const GenerateLine line =
      parse_line(R"({"messages": [{"role": "user", "content": "Hi"}], "adapter": "german", "stream": true})", {"french"});
  EXPECT_EQ(line.endpoint, Endpoint::chat);
  EXPECT_EQ(line.request["adapter"], "german") << "a field of the API, as all other ways to name one";
  EXPECT_EQ(line.request["stream"], false);
  EXPECT_FALSE(line.request.contains("model"));
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
  EXPECT_EQ(list.request["messages"], Json::parse(R"([{"role": "user", "content": "Hi"}])"));
  EXPECT_EQ(list.request["model"], "french");

  const GenerateLine request = parse_conversation(R"({"messages": [], "tools": [], "max_tokens": 5})", defaults);
  ASSERT_FALSE(request.error);
  EXPECT_EQ(request.request["max_tokens"], 5);
  EXPECT_TRUE(request.request.contains("tools"));

  for (const char* broken : {"[", "3", "{}", R"({"prompt": "Hi"})", R"({"messages": [], "n": 2})"}) {
    EXPECT_TRUE(parse_conversation(broken, defaults).error) << broken;
  }
}

class OutputLineTest : public ::testing::Test {
 protected:
  OutputLineTest() {
    answer.request.model_name = "m";
    answer.request.text = TextModel::load(source_path("tests/golden/tokenizers/qwen2"), {}).value();
    answer.request.prompts.push_back({.tokens = {1, 2}, .echo = {}, .output_tokens_max = 1});
    answer.prompts.resize(1);
    add_choice("a", "stop");
  }
  void add_choice(const char* choice_text, const char* reason) {
    AnsweredChoice& choice = answer.choices.emplace_back();
    choice.text = choice_text;
    choice.tokens = {{.id = 64, .logprob = -0.5F, .top = {}}};
    choice.finish_reason = reason;
  }
  std::string line() const { return output_line(3, answer); }

  Answer answer;
};

TEST_F(OutputLineTest, NamesItsInput) {
  EXPECT_EQ(
      line(),
      R"({"index":3,"model":"m","text":"a","finish_reason":"stop","usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}})");
  EXPECT_EQ(output_line(1, ApiError{ErrorKind::invalid_request, "bad", "no", "prompt"}),
            R"({"index":1,"error":{"message":"no","type":"invalid_request_error","param":"prompt","code":"bad"}})");
}

TEST_F(OutputLineTest, SeveralAnswersAreLists) {
  add_choice("b", "length");
  const Json lists = Json::parse(line());
  EXPECT_EQ(lists["text"], Json({"a", "b"}));
  EXPECT_EQ(lists["finish_reason"], Json({"stop", "length"}));
}

TEST_F(OutputLineTest, HoldsWhatWasAskedFor) {
  answer.request.spec.output.logprobs = 0;
  answer.request.spec.output.prompt_logprobs = 0;
  answer.request.spec.output.return_token_ids = true;
  answer.prompts[0].logprobs = {{.token = {.id = 2, .logprob = -1.0F, .top = {}}, .rank = 1}};
  const Json whole = Json::parse(line());
  EXPECT_EQ(whole["logprobs"]["token_logprobs"], Json({-0.5}));
  EXPECT_EQ(whole["prompt_logprobs"][1]["2"]["logprob"], -1.0);
  EXPECT_EQ(whole["token_ids"], Json({64}));
  EXPECT_EQ(whole["prompt_token_ids"], Json({1, 2}));
  answer.request.spec.endpoint = Endpoint::chat;
  EXPECT_EQ(Json::parse(line())["logprobs"]["content"].size(), 1u);
}

}  // namespace
}  // namespace slora
