// Adapters that bring a tokenizer, templates, ends or defaults of their own, mixed in one batch with the base and with an adapter that
// brings nothing, on both backends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/local_api.h"
#include "api/response_format.h"
#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string report(const std::string& name) { return source_path("tests/golden/reports/" + name); }

// An answer, and its body as JSON.
class BodySink final : public AnswerSink {
 public:
  void part(const AnswerPart&) override {}
  void done(const Answer& answer) override {
    body = Json::parse(make_response_format(answer.request, {1, 0})->body(answer));
    prompt = std::vector<TokenId>(answer.request.prompts[0].tokens.begin(), answer.request.prompts[0].tokens.end());
    tokens = answer.choices[0].tokens;
  }
  void failed(const ApiError& given) override { error = given; }

  [[nodiscard]] bool is_over() const { return !body.is_null() || error; }
  [[nodiscard]] std::vector<TokenId> ids() const {
    std::vector<TokenId> out;
    for (const Token& token : tokens) out.push_back(token.id);
    return out;
  }

  Json body;
  std::vector<TokenId> prompt;
  std::vector<Token> tokens;
  std::optional<ApiError> error;
};
using Sink = std::shared_ptr<BodySink>;

class AdapterTextsOnBackend : public ::testing::TestWithParam<const char*> {
 protected:
  AdapterTextsOnBackend() {
    add_adapter("plain", Json::object());
    for (const Json& golden : cases()) add_adapter(name_of_case(golden), golden["files"]);
    add_adapter("cool", {{"generation_config.json", R"({"temperature":0,"eos_token_id":[42]})"}});
    Json tokenizer = read_json_file(report("base/tokenizer.json")).value();
    std::swap(tokenizer["added_tokens"][0]["content"], tokenizer["added_tokens"][1]["content"]);
    add_adapter("refused", {{"tokenizer.json", tokenizer}});

    ApiOptions options;
    options.runtime.model_folder = report("base");
    options.runtime.backend = GetParam();
    options.runtime.adapter_folders = {folder_.path()};
    options.runtime.pool_bytes = std::uint64_t{32} << 20;
    Result<std::unique_ptr<LocalApi>> created = LocalApi::create(std::move(options));
    if (created) api = std::move(*created);
  }
  void SetUp() override { ASSERT_NE(api, nullptr); }

  static const Json& texts() {
    static const Json json = read_json_file(report("texts.json")).value();
    return json;
  }
  static const Json& cases() { return texts()["cases"]; }
  // Names of adapters have no spaces.
  static std::string name_of_case(const Json& golden) {
    auto name = golden["name"].get<std::string>();
    std::ranges::replace(name, ' ', '-');
    return name;
  }

  // The weights of `plain`, with these files.
  void add_adapter(const std::string& name, const Json& files) {
    std::filesystem::create_directory(folder_.file(name));
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      std::filesystem::copy_file(report(std::string("plain/") + file), folder_.file(name + "/" + file));
    }
    for (const auto& [file, content] : files.items()) {
      folder_.write(name + "/" + file, content.is_string() ? content.get<std::string>() : content.dump());
    }
  }

  Sink start(Endpoint endpoint, const Json& request) {
    const auto sink = std::make_shared<BodySink>();
    api->start(endpoint, request, sink);
    return sink;
  }
  void finish(const std::vector<Sink>& sinks) {
    while (!std::ranges::all_of(sinks, &BodySink::is_over)) api->wait();
  }
  Sink answer(Endpoint endpoint, const Json& request) {
    Sink sink = start(endpoint, request);
    finish({sink});
    return sink;
  }
  static Json chat(const std::string& model, std::size_t tokens, const Json& more = Json::object()) {
    Json body = {{"model", model}, {"messages", texts()["messages"]}, {"temperature", 0}, {"max_tokens", tokens}, {"logprobs", true}};
    body.update(more);
    return body;
  }
  // Tokens and log-probabilities of [[token, logprob], ...], which were computed in fp32 as `reference` does.
  static void expect_answer(const Sink& sink, const Json& expected, const std::string& what) {
    ASSERT_FALSE(sink->error) << what << ": " << sink->error->message;
    if (std::string(GetParam()) != "reference") return;
    for (std::size_t i = 0; i < sink->tokens.size(); ++i) {
      EXPECT_EQ(sink->tokens[i].id, expected[i][0]) << what << ", token " << i;
      EXPECT_NEAR(sink->tokens[i].logprob, expected[i][1].get<double>(), 1e-4) << what << ", token " << i;
    }
  }
  // Bit for bit.
  static void expect_equal(const Sink& sink, const Sink& other, const std::string& what) {
    ASSERT_EQ(sink->ids(), other->ids()) << what;
    for (std::size_t i = 0; i < sink->tokens.size(); ++i) EXPECT_EQ(sink->tokens[i].logprob, other->tokens[i].logprob) << what;
  }

  const TemporaryFolder folder_;
  std::unique_ptr<LocalApi> api;
};

