#include "server/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int32_t kVocabulary = 100;

Result<RequestSpec> completion(const std::string& fields) {
  return parse_request(Endpoint::completions, R"({"prompt":"p")" + (fields.empty() ? "" : "," + fields) + "}", kVocabulary);
}
Result<RequestSpec> chat(const std::string& fields) {
  return parse_request(Endpoint::chat, R"({"messages":[{"role":"user","content":"p"}])" + (fields.empty() ? "" : "," + fields) + "}",
                       kVocabulary);
}
std::string param_of(const Result<RequestSpec>& spec) {
  if (spec) return "(accepted)";
  EXPECT_EQ(spec.error().code, "invalid_request_error");
  return spec.error().param;
}

TEST(RequestParser, TakesEveryFormOfPrompt) {
  const auto prompts = [](const std::string& prompt) {
    return parse_request(Endpoint::completions, R"({"prompt":)" + prompt + "}", kVocabulary).value().prompts;
  };
  EXPECT_THAT(prompts(R"("text")"), ElementsAre(Prompt("text")));
  EXPECT_THAT(prompts("[1,2,99]"), ElementsAre(Prompt(std::vector<TokenId>{1, 2, 99})));
  EXPECT_THAT(prompts(R"(["a","b"])"), ElementsAre(Prompt("a"), Prompt("b")));
  EXPECT_THAT(prompts("[[1],[2,3]]"), ElementsAre(Prompt(std::vector<TokenId>{1}), Prompt(std::vector<TokenId>{2, 3})));
}

TEST(RequestParser, RefusesPromptsThatAreNone) {
  for (const auto& [prompt, param] : {std::pair{"[]", "prompt"},
                                      {"{}", "prompt"},
                                      {"[1,100]", "prompt[1]"},
                                      {"[1,-1]", "prompt[1]"},
                                      {"[[1],[]]", "prompt[1]"},
                                      {"[1,\"a\"]", "prompt[1]"},
                                      {"[[1],[1.5]]", "prompt[1][0]"},
                                      {"[\"a\",3]", "prompt[1]"},
                                      {"null", "prompt"}}) {
    EXPECT_EQ(param_of(parse_request(Endpoint::completions, std::string(R"({"prompt":)") + prompt + "}", kVocabulary)), param) << prompt;
  }
  EXPECT_EQ(param_of(parse_request(Endpoint::completions, "{}", kVocabulary)), "prompt");
  EXPECT_EQ(param_of(parse_request(Endpoint::chat, "{}", kVocabulary)), "messages");
}

TEST(RequestParser, ReadsMessagesWithTextOrTextParts) {
  const Result<RequestSpec> spec = parse_request(Endpoint::chat,
                                                 R"({"messages":[{"role":"system","content":"s"},
      {"role":"user","name":"n","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null}]})",
                                                 kVocabulary);
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->messages.size(), 3u);
  EXPECT_EQ(spec->messages[0].content, "s");
  EXPECT_EQ(spec->messages[1].content, "a\nb");
  EXPECT_EQ(spec->messages[1].name, "n");
  EXPECT_EQ(spec->messages[2].content, "");
}

TEST(RequestParser, NamesThePlaceWithinMessages) {
  for (const auto& [messages, param] : {std::pair{"[]", "messages"},
                                        {"[1]", "messages[0]"},
                                        {R"([{"content":"a"}])", "messages[0]"},
                                        {R"([{"role":"user","content":1}])", "messages[0].content"},
                                        {R"([{"role":"user"}])", "messages[0].content"},
                                        {R"([{"role":"user","content":[{"type":"image_url","image_url":"x"}]}])", "messages[0].content[0]"},
                                        {R"([{"role":"assistant","tool_calls":[{"id":"1"}]}])", "messages[0]"}}) {
    EXPECT_EQ(param_of(parse_request(Endpoint::chat, std::string(R"({"messages":)") + messages + "}", kVocabulary)), param) << messages;
  }
}

