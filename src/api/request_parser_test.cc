#include "api/request_parser.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/json.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int32_t kVocabulary = 100;

Result<RequestSpec> completion(const std::string& fields) {
  return parse_request(Endpoint::completions, R"({"prompt":"p")" + (fields.empty() ? "" : "," + fields) + "}", {kVocabulary});
}
Result<RequestSpec> chat(const std::string& fields) {
  return parse_request(Endpoint::chat, R"({"messages":[{"role":"user","content":"p"}])" + (fields.empty() ? "" : "," + fields) + "}",
                       {kVocabulary});
}
std::string param_of(const Result<RequestSpec>& spec) {
  if (spec) return "(accepted)";
  EXPECT_EQ(spec.error().code, "invalid_request_error");
  return spec.error().param;
}

TEST(RequestParser, TakesEveryFormOfPrompt) {
  const auto prompts = [](const std::string& prompt) {
    return parse_request(Endpoint::completions, R"({"prompt":)" + prompt + "}", {kVocabulary}).value().prompt.given;
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
    EXPECT_EQ(param_of(parse_request(Endpoint::completions, std::string(R"({"prompt":)") + prompt + "}", {kVocabulary})), param) << prompt;
  }
  EXPECT_EQ(param_of(parse_request(Endpoint::completions, "{}", {kVocabulary})), "prompt");
  EXPECT_EQ(param_of(parse_request(Endpoint::chat, "{}", {kVocabulary})), "messages");
}

TEST(RequestParser, ReadsMessagesWithTextOrTextParts) {
  const Result<RequestSpec> spec = parse_request(Endpoint::chat,
                                                 R"({"messages":[{"role":"system","content":"s"},
      {"role":"user","name":"n","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null}]})",
                                                 {kVocabulary});
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->chat.messages.size(), 3u);
  EXPECT_EQ(spec->chat.messages[0], Json({{"role", "system"}, {"content", "s"}}));
  EXPECT_EQ(spec->chat.messages[1]["content"][1]["text"], "b");
  EXPECT_EQ(spec->chat.messages[1]["name"], "n");
  EXPECT_EQ(spec->chat.messages[2], Json({{"role", "assistant"}}));
}

TEST(RequestParser, NamesThePlaceWithinMessages) {
  for (const auto& [messages, param] :
       {std::pair{"[]", "messages"},
        {"[1]", "messages[0]"},
        {R"([{"content":"a"}])", "messages[0].role"},
        {R"([{"role":"user","content":1}])", "messages[0].content"},
        {R"([{"role":"user"}])", "messages[0].content"},
        {R"([{"role":"user","content":[{"type":"image_url","image_url":"x"}]}])", "messages[0].content[0].type"},
        {R"([{"role":"user","content":"a"},{"role":"user","content":[{"type":"text"}]}])", "messages[1].content[0].text"},
        {R"([{"role":"user","content":"a","name":1}])", "messages[0].name"},
        {R"([{"role":"assistant","audio":{"id":"1"}}])", "messages[0].audio"},
        {R"([{"role":"assistant","tool_calls":{}}])", "messages[0].tool_calls"},
        {R"([{"role":"assistant","tool_calls":[{"id":"1"}]}])", "messages[0].tool_calls[0].function"},
        {R"([{"role":"assistant","tool_calls":[{"id":1,"function":{"name":"f"}}]}])", "messages[0].tool_calls[0].id"},
        {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[]}}]}])",
         "messages[0].tool_calls[0].function.arguments"},
        {R"([{"role":"assistant","tool_calls":[{"type":"web","function":{"name":"f"}}]}])", "messages[0].tool_calls[0].type"},
        {R"([{"role":"tool","content":"a","tool_call_id":5}])", "messages[0].tool_call_id"}}) {
    EXPECT_EQ(param_of(parse_request(Endpoint::chat, std::string(R"({"messages":)") + messages + "}", {kVocabulary})), param) << messages;
  }
}