// Every case of the golden data, the reported ones among them, with the base and the plain adapter in one batch. The weights are those of
// the plain adapter, so the same tokens have the same answer there.
TEST_P(AdapterTextsOnBackend, EachIsServedAsTransformersAndPeftWould) {
  std::vector<Sink> own, by_ids, plain, base;
  for (const Json& golden : cases()) {
    own.push_back(start(Endpoint::chat, chat(name_of_case(golden), 4)));
    const Json ids = {{"model", "plain"}, {"prompt", golden["chat"]}, {"temperature", 0}, {"max_tokens", 4}, {"logprobs", 0}};
    by_ids.push_back(start(Endpoint::completions, ids));
    plain.push_back(start(Endpoint::chat, chat("plain", 4)));
    base.push_back(start(Endpoint::chat, chat("base", 4)));
  }
  for (const std::vector<Sink>& sinks : {own, by_ids, plain, base}) finish(sinks);
  const Json& usual = cases()[2];  // another end token: the base's own template
  for (std::size_t i = 0; i < cases().size(); ++i) {
    const auto name = cases()[i]["name"].get<std::string>();
    EXPECT_EQ(own[i]->prompt, cases()[i]["chat"].get<std::vector<TokenId>>()) << name;
    EXPECT_EQ(plain[i]->prompt, usual["chat"].get<std::vector<TokenId>>());
    EXPECT_EQ(base[i]->prompt, usual["chat"].get<std::vector<TokenId>>());
    expect_answer(own[i], cases()[i]["answer"], name);
    expect_answer(plain[i], usual["answer"], "plain next to " + name);
    expect_answer(base[i], usual["base_answer"], "base next to " + name);
    expect_equal(own[i], by_ids[i], name + " by its tokens");
    expect_equal(own[i], answer(Endpoint::chat, chat(name_of_case(cases()[i]), 4)), name + " alone");
  }
}

TEST_P(AdapterTextsOnBackend, ReportsHaveTheValuesWanted) {
  const Json expected = read_json_file(report("expected.json")).value();
  const std::vector<std::pair<std::string, std::string>> reports = {
      {"template-in-tokenizer_config.json", "02"}, {"template-in-chat_template.jinja", "02"}, {"another-end-token", "04"}};
  for (const auto& [adapter, number] : reports) {
    const Sink sink = answer(Endpoint::chat, chat(adapter, 6));
    expect_answer(sink, expected[number]["answer"], adapter);
    EXPECT_EQ(sink->prompt, expected[number]["prompt"].get<std::vector<TokenId>>());
    const auto end = expected[number]["end"].get<TokenId>();
    const Sink ended = answer(Endpoint::chat, chat(adapter, 6, {{"logit_bias", {{std::to_string(end), 100}}}}));
    EXPECT_THAT(ended->ids(), ::testing::ElementsAre(end)) << adapter;
    EXPECT_EQ(ended->body["choices"][0]["finish_reason"], "stop") << adapter;
  }
  for (const char* other : {"base", "plain"}) {
    const Sink goes_on = answer(Endpoint::chat, chat(other, 2, {{"logit_bias", {{"259", 100}}}}));
    EXPECT_EQ(goes_on->body["choices"][0]["finish_reason"], "length") << other << " has not the adapter's end";
  }
}

TEST_P(AdapterTextsOnBackend, TokensInSpareRowsHaveTheirTextsEverywhere) {
  const Json bias = {{"260", 100}};
  const auto ask = [&](const std::string& model) {
    return answer(Endpoint::completions, {{"model", model},
                                          {"prompt", "a<tool>b"},
                                          {"max_tokens", 2},
                                          {"logit_bias", bias},
                                          {"temperature", 0},
                                          {"logprobs", 1},
                                          {"echo", true}});
  };
  const Json own = ask("tokens-in-spare-rows")->body["choices"][0];
  EXPECT_EQ(own["text"], "a<tool>b<tool><tool>");
  EXPECT_EQ(own["logprobs"]["tokens"], Json::parse(R"(["a", "<tool>", "b", "<tool>", "<tool>"])"));
  EXPECT_TRUE(own["logprobs"]["top_logprobs"][3].contains("<tool>"));
  const Json plain = ask("plain")->body["choices"][0];
  EXPECT_EQ(plain["text"], "a<tool>b") << "for the base the row has no token";
  EXPECT_EQ(plain["logprobs"]["tokens"].size(), 10u);

  const Sink stopped = answer(Endpoint::completions, {{"model", "tokens-in-spare-rows"},
                                                      {"prompt", "a"},
                                                      {"max_tokens", 4},
                                                      {"logit_bias", bias},
                                                      {"temperature", 0},
                                                      {"stop", {"l><t"}}});
  EXPECT_EQ(stopped->body["choices"][0]["text"], "<too");
  EXPECT_EQ(stopped->body["choices"][0]["stop_reason"], "l><t");
}

TEST_P(AdapterTextsOnBackend, SettingsOfGenerationAreThoseOfTheAdapter) {
  const Json request = {{"model", "cool"}, {"messages", texts()["messages"]}, {"max_tokens", 6}};
  const Sink first = answer(Endpoint::chat, request), second = answer(Endpoint::chat, request);
  EXPECT_EQ(first->ids(), second->ids()) << "temperature 0";
  EXPECT_THAT(first->ids(), ::testing::ElementsAre(42)) << "the most likely token, which ends the answer";
  EXPECT_EQ(first->body["choices"][0]["finish_reason"], "stop");
}

TEST_P(AdapterTextsOnBackend, ARefusedTokenizerFailsTheRequestsThatNameItsAdapter) {
  const Sink refused = answer(Endpoint::completions, {{"model", "refused"}, {"prompt", "a"}});
  ASSERT_TRUE(refused->error);
  EXPECT_EQ(refused->error->code, "E_ADAPTER_TOKENIZER");
  EXPECT_EQ(refused->error->param, "model");
  EXPECT_THAT(refused->error->message, HasSubstr("adapter \"refused\": its tokenizer gives the token \"<|eos|>\" the id 256"));
  EXPECT_FALSE(answer(Endpoint::completions, {{"model", "plain"}, {"prompt", "a"}})->error);
}

INSTANTIATE_TEST_SUITE_P(Backends, AdapterTextsOnBackend, ::testing::Values("reference", "cpu"),
                         [](const auto& backend) { return std::string(backend.param); });

}  // namespace
}  // namespace slora
