#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/request_parser.h"
#include "api/sglang_format.h"
#include "api/slora_format.h"
#include "api/text_model.h"
#include "api/tgi_format.h"
#include "base/testing/source_path.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::int32_t kFormsVocabulary = 100;

class GenerateFormsTest : public ::testing::Test {
 protected:
  RequestSpec parse(Endpoint endpoint, std::string_view body) { return parse_request(endpoint, body, {kFormsVocabulary}).value(); }

  // Two tokens of " big", the second ending it, as the answer to the prompt 5 6 7.
  Answer answer_to(RequestSpec spec) {
    Answer answer;
    answer.request.spec = std::move(spec);
    answer.request.prompts.push_back({.tokens = {5, 6, 7}, .echo = {}, .output_tokens_max = 2});
    answer.prompts.resize(1);
    answer.prompts[0].cached_tokens = 2;
    answer.prompts[0].logprobs = {{.token = {6, -1.0F, {{6, -1.0F}}}, .rank = 1}, {.token = {7, -2.0F, {{9, -0.5F}}}, .rank = 3}};
    AnsweredChoice& choice = answer.choices.emplace_back();
    choice.text = " big";
    choice.tokens = {{10, -0.25F, {{10, -0.25F}}}, {11, -0.5F, {{12, -0.125F}}}};
    choice.finish_reason = "length";
    return answer;
  }

  const std::shared_ptr<const TextModel> text =
      TextModel::load(source_path("tests/golden/tokenizers/qwen2"), {.vocabulary_size = kFormsVocabulary}).value();
  const Tokenizer& tokenizer = text->tokenizer();
};

TEST_F(GenerateFormsTest, SglangsNamesMeanOurs) {
  const RequestSpec spec = parse(Endpoint::sglang, R"({"text": "a", "lora_path": "sql", "rid": "r1", "return_logprob": true,
      "top_logprobs_num": 2, "logprob_start_len": 0,
      "sampling_params": {"max_new_tokens": 3, "min_new_tokens": 1, "temperature": 0, "sampling_seed": 9, "no_stop_trim": true}})");
  EXPECT_EQ(std::get<std::string>(spec.prompt.given.at(0)), "a");
  EXPECT_EQ(spec.adapter, "sql");
  EXPECT_EQ(spec.output.max_tokens, 3);
  EXPECT_EQ(spec.sampling.min_tokens, 1);
  EXPECT_EQ(spec.given.temperature, 0.0F);
  EXPECT_EQ(spec.seed, 9);
  EXPECT_TRUE(spec.output.include_stop_text);
  EXPECT_EQ(spec.output.logprobs, 2);
  EXPECT_EQ(spec.output.prompt_logprobs, 2);
  EXPECT_FALSE(spec.output.stream);
}

TEST_F(GenerateFormsTest, PromptLogprobsAreToldOnlyWhenAskedFor) {
  EXPECT_FALSE(parse(Endpoint::sglang, R"({"text": "a", "return_logprob": true})").output.prompt_logprobs);
  EXPECT_FALSE(parse(Endpoint::sglang, R"({"text": "a", "logprob_start_len": 0})").output.prompt_logprobs);
}

TEST_F(GenerateFormsTest, TextsAndTokensExcludeEachOther) {
  const Result<RequestSpec> both = parse_request(Endpoint::sglang, R"({"text": "a", "input_ids": [1]})", {kFormsVocabulary});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().param, "input_ids");
  const Result<RequestSpec> neither = parse_request(Endpoint::sglang, "{}", {kFormsVocabulary});
  ASSERT_FALSE(neither);
  EXPECT_EQ(neither.error().param, "text");
}

TEST_F(GenerateFormsTest, FaultsInParametersAreNamedByTheirPath) {
  const Result<RequestSpec> refused = parse_request(Endpoint::slora, R"({"inputs": "a", "parameters": {"top_p": 2}})", {kFormsVocabulary});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "parameters.top_p");
}

