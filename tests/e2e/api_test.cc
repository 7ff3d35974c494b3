#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Reply complete_prompt(Json body) {
  if (!body.contains("model")) body["model"] = "demo";
  return post(demo_server().port(), "/v1/completions", body);
}
std::string text_of(const Reply& reply) { return reply.status == 200 ? reply.json()["choices"][0]["text"].get<std::string>() : reply.body; }

TEST(Completions, StreamedAndWholeAnswersAreTheSame) {
  for (const char* model : {"demo", "shout"}) {
    Json body = chat_body(model, "Rosa painted a broken hat at the market.");
    const Reply whole = post(demo_server().port(), "/v1/chat/completions", body);
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    const Reply streamed = post(demo_server().port(), "/v1/chat/completions", body);
    ASSERT_TRUE(streamed.is_whole);
    EXPECT_THAT(streamed.headers.at("content-type"), HasSubstr("text/event-stream"));
    EXPECT_THAT(streamed.body, EndsWith("data: [DONE]\n\n"));
    std::string text;
    const std::vector<Json> events = streamed.events();
    ASSERT_GE(events.size(), 3u);
    EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
    for (std::size_t i = 1; i + 1 < events.size(); ++i) text += events[i]["choices"][0]["delta"]["content"].get<std::string>();
    EXPECT_EQ(text, chat_text(whole));
    EXPECT_EQ(events.back()["choices"], Json::array());
    EXPECT_EQ(events.back()["usage"]["completion_tokens"], whole.json()["usage"]["completion_tokens"]);
    EXPECT_EQ(events.size(), whole.json()["usage"]["completion_tokens"].get<std::size_t>() + 2) << "role, one event per token, usage";
  }
}

TEST(Completions, TokenIdsAndTextAreTheSamePrompt) {
  const Reply text = complete_prompt({{"prompt", "Hello"}, {"temperature", 0}, {"echo", true}, {"max_tokens", 8}});
  ASSERT_EQ(text.status, 200) << text.body;
  EXPECT_THAT(text_of(text), ::testing::StartsWith("Hello"));
  const Reply several =
      complete_prompt({{"prompt", {{5, 6, 7}, {5, 6, 7}, {8}}}, {"temperature", 0}, {"max_tokens", 8}, {"ignore_eos", true}});
  ASSERT_EQ(several.status, 200) << several.body;
  const Json choices = several.json()["choices"];
  ASSERT_EQ(choices.size(), 3u);
  EXPECT_EQ(choices[0]["text"], choices[1]["text"]);
  EXPECT_EQ(several.json()["usage"]["prompt_tokens"], 7);
  EXPECT_EQ(several.json()["usage"]["completion_tokens"], 24);
}

TEST(Completions, SeedsReproduceAndDiffer) {
  Json body = {{"prompt", "Hello"}, {"temperature", 1.5}, {"top_k", 0}, {"max_tokens", 24}, {"ignore_eos", true}, {"n", 4}, {"seed", 5}};
  const Json first = complete_prompt(body).json()["choices"];
  EXPECT_EQ(complete_prompt(body).json()["choices"], first);
  std::set<std::string> texts;
  for (const Json& choice : first) texts.insert(choice["text"]);
  EXPECT_EQ(texts.size(), 4u) << "the choices of one seed differ";
  body["seed"] = 6;
  EXPECT_NE(complete_prompt(body).json()["choices"], first);
  body.erase("seed");
  EXPECT_NE(complete_prompt(body).json()["choices"], complete_prompt(body).json()["choices"]) << "without a seed every request is its own";
}

