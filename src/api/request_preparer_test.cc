#include "api/request_preparer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/testing/found_model.h"
#include "api/testing/scripted_generator.h"
#include "api/testing/text_model_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The model's context is 64 tokens: ScriptedGenerator's.
class RequestPreparerTest : public ::testing::Test {
 protected:
  RequestPreparerTest() {
    preparer.emplace(std::vector<std::string>{"base", "also"}, kVocabulary, texts, generator);
    generator.on_look = [this](const AdapterVersion& version) { (void)texts.of(version); };
  }

  Result<PreparedRequest> complete(const std::string& fields) const {
    return preparer->prepare(Endpoint::completions, R"({"prompt":[10,11,12,13,14],)" + fields + "}");
  }
  Result<PreparedRequest> chat(const std::string& fields) const {
    return preparer->prepare(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],)" + fields + "}");
  }
  Result<FoundModel> found(const Json& body, const ModelAccess& access = {}) { return found_model(*preparer, body, access, looked_at); }
  std::string prompt_of(const Result<PreparedRequest>& request) const {
    return request ? text.tokenizer().decode(request->prompts[0].tokens, SpecialText::keep) : request.error().message;
  }
  static std::string refusal_of(const Result<PreparedRequest>& request) {
    return request ? "" : request.error().code + " " + request.error().param;
  }

  static constexpr std::int32_t kVocabulary = 200000;
  const TextModelFolder folder{R"({"eos_token_id": 3})",
                               "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
                               "{% if tools %}tools {{ tools | length }}\n{% endif %}{% if mood %}{{ mood }}\n{% endif %}"
                               "{% if reasoning_effort %}{{ reasoning_effort }} {{ enable_thinking }}\n{% endif %}"
                               "{% if add_generation_prompt %}assistant:{% endif %}"};
  const std::shared_ptr<const TextModel> shared_text = folder.load(kVocabulary);
  const TextModel& text = *shared_text;
  AdapterTexts texts{shared_text};
  ScriptedGenerator generator;
  std::optional<RequestPreparer> preparer;
  std::vector<std::string> looked_at;  // by found()
};

TEST_F(RequestPreparerTest, FindsTheModelByAnyOfItsNames) {
  EXPECT_EQ(complete(R"("n":1)")->model_name, "base");
  EXPECT_EQ(complete(R"("model":"also")")->model_name, "also");
  EXPECT_EQ(complete(R"("model":"also")")->adapter, nullptr);
  EXPECT_NE(complete(R"("model":"fine")")->adapter, nullptr);
  EXPECT_EQ(refusal_of(complete(R"("model":"nobody")")), "model_not_found model");
  EXPECT_EQ(refusal_of(complete(R"("model":"broken")")), "E_RANK model");
  EXPECT_EQ(complete(R"("model":"broken")").error().message, "rank 0");
}

TEST_F(RequestPreparerTest, HidesModelsThatTheCallerHasNoAccessTo) {
  const ModelAccess access({"fine"});
  const auto prepared = [&](const std::string& model) {
    return preparer->prepare(Endpoint::completions, R"({"prompt":[10])" + model + "}", access);
  };
  EXPECT_NE(prepared(R"(,"model":"fine")")->adapter, nullptr);
  EXPECT_NE(prepared(R"(,"lora_path":"fine")")->adapter, nullptr);
  for (const char* model : {"", R"(,"model":"base")", R"(,"model":"also")", R"(,"model":"broken")", R"(,"model":"nobody")"}) {
    EXPECT_EQ(refusal_of(prepared(model)), "model_not_found model") << model;
  }
  std::string hidden = preparer->prepare(Endpoint::completions, R"({"prompt":[10],"model":"broken"})", access).error().message;
  hidden.replace(hidden.find("broken"), 6, "nobody");
  EXPECT_EQ(hidden, preparer->prepare(Endpoint::completions, R"({"prompt":[10],"model":"nobody"})", access).error().message);
  EXPECT_EQ(found({{"model", "broken"}}, access).error().code, "model_not_found");
}