TEST_F(GenerateFormsTest, TheInputsOfABodyMakeItTgisAndALoraDirTheSloraPapers) {
  for (const Endpoint path : {Endpoint::sglang, Endpoint::slora}) {
    EXPECT_EQ(parse(path, R"({"inputs": "a"})").endpoint, Endpoint::tgi);
    EXPECT_EQ(parse(path, R"({"inputs": "a", "model_dir": "base"})").endpoint, Endpoint::slora);
    EXPECT_EQ(parse(path, R"({"inputs": "a", "lora_dir": null})").endpoint, Endpoint::slora);
    EXPECT_EQ(parse(path, R"({"inputs": "a"})").output.stream, path == Endpoint::slora);
  }
  EXPECT_EQ(parse(Endpoint::tgi, R"({"inputs": "a", "lora_dir": "sql"})").endpoint, Endpoint::tgi);

  const RequestSpec whole = parse(Endpoint::sglang, R"({"inputs": "a", "lora_dir": "sql", "parameters": {"temperature": 0.5}})");
  EXPECT_EQ(whole.endpoint, Endpoint::slora);
  EXPECT_FALSE(whole.output.stream);
  EXPECT_EQ(whole.adapter, "sql");
  EXPECT_EQ(whole.given.temperature, 0.0F) << "without do_sample nothing is drawn";

  const RequestSpec drawn =
      parse(Endpoint::slora, R"({"inputs": "a", "lora_dir": "", "parameters": {"temperature": 0.5, "do_sample": true}})");
  EXPECT_TRUE(drawn.output.stream);
  EXPECT_EQ(drawn.given.temperature, 0.5F);
}

TEST_F(GenerateFormsTest, SglangsAnswerIsAnObjectOrAList) {
  SglangFormat format(0xab, tokenizer);
  Answer answer = answer_to(parse(Endpoint::sglang, R"({"text": "a"})"));
  EXPECT_EQ(Json::parse(format.body(answer)), Json::parse(R"({"text": " big", "output_ids": [10, 11], "meta_info": {
      "id": "00000000000000ab", "finish_reason": {"type": "length", "length": 2},
      "prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 2}})"));

  answer.request.spec.prompt.is_list = true;
  answer.choices[0].finish_reason = "stop";
  answer.choices[0].stop_reason = "\"big\"";
  const Json list = Json::parse(format.body(answer));
  ASSERT_TRUE(list.is_array());
  EXPECT_EQ(list[0]["index"], 0);
  EXPECT_EQ(list[0]["meta_info"]["finish_reason"], Json::parse(R"({"type": "stop", "matched": "big"})"));
  answer.choices[0].stop_reason.clear();
  EXPECT_EQ(Json::parse(format.body(answer))[0]["meta_info"]["finish_reason"]["matched"], 11) << "the model's end token";
  answer.choices[0].is_complete = true;
  EXPECT_EQ(Json::parse(format.body(answer))[0]["meta_info"]["finish_reason"]["matched"], nullptr) << "nothing ended it but its form";
}

TEST_F(GenerateFormsTest, SglangsLogprobsAreTriples) {
  SglangFormat format(1, tokenizer);
  const Answer answer =
      answer_to(parse(Endpoint::sglang, R"({"text": "a", "return_logprob": true, "top_logprobs_num": 1, "logprob_start_len": 0})"));
  const Json meta = Json::parse(format.body(answer))["meta_info"];
  EXPECT_EQ(meta["output_token_logprobs"], Json::parse("[[-0.25, 10, null], [-0.5, 11, null]]"));
  EXPECT_EQ(meta["output_top_logprobs"], Json::parse("[[[-0.25, 10, null]], [[-0.125, 12, null]]]"));
  EXPECT_EQ(meta["input_token_logprobs"], Json::parse("[[null, 5, null], [-1.0, 6, null], [-2.0, 7, null]]"));
  EXPECT_EQ(meta["input_top_logprobs"], Json::parse("[null, [[-1.0, 6, null]], [[-0.5, 9, null]]]"));
}