TEST(RequestParser, HoldsEveryNumberToItsBoundsOnBothEndpoints) {
  for (const NumberField& field : number_fields()) {
    for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat}) {
      if (!(endpoint == Endpoint::chat ? field.in_chat : field.in_completions)) continue;
      const auto verdict = [&](const std::string& value) {
        const std::string fields = fmt::format(R"("{}":{})", field.name, value) +
                                   (endpoint == Endpoint::chat && field.name == "top_logprobs" ? R"(,"logprobs":true)" : "");
        return param_of(endpoint == Endpoint::chat ? chat(fields) : completion(fields));
      };
      const auto number = [&](double value) {
        return field.is_integer ? fmt::format("{}", static_cast<std::int64_t>(value)) : fmt::format("{}", value);
      };
      const bool needs_max_tokens = field.name == "min_tokens";
      EXPECT_EQ(verdict(number(field.min)), "(accepted)") << field.name;
      if (!needs_max_tokens) {
        EXPECT_EQ(verdict(number(field.max)), "(accepted)") << field.name;
      }
      EXPECT_EQ(verdict("null"), "(accepted)") << field.name;
      const bool is_exact = field.max < 1e15;  // neighbours of larger bounds are the same double
      if (is_exact) {
        EXPECT_EQ(verdict(number(field.min - 1)), field.name) << field.name;
        EXPECT_EQ(verdict(number(field.max + 1)), field.name) << field.name;
      }
      for (const char* wrong : {"\"1\"", "true", "[]", "{}", "1e300", "-1e300", "18446744073709551615"})
        EXPECT_EQ(verdict(wrong), field.name) << field.name << wrong;
      if (field.is_integer && is_exact) {
        EXPECT_EQ(verdict(number(field.min) + ".5"), field.name) << field.name;
      }
    }
  }
}

TEST(RequestParser, TheNewerNameOfMaxTokensWins) {
  EXPECT_EQ(chat(R"("max_completion_tokens":5,"max_tokens":9)").value().max_tokens, 5);
  EXPECT_EQ(chat(R"("max_tokens":9,"max_completion_tokens":5)").value().max_tokens, 5);
}

TEST(RequestParser, BoundsTheAnswersOfOneRequest) {
  const auto verdict = [](int prompts) {
    const std::string list = fmt::format("{}", fmt::join(std::vector<std::string>(static_cast<std::size_t>(prompts), R"("a")"), ","));
    return param_of(parse_request(Endpoint::completions, R"({"n":8,"prompt":[)" + list + "]}", kVocabulary));
  };
  EXPECT_EQ(verdict(8), "(accepted)");
  EXPECT_EQ(verdict(9), "n");
}

TEST(RequestParser, TakesWholeNumbersWrittenAsFractions) { EXPECT_EQ(completion(R"("max_tokens":5.0)").value().max_tokens, 5); }

TEST(RequestParser, ReadsStopsAndBiases) {
  const RequestSpec spec = completion(R"("stop":["a","bc"],"stop_token_ids":[3],"logit_bias":{"7":-100,"99":1.5})").value();
  EXPECT_THAT(spec.stop, ElementsAre("a", "bc"));
  EXPECT_THAT(spec.stop_token_ids, ElementsAre(3));
  ASSERT_EQ(spec.logit_bias.size(), 2u);
  EXPECT_EQ(spec.logit_bias[0].token, 7);
  EXPECT_EQ(spec.logit_bias[1].bias, 1.5F);
  EXPECT_THAT(completion(R"("stop":"x")").value().stop, ElementsAre("x"));
  EXPECT_TRUE(completion(R"("stop":null)").value().stop.empty());

  EXPECT_EQ(param_of(completion(R"("stop":["a",""])")), "stop[1]");
  EXPECT_EQ(param_of(completion(R"("stop":[1])")), "stop[0]");
  EXPECT_EQ(param_of(completion(R"("stop":")" + std::string(257, 'x') + "\"")), "stop");
  EXPECT_EQ(param_of(completion(R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])")), "stop");
  EXPECT_EQ(param_of(completion(R"("stop_token_ids":[100])")), "stop_token_ids[0]");
  for (const char* bias : {R"({"100":1})", R"({"-1":1})", R"({"a":1})", R"({"1":101})", R"({"1":"x"})", "[]", R"({" 1":1})", R"({"":1})"}) {
    EXPECT_EQ(param_of(completion(std::string(R"("logit_bias":)") + bias)), "logit_bias") << bias;
  }
}