TEST_F(RequestPreparerTest, WaitsForAnAdapterWhoseTextsAreNotInMemory) {
  EXPECT_NE(found({{"model", "fine"}})->adapter, nullptr);
  EXPECT_EQ(looked_at, std::vector<std::string>{"fine"});
  EXPECT_EQ(found({{"model", "fine"}}, ModelAccess({"base"})).error().code, "model_not_found");
  EXPECT_NE(found({{"model", "fine"}})->adapter, nullptr);
  EXPECT_EQ(looked_at.size(), 1u) << "it is known now, and does not exist for the other";
}

TEST_F(RequestPreparerTest, LooksAgainAtAnAdapterThatChangedSinceItsTextsWereRead) {
  int changes = 3;
  generator.on_look = [&](const AdapterVersion& version) {
    EXPECT_TRUE(texts.of(version));
    if (changes-- > 0) ++generator.id_of_fine;
  };
  const Result<FoundModel> model = found({{"model", "fine"}});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->adapter->id(), AdapterId{4});
  EXPECT_EQ(model->text, shared_text);
  EXPECT_EQ(looked_at.size(), 4u);
}

TEST_F(RequestPreparerTest, GivesUpAnAdapterThatChangesAtEveryLook) {
  generator.on_look = [&](const AdapterVersion&) { ++generator.id_of_fine; };
  const Result<FoundModel> model = found({{"model", "fine"}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code + " " + model.error().param, "adapter_unavailable model");
  EXPECT_EQ(looked_at.size(), 8u);
}

TEST_F(RequestPreparerTest, TheLastStepsWaitForNoFolder) {
  generator.on_look = {};  // it hangs
  EXPECT_EQ(refusal_of(complete(R"("model":"fine")")), "adapter_unavailable model");
  const Json body = {{"model", "fine"}, {"prompt", "a"}};
  const Result<FoundModel> model = found(body);
  EXPECT_EQ(preparer->text_of(body, model).error().code, "adapter_unavailable");
  EXPECT_EQ(refusal_of(preparer->read_prompts(Endpoint::completions, body, model)), "adapter_unavailable model");
  EXPECT_EQ(preparer->text_of(Json::object(), model).value(), shared_text) << "it names no model";
}

TEST_F(RequestPreparerTest, RefusesPrioritiesThatThePolicyDoesNotFollow) {
  EXPECT_EQ(complete(R"("priority":0)")->spec.priority, 0);
  EXPECT_EQ(refusal_of(complete(R"("priority":-1)")), "invalid_request_error priority");
  EXPECT_THAT(complete(R"("priority":7)").error().message, HasSubstr("--policy priority"));
  generator.has_priorities = true;
  EXPECT_EQ(complete(R"("priority":-2147483648)")->spec.priority, -2147483648);
  EXPECT_EQ(refusal_of(complete(R"("priority":2147483648)")), "invalid_request_error priority");
}

TEST_F(RequestPreparerTest, FindsAnAdapterThatIsNamedApart) {
  for (const char* fields : {R"("lora_path":"fine")", R"("adapter_id":"fine","model":"base")", R"("lora_path":"fine","model":"fine")"}) {
    const Result<PreparedRequest> request = complete(fields);
    ASSERT_TRUE(request) << fields << request.error().message;
    EXPECT_NE(request->adapter, nullptr) << fields;
    EXPECT_EQ(request->model_name, "fine") << fields;
  }
  EXPECT_EQ(refusal_of(complete(R"("lora_path":"fine","model":"broken")")), "invalid_request_error lora_path");
  EXPECT_EQ(refusal_of(complete(R"("lora_path":"../fine")")), "model_not_found lora_path");
  EXPECT_EQ(refusal_of(complete(R"("adapter_id":"broken")")), "E_RANK adapter_id");
}

TEST_F(RequestPreparerTest, FindsTheAdapterOfTheSloraPapersRequestsByItsFolder) {
  const auto stream = [&](const std::string& fields) { return preparer->prepare(Endpoint::slora, R"({"inputs":"Hi")" + fields + "}"); };
  EXPECT_EQ(stream(R"(,"lora_dir":null)")->model_name, "base");
  EXPECT_EQ(stream(R"(,"model_dir":"also")")->model_name, "also");
  EXPECT_EQ(refusal_of(stream(R"(,"model_dir":"huggyllama/llama-7b")")), "model_not_found model_dir");
  EXPECT_EQ(stream(R"(,"lora_dir":"adapters/fine")")->model_name, "fine");
  EXPECT_EQ(stream(R"(,"lora_dir":"fine")")->model_name, "fine");
  EXPECT_EQ(refusal_of(stream(R"(,"lora_dir":"/etc")")), "model_not_found lora_dir");
  EXPECT_EQ(refusal_of(stream(R"(,"lora_dir":"","parameters":{"max_new_tokens":99})")),
            "context_length_exceeded parameters.max_new_tokens");
}

TEST_F(RequestPreparerTest, KeepsTheEndOfPromptsThatAreTooLong) {
  const auto tokens = [](const Result<PreparedRequest>& request) { return request.value().prompts[0].tokens; };
  EXPECT_THAT(tokens(complete(R"("truncate_prompt_tokens":2)")), ElementsAre(13, 14));
  EXPECT_THAT(tokens(complete(R"("truncate_prompt_tokens":2,"truncation_side":"right")")), ElementsAre(10, 11));
  EXPECT_EQ(tokens(complete(R"("truncate_prompt_tokens":9)")).size(), 5u);
  EXPECT_EQ(tokens(complete(R"("truncate_prompt_tokens":-1,"max_tokens":60)")).size(), 4u);
  EXPECT_EQ(tokens(complete(R"("truncate_prompt_tokens":-1)")).size(), 5u);
  EXPECT_EQ(refusal_of(complete(R"("truncate_prompt_tokens":0)")), "invalid_request_error truncate_prompt_tokens");
  EXPECT_EQ(tokens(chat(R"("truncate_prompt_tokens":1)")).size(), 1u);
  const Result<PreparedRequest> cut = complete(R"("truncate_prompt_tokens":2,"echo":true)");
  EXPECT_EQ(cut->prompts[0].echo, text.tokenizer().decode({{13, 14}}, SpecialText::skip)) << "what is echoed is what the model saw";
}

TEST_F(RequestPreparerTest, AsksForTheLogprobsOfPromptsThatAreTold) {
  const auto count = [](const Result<PreparedRequest>& request) { return request.value().spec.sampling.prompt_logprob_count; };
  EXPECT_EQ(count(complete(R"("logprobs":3)")), -1);
  EXPECT_EQ(count(complete(R"("logprobs":3,"echo":true)")), 3);
  EXPECT_EQ(count(complete(R"("logprobs":3,"echo":true,"prompt_logprobs":5)")), 5);
  EXPECT_EQ(count(complete(R"("prompt_logprobs":0)")), 0);
  EXPECT_EQ(count(complete(R"("prompt_logprobs":0,"stream":true)")), -1) << "a stream tells none";
  EXPECT_EQ(count(chat(R"("logprobs":true,"top_logprobs":2,"echo":true)")), -1) << "a chat's echo is text";
}

TEST_F(RequestPreparerTest, BoundsTheLogprobsOfOneAnswer) {
  generator.context = 20000;
  const auto score = [this](const std::string& fields) {
    const std::string tokens = fmt::format("[{}]", fmt::join(std::vector<int>(10000, 1), ","));
    return preparer->prepare(Endpoint::completions, R"({"prompt":)" + tokens + "," + fields + "}");
  };
  EXPECT_TRUE(score(R"("prompt_logprobs":20)"));
  EXPECT_TRUE(score(R"("logprobs":20,"n":8)"));
  EXPECT_EQ(refusal_of(score(R"("prompt_logprobs":20,"n":2)")), "invalid_request_error prompt_logprobs");
  EXPECT_EQ(refusal_of(score(R"("logprobs":20,"echo":true,"n":2)")), "invalid_request_error logprobs");
  EXPECT_TRUE(score(R"("logprobs":2,"echo":true,"stream":true)"));
  EXPECT_EQ(refusal_of(score(R"("logprobs":20,"echo":true,"stream":true)")), "invalid_request_error logprobs") << "one event holds them";
}

TEST_F(RequestPreparerTest, BoundsTheLogprobsOfTheOutput) {
  generator.context = 100'000;
  const Result<PreparedRequest> refused = complete(R"("logprobs":20,"n":8,"max_tokens":8000)");
  EXPECT_EQ(refusal_of(refused), "invalid_request_error max_tokens");
  EXPECT_THAT(refused.error().message,
              HasSubstr("max_tokens: expected at most 1560, because an answer has at most 262144 log-probabilities, "
                        "21 for each token of its 8 choices, found 8000; a stream may have more"));
  EXPECT_TRUE(complete(R"("logprobs":20,"n":8,"max_tokens":1560)"));
  EXPECT_TRUE(complete(R"("logprobs":20,"n":8,"max_tokens":8000,"stream":true)"));
  EXPECT_TRUE(complete(R"("n":8,"max_tokens":80000)"));
  EXPECT_EQ(refusal_of(chat(R"("logprobs":true,"top_logprobs":20,"max_completion_tokens":20000)")),
            "invalid_request_error max_completion_tokens");
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":20)")->prompts[0].output_tokens_max, 12483) << "nothing was asked for: what fits";
  const auto sglang = preparer->prepare(
      Endpoint::sglang, R"({"text":"Hi","return_logprob":true,"top_logprobs_num":20,"sampling_params":{"n":2,"max_new_tokens":9000}})");
  EXPECT_EQ(refusal_of(sglang), "invalid_request_error sampling_params.max_new_tokens");
}

