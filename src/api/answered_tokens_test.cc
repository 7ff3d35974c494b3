// Tokens and log-probabilities in answers.
#include <gtest/gtest.h>

#include "api/json_text.h"
#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

using AnsweredTokensTest = GenerationJobFixture;

TEST_F(AnsweredTokensTest, GivesLogprobsInTheFormOfTheEndpoint) {
  complete(R"("logprobs":1)");
  deliver_text(0, " big world");
  const Json logprobs = body()["choices"][0]["logprobs"];
  std::string joined;
  for (std::size_t i = 0; i < logprobs["tokens"].size(); ++i) {
    const std::string token = logprobs["tokens"][i];
    EXPECT_EQ(logprobs["text_offset"][i], joined.size());
    EXPECT_EQ(logprobs["token_logprobs"][i], -0.5);
    EXPECT_EQ(logprobs["top_logprobs"][i], Json({{token, -0.5}}));
    joined += token;
  }
  EXPECT_EQ(joined, " big world");

  start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],"logprobs":true,"top_logprobs":1})");
  const TokenId half = text.tokenizer().encode("\xf0\x9f\x98\x80", SpecialTokens::omit).value().front();
  deliver(1, half, EndReason::length);
  const Json entry = body()["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(entry["token"], "\xef\xbf\xbd") << "half a character";
  EXPECT_EQ(entry["bytes"][0], 0xf0);
  EXPECT_EQ(entry["top_logprobs"][0]["bytes"], entry["bytes"]);
}

TEST_F(AnsweredTokensTest, ScoresAPromptAndDropsTheTokenThatWasDrawn) {
  start(Endpoint::completions, R"({"prompt":[10,20,30],"echo":true,"max_tokens":0,"logprobs":1})");
  ASSERT_EQ(generator.submitted.size(), 1u);
  EXPECT_EQ(generator.submitted[0].output_tokens_max, 1);
  EXPECT_EQ(generator.submitted[0].sampling.prompt_logprob_count, 1);
  EXPECT_TRUE(generator.submitted[0].sampling.end_tokens.empty()) << "the end of what is dropped is no reason";
  deliver(0, 40, EndReason::length, {{.token = {20, -2, {{21, -1}}}, .rank = 7}, {.token = {30, -3, {{30, -3}}}, .rank = 1}});
  const Json choice = body()["choices"][0];
  const auto text_of = [this](TokenId token) { return display_text(text.tokenizer(), token); };
  EXPECT_EQ(choice["text"], text_of(10) + text_of(20) + text_of(30));
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"]["tokens"], Json({text_of(10), text_of(20), text_of(30)}));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], Json({nullptr, -2.0, -3.0}));
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1], Json({{text_of(21), -1.0}, {text_of(20), -2.0}}));
  EXPECT_EQ(body()["usage"]["completion_tokens"], 0);
}

TEST_F(AnsweredTokensTest, OffsetsGoOnFromTheEchoedPromptToTheOutput) {
  start(Endpoint::completions, R"({"prompt":[10,20],"echo":true,"max_tokens":2,"logprobs":0,"stream":true})");
  deliver(0, 40, std::nullopt, {{.token = {20, -2, {}}, .rank = 7}});
  deliver(0, 50, EndReason::length);
  std::size_t offset = 0;
  std::string joined;
  for (const Json& event : sink->events()) {
    const Json choice = event["choices"][0];
    joined += choice["text"].get<std::string>();
    for (std::size_t i = 0; i < choice["logprobs"]["tokens"].size(); ++i) {
      EXPECT_EQ(choice["logprobs"]["text_offset"][i], offset);
      offset += choice["logprobs"]["tokens"][i].get<std::string>().size();
    }
  }
  EXPECT_EQ(joined.size(), offset) << "tokens of plain characters";
  EXPECT_EQ(sink->events().size(), 2u);
}

TEST_F(AnsweredTokensTest, GivesPromptLogprobsWhereVllmDoes) {
  const std::vector<PromptLogprob> scores = {{.token = {20, -2, {{21, -1}, {20, -2}}}, .rank = 7}};
  const auto scored = [this](double logprob, int rank, TokenId token) {
    return Json({{"logprob", logprob}, {"rank", rank}, {"decoded_token", display_text(text.tokenizer(), token)}});
  };
  const Json expected = Json::array({nullptr, {{"20", scored(-2, 7, 20)}, {"21", scored(-1, 1, 21)}}});
  start(Endpoint::completions, R"({"prompt":[10,20],"prompt_logprobs":2,"max_tokens":1,"n":2})");
  for (const std::size_t sequence : {1u, 0u}) deliver(sequence, 40, EndReason::length, scores);
  EXPECT_EQ(body()["choices"][0]["prompt_logprobs"], expected);
  EXPECT_EQ(body()["choices"][1]["prompt_logprobs"], expected);
  start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],"prompt_logprobs":2})");
  deliver(2, 40, EndReason::length, scores);
  EXPECT_EQ(body()["prompt_logprobs"], expected);
  EXPECT_FALSE(body()["choices"][0].contains("prompt_logprobs"));
}

TEST_F(AnsweredTokensTest, GivesTokenIdsWhereVllmDoes) {
  start(Endpoint::completions, R"({"prompt":[10,20],"return_token_ids":true,"stream":true})");
  deliver(0, 40);
  deliver(0, kEnd, EndReason::stop);
  const Json first = sink->events()[0]["choices"][0];
  EXPECT_EQ(first["prompt_token_ids"], Json({10, 20}));
  EXPECT_EQ(first["token_ids"], Json({40}));
  const Json second = sink->events()[1]["choices"][0];
  EXPECT_FALSE(second.contains("prompt_token_ids"));
  EXPECT_EQ(second["token_ids"], Json({kEnd})) << "the token that ended it, too";

  start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],"return_token_ids":true})");
  deliver(1, 40, EndReason::length);
  EXPECT_EQ(body()["prompt_token_ids"], Json(std::vector(generator.submitted[1].prompt.begin(), generator.submitted[1].prompt.end())));
  EXPECT_EQ(body()["choices"][0]["token_ids"], Json({40}));
}

TEST_F(AnsweredTokensTest, NamesTokensByTheirIdsWhenAsked) {
  complete(R"("logprobs":1,"return_tokens_as_token_ids":true)");
  deliver(0, 40, EndReason::length);
  EXPECT_EQ(body()["choices"][0]["logprobs"]["tokens"], Json({"token_id:40"}));
  EXPECT_EQ(body()["choices"][0]["logprobs"]["top_logprobs"][0], Json({{"token_id:40", -0.5}}));
}

}  // namespace
}  // namespace slora