TEST(RequestParser, LogprobsAreANumberInCompletionsAndASwitchInChats) {
  EXPECT_EQ(completion(R"("logprobs":3)").value().logprobs, 3);
  EXPECT_EQ(completion("").value().logprobs, std::nullopt);
  EXPECT_EQ(param_of(completion(R"("logprobs":true)")), "logprobs");
  EXPECT_EQ(chat(R"("logprobs":true)").value().logprobs, 0);
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":4)").value().logprobs, 4);
  EXPECT_EQ(chat(R"("top_logprobs":4,"logprobs":true)").value().logprobs, 4);
  EXPECT_EQ(chat(R"("logprobs":false,"top_logprobs":0)").value().logprobs, std::nullopt);
  EXPECT_EQ(param_of(chat(R"("top_logprobs":4)")), "top_logprobs");
  EXPECT_EQ(param_of(chat(R"("logprobs":1)")), "logprobs");
}

TEST(RequestParser, IgnoresAndCountsUnknownFields) {
  EXPECT_EQ(completion(R"("made_up":1,"other":{"a":[]},"user":"u")").value().unknown_field_count, 2u);
  EXPECT_EQ(completion(R"("messages":[])").value().unknown_field_count, 1u) << "a field of another endpoint";
}

TEST(RequestParser, RefusesByNameWhatWouldChangeTheAnswer) {
  for (const char* name : {"best_of", "suffix", "prompt_logprobs", "use_beam_search", "bad_words", "allowed_token_ids", "response_format",
                           "structured_outputs", "guided_json", "lora_path", "adapter_id", "cache_salt", "truncate_prompt_tokens"}) {
    EXPECT_EQ(param_of(completion(fmt::format(R"("{}":["x"])", name))), name);
    EXPECT_EQ(param_of(completion(fmt::format(R"("{}":null)", name))), "(accepted)") << name;
  }
  for (const char* name : {"tools", "tool_choice", "functions", "audio", "modalities", "chat_template", "continue_final_message", "echo"}) {
    EXPECT_EQ(param_of(chat(fmt::format(R"("{}":["x"])", name))), name);
  }
}

TEST(RequestParser, AcceptsUnservedFieldsThatAskForNothing) {
  EXPECT_TRUE(chat(
      R"("response_format":{"type":"text"},"tool_choice":"auto","tools":[],"modalities":["text"],"echo":false,"add_generation_prompt":true)"));
  EXPECT_TRUE(completion(R"("best_of":1,"suffix":"","use_beam_search":false)"));
  EXPECT_EQ(param_of(chat(R"("response_format":{"type":5})")), "response_format");
}

TEST(RequestParser, SeesWhatFieldsSayTogether) {
  EXPECT_EQ(param_of(completion(R"("min_tokens":3,"max_tokens":2)")), "min_tokens");
  EXPECT_EQ(param_of(completion(R"("stream_options":{"include_usage":true})")), "stream_options");
  EXPECT_EQ(param_of(completion(R"("stream":true,"stream_options":{"include_usage":1})")), "stream_options.include_usage");
  EXPECT_TRUE(completion(R"("stream":true,"stream_options":{"include_usage":true})").value().include_usage);
  EXPECT_EQ(param_of(completion(R"("echo":true,"logprobs":1)")), "echo");
  EXPECT_TRUE(completion(R"("echo":true)").value().echo);
}

TEST(RequestParser, RefusesBodiesThatAreNoStrictJsonObject) {
  for (const std::string& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("null"), std::string(R"({"prompt":"a","prompt":"b"})"),
        std::string("{\"prompt\":\"\xff\"}"), std::string(R"({"prompt":"a"} x)"), std::string(R"({"prompt":NaN})"),
        std::string(R"({"prompt":"a","n":1e400})"), std::string(1 << 20, '[')}) {
    const Result<RequestSpec> spec = parse_request(Endpoint::completions, body, kVocabulary);
    ASSERT_FALSE(spec) << body.substr(0, 40);
    EXPECT_EQ(spec.error().code, "invalid_request_error");
  }
}

TEST(RequestParser, MessagesSayExpectedAndFound) {
  EXPECT_THAT(completion(R"("temperature":"hot")").error().message,
              HasSubstr("temperature: expected a number from 0 to 100, found \"hot\""));
  EXPECT_THAT(completion(R"("n":9)").error().message, HasSubstr("n: expected an integer from 1 to 8, found 9"));
}

}  // namespace
}  // namespace slora