TEST(RequestParser, GivesTemplatesTheArgumentsOfToolCallsAsObjects) {
  const auto arguments = [](const std::string& given) {
    const std::string call = R"({"id":"1","type":"function","function":{"name":"f","arguments":)" + given + "}}";
    const Result<RequestSpec> spec =
        parse_request(Endpoint::chat, R"({"messages":[{"role":"assistant","content":null,"tool_calls":[)" + call + "]}]}", {kVocabulary});
    return spec ? spec->chat.messages[0]["tool_calls"][0]["function"]["arguments"] : Json(spec.error().message);
  };
  EXPECT_EQ(arguments(R"("{\"a\": [1]}")"), Json({{"a", Json::array({1})}}));
  EXPECT_EQ(arguments(R"({"a":1})"), Json({{"a", 1}}));
  EXPECT_EQ(arguments(R"("")"), Json::object());
  EXPECT_EQ(arguments("null"), Json::object());
  EXPECT_EQ(arguments(R"("{\"a\": ")"), "{\"a\": ") << "what a model wrote wrongly in an earlier turn stays what it is";
}

TEST(RequestParser, PassesOnWhatChatTemplatesRead) {
  const RequestSpec spec = chat(R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
      "documents":[{"title":"t","text":"x"}],"chat_template_kwargs":{"enable_thinking":false},"chat_template":"rag","tool_choice":"auto")")
                               .value();
  EXPECT_EQ(spec.chat.tools[0]["function"]["name"], "f");
  EXPECT_EQ(spec.chat.documents[0]["title"], "t");
  EXPECT_EQ(spec.chat.template_variables["enable_thinking"], false);
  EXPECT_EQ(spec.chat.template_name, "rag");
  EXPECT_TRUE(chat(R"("tools":[],"documents":[])").value().chat.tools.is_null());
}

TEST(RequestParser, TheNewerNameOfMaxTokensWins) {
  EXPECT_EQ(chat(R"("max_completion_tokens":5,"max_tokens":9)").value().output.token_limit(), 5);
  EXPECT_EQ(chat(R"("max_tokens":9,"max_completion_tokens":5)").value().output.token_limit(), 5);
  EXPECT_EQ(param_of(chat(R"("max_tokens":9,"max_completion_tokens":5,"min_tokens":6)")), "min_tokens");
}

TEST(RequestParser, BoundsTheAnswersOfOneRequest) {
  const auto verdict = [](int prompts) {
    const std::string list = fmt::format("{}", fmt::join(std::vector<std::string>(static_cast<std::size_t>(prompts), R"("a")"), ","));
    return param_of(parse_request(Endpoint::completions, R"({"n":8,"prompt":[)" + list + "]}", {kVocabulary}));
  };
  EXPECT_EQ(verdict(8), "(accepted)");
  EXPECT_EQ(verdict(9), "n");
}

TEST(RequestParser, TakesWholeNumbersWrittenAsFractions) { EXPECT_EQ(completion(R"("max_tokens":5.0)").value().output.max_tokens, 5); }

TEST(RequestParser, ReadsStopsAndBiases) {
  const RequestSpec spec = completion(R"("stop":["a","bc"],"stop_token_ids":[3],"logit_bias":{"7":-100,"99":1.5})").value();
  EXPECT_THAT(spec.output.stop, ElementsAre("a", "bc"));
  EXPECT_THAT(spec.output.stop_token_ids, ElementsAre(3));
  ASSERT_EQ(spec.sampling.logit_bias.size(), 2u);
  EXPECT_EQ(spec.sampling.logit_bias[0].token, 7);
  EXPECT_EQ(spec.sampling.logit_bias[1].bias, 1.5F);
  EXPECT_THAT(completion(R"("stop":"x")").value().output.stop, ElementsAre("x"));
  EXPECT_TRUE(completion(R"("stop":null)").value().output.stop.empty());

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
  EXPECT_EQ(completion(R"("logprobs":3)").value().output.logprobs, 3);
  EXPECT_EQ(completion("").value().output.logprobs, std::nullopt);
  EXPECT_EQ(param_of(completion(R"("logprobs":true)")), "logprobs");
  EXPECT_EQ(chat(R"("logprobs":true)").value().output.logprobs, 0);
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":4)").value().output.logprobs, 4);
  EXPECT_EQ(chat(R"("top_logprobs":4,"logprobs":true)").value().output.logprobs, 4);
  EXPECT_EQ(chat(R"("logprobs":false,"top_logprobs":0)").value().output.logprobs, std::nullopt);
  EXPECT_EQ(param_of(chat(R"("top_logprobs":4)")), "top_logprobs");
  EXPECT_EQ(param_of(chat(R"("logprobs":1)")), "logprobs");
}

TEST(RequestParser, IgnoresAndCountsUnknownFields) {
  EXPECT_EQ(completion(R"("made_up":1,"other":{"a":[]},"user":"u")").value().unknown_field_count, 2u);
  EXPECT_EQ(completion(R"("messages":[])").value().unknown_field_count, 1u) << "a field of another endpoint";
}

TEST(RequestParser, AnAdapterHasOneNameOnly) {
  EXPECT_EQ(completion(R"("lora_path":"a","adapter_id":"a","model":"m")").value().adapter, "a");
  EXPECT_EQ(completion(R"("lora_path":"","adapter_id":"a")").value().adapter_field, "adapter_id");
  EXPECT_EQ(param_of(completion(R"("lora_path":"a","adapter_id":"b")")), "adapter_id");
  EXPECT_EQ(completion(R"("lora_path":["a"])").value().adapter, "a");
  EXPECT_EQ(param_of(completion(R"("lora_path":["a","b"])")), "lora_path");
}

TEST(RequestParser, SeesWhatFieldsSayTogether) {
  EXPECT_EQ(param_of(completion(R"("min_tokens":3,"max_tokens":2)")), "min_tokens");
  EXPECT_EQ(param_of(completion(R"("stream_options":{"include_usage":true})")), "stream_options");
  EXPECT_EQ(param_of(completion(R"("stream":true,"stream_options":{"include_usage":1})")), "stream_options.include_usage");
  EXPECT_TRUE(completion(R"("stream":true,"stream_options":{"include_usage":true})").value().openai.include_usage);
  EXPECT_TRUE(completion(R"("stream_options":{})"));
  EXPECT_TRUE(completion(R"("echo":true,"logprobs":1,"max_tokens":0)").value().output.scores_only());
  EXPECT_EQ(param_of(completion(R"("max_tokens":0)")), "max_tokens");
  EXPECT_EQ(param_of(completion(R"("prompt_logprobs":1,"stream":true)")), "prompt_logprobs");
  EXPECT_TRUE(completion(R"("prompt_logprobs":0,"stream":true)"));
  EXPECT_TRUE(chat(R"("continue_final_message":true)"));
  EXPECT_TRUE(chat(R"("continue_final_message":true,"add_generation_prompt":false)"));
  EXPECT_EQ(param_of(chat(R"("continue_final_message":true,"add_generation_prompt":true)")), "add_generation_prompt");
}

TEST(RequestParser, RefusesBodiesThatAreNoStrictJsonObject) {
  for (const std::string& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("null"), std::string(R"({"prompt":"a","prompt":"b"})"),
        std::string("{\"prompt\":\"\xff\"}"), std::string(R"({"prompt":"a"} x)"), std::string(R"({"prompt":NaN})"),
        std::string(R"({"prompt":"a","n":1e400})"), std::string(1 << 20, '[')}) {
    const Result<RequestSpec> spec = parse_request(Endpoint::completions, body, {kVocabulary});
    ASSERT_FALSE(spec) << body.substr(0, 40);
    EXPECT_EQ(spec.error().code, "invalid_request_error");
  }
}

TEST(RequestParser, TakesTheSamplesThatFuzzingStartsFrom) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/corpora/request"))) {
    const std::string body = read_text_file(entry.path().string(), 1 << 20).value();
    Endpoint endpoint = Endpoint::sglang;
    for (const auto& [name, owner] : {std::pair("messages", Endpoint::chat), std::pair("prompt", Endpoint::completions)}) {
      if (Json::parse(body).contains(name)) endpoint = owner;
    }
    const Result<RequestSpec> spec = parse_request(endpoint, body, {kVocabulary});
    EXPECT_TRUE(spec) << entry.path() << ": " << spec.error().message;
    ++count;
  }
  EXPECT_GE(count, 6u);
}

TEST(RequestParser, MessagesSayExpectedAndFound) {
  EXPECT_THAT(completion(R"("temperature":"hot")").error().message,
              HasSubstr("temperature: expected a number from 0 to 100, found \"hot\""));
  EXPECT_THAT(completion(R"("n":9)").error().message, HasSubstr("n: expected an integer from 1 to 8, found 9"));
  EXPECT_THAT(completion(R"("best_of":2)").error().message, HasSubstr("best_of: expected 1, since nothing else is served, found 2"));
  EXPECT_THAT(completion(R"("allowed_token_ids":[1])").error().message, HasSubstr("allowed_token_ids: this field is not served"));
}

}  // namespace
}  // namespace slora