TEST_F(RequestPreparerTest, EchoesTheLastMessageAsTheTemplateGotIt) {
  const auto echo_of = [this](const std::string& content) {
    return preparer->prepare(Endpoint::chat, R"({"echo":true,"messages":[{"role":"assistant","content":)" + content + "}]}")
        ->prompts[0]
        .echo;
  };
  EXPECT_EQ(echo_of(R"("Hi")"), "Hi");
  EXPECT_EQ(echo_of(R"([{"type":"text","text":""},{"type":"text","text":"Hi"}])"), "\nHi");
  EXPECT_EQ(echo_of("null"), "");
}

TEST_F(RequestPreparerTest, RefusesTextThatCannotFitBeforeItIsTokenised) {
  const std::string body = R"({"prompt":")" + std::string(1 << 20, 'a') + R"("})";
  const Result<PreparedRequest> refused = preparer->prepare(Endpoint::completions, body);
  EXPECT_EQ(refusal_of(refused), "context_length_exceeded prompt");
  EXPECT_THAT(refused.error().message, HasSubstr("bytes of text, found 1048576. This model's maximum context length is 64 tokens"));
  EXPECT_TRUE(preparer->read_prompts(Endpoint::completions, Json::parse(body), found(Json::object()))) << "whoever counts tokens gets them";
}