TEST_F(GenerateFormsTest, SglangsEventsHoldAllSoFar) {
  SglangFormat format(1, tokenizer);
  Answer answer = answer_to(parse(Endpoint::sglang, R"({"text": "a", "stream": true})"));
  answer.choices[0].finish_reason = {};
  const Json message = Json::parse(format.part_messages({answer, 0, false, 2, 1}).at(0));
  EXPECT_EQ(message["text"], " big");
  EXPECT_EQ(message["output_ids"], Json({10, 11}));
  EXPECT_EQ(message["meta_info"]["finish_reason"], nullptr);
  EXPECT_THAT(format.end_messages(answer), ::testing::ElementsAre("[DONE]"));
}

TEST_F(GenerateFormsTest, TheSloraPapersAnswerCountsItsTokens) {
  SloraFormat format(tokenizer);
  Answer answer = answer_to(parse(Endpoint::sglang, R"({"inputs": "a", "lora_dir": "sql", "parameters": {}})"));
  EXPECT_EQ(Json::parse(format.body(answer)), Json::parse(R"({"generated_text": [" big"], "count_output_tokens": 2})"));
  answer.request.spec.slora.return_details = true;
  const Json tokens = Json::parse(format.body(answer))["tokens"];
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[1]["id"], 11);
  EXPECT_EQ(tokens[1]["logprob"], -0.5);
}

TEST_F(GenerateFormsTest, TheSloraPapersEventsHoldOneTokenEach) {
  SloraFormat format(tokenizer);
  Answer answer = answer_to(parse(Endpoint::slora, R"({"inputs": "a", "lora_dir": "sql", "parameters": {}})"));
  const Json last = Json::parse(format.part_messages({answer, 0, false, 2, 1}).at(0));
  EXPECT_EQ(last, Json::parse(R"({"token": {"id": 11, "text": "ig", "logprob": -0.5, "special": false},
      "generated_text": null, "finished": true, "details": null})"));
  answer.choices[0].finish_reason = {};
  EXPECT_EQ(Json::parse(format.part_messages({answer}).at(0))["finished"], false);
  EXPECT_TRUE(format.end_messages(answer).empty());
}

TEST_F(GenerateFormsTest, TgiDrawsOnlyWhenSomethingSaysSo) {
  const auto temperature_of = [&](const std::string& parameters) {
    return parse(Endpoint::tgi, R"({"inputs": "a", "parameters": )" + parameters + "}").given.temperature;
  };
  for (const char* greedy : {"{}", R"({"temperature": 1.0})", R"({"temperature": 0, "do_sample": true})", R"({"top_p": 1, "top_k": 0})"})
    EXPECT_EQ(temperature_of(greedy), 0.0F) << greedy;
  for (const char* drawn : {R"({"do_sample": true})", R"({"top_k": 5})", R"({"top_p": 0.5})"})
    EXPECT_EQ(temperature_of(drawn), std::nullopt) << drawn << ": the model's own";
  EXPECT_EQ(temperature_of(R"({"temperature": 0.5})"), 0.5F);
}

TEST_F(GenerateFormsTest, TgisNamesMeanOurs) {
  const RequestSpec spec =
      parse(Endpoint::sglang, R"({"inputs": "a", "stream": false, "parameters": {"adapter_id": "sql", "adapter_source": "hub",
      "api_token": "secret", "merged_adapters": null, "max_new_tokens": 3, "stop": ["x"], "seed": 7, "truncate": 9, "return_full_text": true,
      "best_of": 1, "watermark": false, "typical_p": null, "ignore_eos_token": true}})");
  EXPECT_EQ(spec.adapter, "sql");
  EXPECT_EQ(spec.adapter_field, "parameters.adapter_id");
  EXPECT_EQ(spec.output.max_tokens, 3);
  EXPECT_EQ(spec.seed, 7);
  EXPECT_EQ(spec.prompt.truncate_tokens, 9);
  EXPECT_TRUE(spec.output.echo && spec.output.ignore_eos && spec.output.include_stop_text);
  EXPECT_EQ(parse(Endpoint::tgi, R"({"inputs": "a"})").output.token_limit(), std::nullopt) << "as many as fit";
  const Result<RequestSpec> streamed =
      parse_request(Endpoint::slora, R"({"inputs": "a", "parameters": {"decoder_input_details": true}})", {kFormsVocabulary});
  ASSERT_FALSE(streamed);
  EXPECT_EQ(streamed.error().param, "parameters.decoder_input_details");
}