TEST(Completions, StopStringsEndTheTextBeforeThem) {
  Json body = chat_body("shout", "Rosa painted a broken hat at the market.");
  ASSERT_EQ(chat_text(post(demo_server().port(), "/v1/chat/completions", body)), "ROSA PAINTED A BROKEN HAT AT THE MARKET!");
  body["stop"] = {"nothing", "EN HA"};
  const Reply reply = post(demo_server().port(), "/v1/chat/completions", body);
  EXPECT_EQ(chat_text(reply), "ROSA PAINTED A BROK");
  EXPECT_EQ(reply.json()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(reply.json()["choices"][0]["stop_reason"], "EN HA");
  body["stream"] = true;
  std::string streamed;
  for (const Json& event : post(demo_server().port(), "/v1/chat/completions", body).events()) {
    streamed += event["choices"][0]["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(streamed, "ROSA PAINTED A BROK");
}

TEST(Completions, TellWhyTheyEnded) {
  EXPECT_EQ(complete_prompt({{"prompt", "Hello"}, {"max_tokens", 3}, {"ignore_eos", true}}).json()["choices"][0]["finish_reason"],
            "length");
  const Reply ended = post(demo_server().port(), "/v1/chat/completions", chat_body("shout", "Rosa painted a broken hat at the market."));
  EXPECT_EQ(ended.json()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(ended.json()["choices"][0]["stop_reason"], nullptr);
}

TEST(Completions, LogprobsOfTheLikeliestTokenLead) {
  const Json logprobs = complete_prompt({{"prompt", "Hello"}, {"temperature", 0}, {"max_tokens", 4}, {"ignore_eos", true}, {"logprobs", 3}})
                            .json()["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_LE(logprobs["token_logprobs"][i], 0);
    EXPECT_LE(logprobs["top_logprobs"][i].size(), 3u);
    EXPECT_EQ(logprobs["top_logprobs"][i].begin().value(), logprobs["token_logprobs"][i]) << "greedy takes the first";
  }
}

TEST(Completions, ErrorsNameTheField) {
  for (const auto& [fields, param] : std::vector<std::pair<Json, std::string>>{{{{"prompt", "a"}, {"temperature", -1}}, "temperature"},
                                                                               {{{"prompt", "a"}, {"max_tokens", 100000}}, "max_tokens"},
                                                                               {{{"prompt", {1, 1000000}}}, "prompt[1]"},
                                                                               {{{"max_tokens", 1}}, "prompt"},
                                                                               {{{"prompt", "a"}, {"best_of", 2}}, "best_of"},
                                                                               {{{"prompt", std::string(4000, 'x')}}, "prompt"}}) {
    const Reply reply = complete_prompt(fields);
    EXPECT_EQ(reply.status, 400) << fields;
    EXPECT_EQ(reply.json()["error"]["param"], param) << reply.body;
  }
}

TEST(Metrics, AreParseableAndHaveTheNamesThatToolsRead) {
  complete_prompt({{"prompt", "Hello"}, {"max_tokens", 4}, {"ignore_eos", true}});
  const Reply reply = get(demo_server().port(), "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.headers.at("content-type"), HasSubstr("text/plain"));
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = reply.body.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = reply.body.substr(begin, end - begin);
    if (line.starts_with("#")) continue;
    EXPECT_NO_THROW((void)std::stod(line.substr(line.rfind(' ') + 1))) << line;
  }
  for (const char* name : {"vllm:prompt_tokens_total",
                           "vllm:generation_tokens_total",
                           "vllm:request_success_total",
                           "vllm:num_preemptions_total",
                           "vllm:prefix_cache_hits_total",
                           "vllm:prefix_cache_queries_total",
                           "vllm:num_requests_running",
                           "vllm:num_requests_waiting",
                           "vllm:kv_cache_usage_perc",
                           "vllm:cache_config_info",
                           "vllm:lora_requests_info",
                           "vllm:time_to_first_token_seconds_bucket",
                           "vllm:inter_token_latency_seconds_bucket",
                           "vllm:request_time_per_output_token_seconds_bucket",
                           "vllm:e2e_request_latency_seconds_bucket",
                           "vllm:request_queue_time_seconds_bucket",
                           "vllm:request_prefill_time_seconds_bucket",
                           "vllm:request_decode_time_seconds_bucket",
                           "vllm:request_inference_time_seconds_bucket",
                           "vllm:request_prompt_tokens_bucket",
                           "vllm:request_generation_tokens_bucket",
                           "vllm:iteration_tokens_total_bucket",
                           "slora_pool_pages",
                           "slora_adapters_resident",
                           "slora_adapter_loads_total",
                           "slora_adapter_queries_total",
                           "slora_adapter_hits_total",
                           "process_resident_memory_bytes"}) {
    EXPECT_TRUE(metric(demo_server().port(), name)) << name;
  }
}

}  // namespace
}  // namespace slora