TEST_F(RequestPreparerTest, CountsTheTokensOfATextThatDoesNotFitOnlyUpToABound) {
  const auto refusal = [this](std::size_t words) {
    std::string prompt;
    for (std::size_t i = 0; i < words; ++i) prompt += "!a";
    return preparer->prepare(Endpoint::completions, R"({"prompt":")" + prompt + R"(","truncate_prompt_tokens":null})").error().message;
  };
  generator.context = 5000;
  EXPECT_THAT(refusal(3000), HasSubstr("expected at most 4999 tokens, found 6000. This model's maximum context length is 5000 tokens"));
  EXPECT_THAT(refusal(40000),
              HasSubstr("expected at most 4999 tokens, found more than 65536. This model's maximum context length is 5000"));
}

TEST_F(RequestPreparerTest, KeepsTheTokensOfEitherEndOfALongText) {
  std::string prompt = "Zebra";
  for (int i = 0; i < 100000; ++i) prompt += " queen";
  prompt += " key";
  const auto kept = [&](const char* side) {
    return prompt_of(preparer->prepare(
        Endpoint::completions, fmt::format(R"({{"prompt":"{}","truncate_prompt_tokens":2,"truncation_side":"{}"}})", prompt, side)));
  };
  const std::vector<TokenId> all = text.tokenizer().encode(prompt, SpecialTokens::add).value();
  const auto decoded = [&](std::size_t begin) { return text.tokenizer().decode(std::span(all).subspan(begin, 2), SpecialText::keep); };
  EXPECT_EQ(kept("left"), decoded(all.size() - 2));
  EXPECT_EQ(kept("right"), decoded(0));
}