TEST_F(GenerateFormsTest, TgisAnswerHasDetailsWhenAsked) {
  TgiFormat format(tokenizer);
  EXPECT_EQ(Json::parse(format.body(answer_to(parse(Endpoint::sglang, R"({"inputs": "a"})")))),
            Json::parse(R"({"generated_text": " big"})"));
  EXPECT_EQ(Json::parse(format.body(answer_to(parse(Endpoint::tgi, R"({"inputs": "a"})")))),
            Json::parse(R"([{"generated_text": " big"}])"));

  Answer answer = answer_to(parse(Endpoint::sglang, R"({"inputs": "a", "parameters": {"decoder_input_details": true, "seed": 4,
      "top_n_tokens": 1, "return_k_alternatives": 1}})"));
  const Json details = Json::parse(format.body(answer))["details"];
  EXPECT_EQ(details["finish_reason"], "length");
  EXPECT_EQ(details["prompt_tokens"], 3);
  EXPECT_EQ(details["generated_tokens"], 2);
  EXPECT_EQ(details["seed"], 4);
  ASSERT_EQ(details["prefill"].size(), 3u);
  EXPECT_EQ(details["prefill"][0]["logprob"], nullptr);
  EXPECT_EQ(details["prefill"][2]["logprob"], -2.0);
  EXPECT_EQ(details["tokens"][1]["id"], 11);
  EXPECT_EQ(details["tokens"][1]["special"], false);
  EXPECT_EQ(details["tokens"][1]["alternative_tokens"][0]["id"], 12);
  EXPECT_EQ(details["top_tokens"][0][0]["logprob"], -0.25);
  answer.choices[0].finish_reason = "stop";
  EXPECT_EQ(Json::parse(format.body(answer))["details"]["finish_reason"], "eos_token");
  answer.choices[0].stop_reason = "\"big\"";
  EXPECT_EQ(Json::parse(format.body(answer))["details"]["finish_reason"], "stop_sequence");
}

TEST_F(GenerateFormsTest, TgisEventsAddUpToTheOutputAndTheLastHasItWhole) {
  TgiFormat format(tokenizer);
  Answer answer = answer_to(parse(Endpoint::slora, R"({"inputs": "a", "parameters": {"return_full_text": true}})"));
  answer.request.prompts[0].echo = "so";
  answer.choices[0].text = "so big";
  answer.choices[0].finish_reason = {};
  const Json first = Json::parse(format.part_messages({answer, 0, true, 0, 0}).at(0));
  EXPECT_EQ(first["token"]["text"], " big") << "without the prompt";
  EXPECT_EQ(first["generated_text"], nullptr);
  EXPECT_EQ(first["details"], nullptr);
  answer.choices[0].finish_reason = "stop";
  answer.choices[0].tokens.push_back({*tokenizer.token_id("<|im_end|>"), -0.125F, {}});
  const Json last = Json::parse(format.part_messages({answer, 0, false, 6, 2}).at(0));
  EXPECT_EQ(last["token"], (Json{{"id", answer.choices[0].tokens[2].id}, {"text", "<|im_end|>"}, {"logprob", -0.125}, {"special", true}}));
  EXPECT_EQ(last["generated_text"], "so big");
  EXPECT_EQ(last["details"]["finish_reason"], "eos_token");
  const Json held = Json::parse(format.part_messages({answer, 0, false, 4, 2}).at(0));
  EXPECT_EQ(held["token"]["text"], "ig");
  EXPECT_EQ(held["token"]["special"], false) << "its text is of the output";
  EXPECT_TRUE(format.end_messages(answer).empty());
}

}  // namespace
}  // namespace slora