TEST_F(RequestPreparerTest, BoundsStreamsThatRepeatThemselves) {
  generator.context = 100000;
  const auto stream = [this](int tokens, const std::string& fields) {
    return refusal_of(preparer->prepare(
        Endpoint::sglang, fmt::format(R"({{"text":"Hi","stream":true,"sampling_params":{{"max_new_tokens":{}}}{}}})", tokens, fields)));
  };
  EXPECT_EQ(stream(5000, ""), "");
  EXPECT_EQ(stream(50000, ""), "invalid_request_error stream");
  EXPECT_EQ(stream(5000, R"(,"return_logprob":true,"top_logprobs_num":20)"), "invalid_request_error stream");
  EXPECT_TRUE(preparer->prepare(Endpoint::sglang, R"({"text":"Hi","sampling_params":{"max_new_tokens":50000}})"));
}

TEST_F(RequestPreparerTest, GivesTheTemplateWhatTheRequestSays) {
  EXPECT_EQ(prompt_of(chat(R"("n":1)")), "user: Hi\nassistant:");
  EXPECT_EQ(prompt_of(chat(R"("add_generation_prompt":false)")), "user: Hi\n");
  EXPECT_EQ(prompt_of(chat(R"("tools":[{"function":{"name":"f"}}],"tool_choice":"none")")), "user: Hi\ntools 1\nassistant:");
  EXPECT_EQ(prompt_of(chat(R"("chat_template_kwargs":{"mood":"calm"})")), "user: Hi\ncalm\nassistant:");
  EXPECT_EQ(prompt_of(chat(R"("reasoning_effort":"low")")), "user: Hi\nlow True\nassistant:");
  EXPECT_EQ(prompt_of(chat(R"("reasoning_effort":"none","chat_template_kwargs":{"enable_thinking":1})")), "user: Hi\nnone 1\nassistant:");
  EXPECT_EQ(refusal_of(chat(R"("chat_template":"{{ 1 }}")")), "invalid_request_error chat_template");
}

TEST_F(RequestPreparerTest, RefusesWhatCanNeverFitAndClipsDefaults) {
  EXPECT_EQ(refusal_of(complete(R"("max_tokens":60)")), "context_length_exceeded max_tokens");
  EXPECT_EQ(refusal_of(chat(R"("max_completion_tokens":64)")), "context_length_exceeded max_completion_tokens");
  EXPECT_THAT(complete(R"("max_tokens":60)").error().message,
              HasSubstr("max_tokens: expected at most 59, found 60. This model's maximum context length is 64 tokens"));
  const auto prompt_of_length = [this](std::size_t length) {
    const std::string tokens = fmt::format("[{}]", fmt::join(std::vector<int>(length, 1), ","));
    return preparer->prepare(Endpoint::completions, R"({"prompt":)" + tokens + "}");
  };
  EXPECT_EQ(prompt_of_length(60)->prompts[0].output_tokens_max, 4);
  EXPECT_EQ(prompt_of_length(40)->prompts[0].output_tokens_max, 16);
  EXPECT_EQ(refusal_of(prompt_of_length(64)), "context_length_exceeded prompt");
  EXPECT_EQ(refusal_of(preparer->prepare(Endpoint::completions, R"({"prompt":""})")), "invalid_request_error prompt");
  EXPECT_EQ(refusal_of(complete(R"("min_tokens":17)")), "invalid_request_error min_tokens");
}

}  // namespace
}  // namespace slora
