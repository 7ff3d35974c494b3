#include "api/generation_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/job_table.h"
#include "api/response_format.h"
#include "api/testing/scripted_generator.h"
#include "base/testing/source_path.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;

class ManualClock final : public Clock {
 public:
  Timestamp now() const override { return Timestamp(1); }
};

// Keeps an answer as its endpoint's format writes it: one body, or the messages of a stream.
class RecordingSink final : public AnswerSink {
 public:
  explicit RecordingSink(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void part(const AnswerPart& part) override {
    text += part.text();
    if (!part.answer.request.spec.output.stream) return;
    for (std::string& message : format_of(part.answer).part_messages(part)) messages.push_back(std::move(message));
  }
  void done(const Answer& answer) override {
    is_done = true;
    if (!answer.request.spec.output.stream) body = format_of(answer).body(answer);
    for (std::string& message : format_of(answer).end_messages(answer)) messages.push_back(std::move(message));
  }
  void failed(const ApiError& given) override { error = given; }

  // The JSON of each message but the last one, [DONE].
  std::vector<Json> events() const {
    std::vector<Json> parsed;
    for (const std::string& message : messages) {
      if (message != "[DONE]") parsed.push_back(Json::parse(message));
    }
    return parsed;
  }

  std::string text, body;
  std::vector<std::string> messages;
  std::optional<ApiError> error;
  bool is_done = false;

 private:
  const ResponseFormat& format_of(const Answer& answer) {
    if (!format_) format_ = make_response_format(answer.request, {7, 0}, tokenizer_);
    return *format_;
  }

  const Tokenizer& tokenizer_;
  std::unique_ptr<ResponseFormat> format_;
};

class GenerationJobTest : public ::testing::Test {
 protected:
  GenerationJobTest() {
    GenerationConfig defaults;
    defaults.eos_token_ids = {kEnd};
    defaults.temperature = 0.5;
    preparer.emplace(std::vector<std::string>{"base"}, kVocabulary, defaults, text, generator);
  }

  std::shared_ptr<GenerationJob> make_job() {
    sink = std::make_shared<RecordingSink>(text.tokenizer());
    return std::make_shared<GenerationJob>(sink, JobServices{generator, jobs, text.tokenizer(), metrics, clock}, JobOrigin{{}, 7});
  }
  std::shared_ptr<GenerationJob> start(Endpoint endpoint, const std::string& body) {
    auto job = make_job();
    job->start(preparer->prepare(endpoint, body));
    return job;
  }
  std::shared_ptr<GenerationJob> complete(const std::string& fields) {
    return start(Endpoint::completions, R"({"prompt":"Hello",)" + fields + "}");
  }

  void deliver(std::size_t sequence, TokenId token, std::optional<EndReason> end = std::nullopt, std::vector<PromptLogprob> scores = {}) {
    TokenEvent event;
    event.prompt_logprobs = std::move(scores);
    event.sequence = generator.submitted.at(sequence).id;
    event.token = {.id = token, .logprob = -0.5F, .top = {{token, -0.5F}}};
    event.end = end;
    std::vector<TokenEvent> events;
    events.push_back(std::move(event));
    jobs.deliver(std::move(events));
  }
  // The tokens of `words`, one event each; the last ends by length.
  void deliver_text(std::size_t sequence, const std::string& words) {
    const std::vector<TokenId> tokens = text.tokenizer().encode(words, SpecialTokens::omit).value();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      deliver(sequence, tokens[i], i + 1 == tokens.size() ? std::optional(EndReason::length) : std::nullopt);
    }
  }
  Json body() const { return Json::parse(sink->body); }

  static constexpr std::int32_t kVocabulary = 200000;
  static constexpr TokenId kEnd = 3;
  const TemporaryFolder folder;
  const std::string chat_template =
      folder.write("chat_template.jinja", "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:");
  TextModel text = TextModel::load(source_path("tests/golden/tokenizers/qwen2"), chat_template).value();
  ScriptedGenerator generator;
  JobTable jobs;
  MetricsRegistry registry;
  RequestMetrics metrics{registry, "base"};
  ManualClock clock;
  std::optional<RequestPreparer> preparer;
  std::shared_ptr<RecordingSink> sink;
};

TEST_F(GenerationJobTest, SubmitsEveryChoiceWithThePriorityOfItsRequest) {
  generator.has_priorities = true;
  complete(R"("priority":-3,"n":2,"max_tokens":1)");
  ASSERT_EQ(generator.submitted.size(), 2u);
  for (const GenerationRequest& sequence : generator.submitted) EXPECT_EQ(sequence.priority, -3);
}

TEST_F(GenerationJobTest, AnswersACompletionWhole) {
  complete(R"("model":"base","max_tokens":8,"seed":11)");
  ASSERT_EQ(generator.submitted.size(), 1u);
  const GenerationRequest& sequence = generator.submitted[0];
  EXPECT_EQ(sequence.output_tokens_max, 8);
  EXPECT_EQ(sequence.sampling.seed, 11u);
  EXPECT_EQ(sequence.sampling.temperature, 0.5F) << "the model's own default";
  EXPECT_THAT(sequence.sampling.end_tokens, ElementsAre(kEnd));
  deliver_text(0, " big world");
  EXPECT_EQ(body()["object"], "text_completion");
  EXPECT_EQ(body()["model"], "base");
  EXPECT_EQ(body()["choices"][0]["text"], " big world");
  EXPECT_EQ(body()["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body()["choices"][0]["logprobs"], nullptr);
  const auto prompt_tokens = static_cast<std::int64_t>(sequence.prompt.size());
  EXPECT_EQ(body()["usage"]["prompt_tokens"], prompt_tokens);
  EXPECT_EQ(body()["usage"]["total_tokens"].get<std::int64_t>(), prompt_tokens + body()["usage"]["completion_tokens"].get<std::int64_t>());
}

TEST_F(GenerationJobTest, StreamsOneEventPerTokenWithTheSameText) {
  complete(R"("stream":true,"stream_options":{"include_usage":true})");
  EXPECT_TRUE(sink->messages.empty()) << "what fails before the first token is no broken stream";
  deliver_text(0, " a \xf0\x9f\x98\x80 b");
  EXPECT_TRUE(sink->is_done);
  const std::vector<Json> events = sink->events();
  const std::size_t token_count = text.tokenizer().encode(" a \xf0\x9f\x98\x80 b", SpecialTokens::omit).value().size();
  ASSERT_EQ(events.size(), token_count + 1);
  std::string joined;
  for (std::size_t i = 0; i < token_count; ++i) {
    joined += events[i]["choices"][0]["text"].get<std::string>();
    EXPECT_EQ(events[i]["choices"][0]["finish_reason"], i + 1 == token_count ? Json("length") : Json());
  }
  EXPECT_EQ(joined, " a \xf0\x9f\x98\x80 b");
  EXPECT_EQ(events.back()["choices"], Json::array());
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], token_count);
  EXPECT_EQ(sink->messages.back(), "[DONE]");
  EXPECT_EQ(sink->text, joined) << "the parts' own texts";
}

TEST_F(GenerationJobTest, AChatStreamOpensWithTheRole) {
  const auto job = start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})");
  deliver_text(0, "Hello");
  const std::vector<Json> events = sink->events();
  EXPECT_EQ(events[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  std::string joined;
  for (const Json& event : events) {
    joined += event["choices"][0]["delta"]["content"].get<std::string>();
    EXPECT_FALSE(event.contains("usage"));
  }
  EXPECT_EQ(joined, "Hello");
}

TEST_F(GenerationJobTest, StopStringsCutTheTextAndCancelTheSequence) {
  complete(R"("stop":["wor"])");
  deliver_text(0, " big world and more");
  EXPECT_EQ(body()["choices"][0]["text"], " big ");
  EXPECT_EQ(body()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body()["choices"][0]["stop_reason"], "wor");
  EXPECT_TRUE(generator.cancelled.contains(generator.submitted[0].id.value));
}

TEST_F(GenerationJobTest, MinTokensProtectTheTextFromStopStrings) {
  complete(R"("stop":["big"],"min_tokens":2)");
  deliver_text(0, " big world big end");
  EXPECT_EQ(body()["choices"][0]["text"], " big world ");
}

TEST_F(GenerationJobTest, TheEndTokenIsCountedButNotShown) {
  complete(R"("stop_token_ids":[5])");
  deliver(0, 10);
  deliver(0, 5, EndReason::stop);
  EXPECT_EQ(body()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body()["choices"][0]["stop_reason"], 5);
  EXPECT_EQ(body()["choices"][0]["text"], text.tokenizer().token_bytes(10));
  EXPECT_EQ(body()["usage"]["completion_tokens"], 2);
}

TEST_F(GenerationJobTest, IgnoreEosLeavesOnlyTheRequestsOwnEndTokens) {
  complete(R"("ignore_eos":true,"stop_token_ids":[5])");
  EXPECT_THAT(generator.submitted[0].sampling.end_tokens, ElementsAre(5));
}

TEST_F(GenerationJobTest, ChoicesOfSeveralPromptsKeepTheirOrder) {
  start(Endpoint::completions, R"({"prompt":["Hello","World"],"n":2,"echo":true,"seed":1})");
  ASSERT_EQ(generator.submitted.size(), 4u);
  EXPECT_EQ(generator.submitted[0].choice, 0u);
  EXPECT_EQ(generator.submitted[1].choice, 1u);
  EXPECT_EQ(generator.submitted[2].choice, 0u);
  for (const std::size_t sequence : {3u, 0u, 2u, 1u}) deliver_text(sequence, fmt::format(" {}", sequence));
  std::vector<std::string> texts;
  const Json answer = body();
  for (const Json& choice : answer["choices"]) texts.push_back(choice["text"]);
  EXPECT_THAT(texts, ElementsAre("Hello 0", "Hello 1", "World 2", "World 3"));
}

TEST_F(GenerationJobTest, TellsLogprobsInTheFormOfTheEndpoint) {
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

TEST_F(GenerationJobTest, ScoresAPromptAndDropsTheTokenThatWasDrawn) {
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

TEST_F(GenerationJobTest, OffsetsGoOnFromTheEchoedPromptToTheOutput) {
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

TEST_F(GenerationJobTest, TellsPromptLogprobsWhereVllmDoes) {
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

TEST_F(GenerationJobTest, TellsTokenIdsWhereVllmDoes) {
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

TEST_F(GenerationJobTest, NamesTokensByTheirIdsWhenAsked) {
  complete(R"("logprobs":1,"return_tokens_as_token_ids":true)");
  deliver(0, 40, EndReason::length);
  EXPECT_EQ(body()["choices"][0]["logprobs"]["tokens"], Json({"token_id:40"}));
  EXPECT_EQ(body()["choices"][0]["logprobs"]["top_logprobs"][0], Json({{"token_id:40", -0.5}}));
}

TEST_F(GenerationJobTest, UsageInAStreamIsTheChoicesOwn) {
  complete(R"("n":2,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true})");
  deliver(0, 40);
  deliver(1, 40, EndReason::length);
  deliver(0, 41, EndReason::length);
  std::vector<int> counts;
  for (const Json& event : sink->events()) counts.push_back(event["usage"]["completion_tokens"]);
  EXPECT_THAT(counts, ElementsAre(1, 1, 2, 3));
}

TEST_F(GenerationJobTest, AChatEchoesTheAssistantsLastMessage) {
  start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"So "}],"echo":true})");
  deliver_text(0, "big");
  EXPECT_EQ(body()["choices"][0]["message"]["content"], "So big");
  start(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hi"}],"echo":true})");
  deliver_text(1, "big");
  EXPECT_EQ(body()["choices"][0]["message"]["content"], "big");
  start(Endpoint::chat,
        R"({"messages":[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"echo":true})");
  deliver_text(2, "big");
  EXPECT_EQ(body()["choices"][0]["message"]["content"], "a\nbbig");
  start(Endpoint::chat, R"({"messages":[{"role":"assistant","content":null}],"echo":true})");
  deliver_text(3, "big");
  EXPECT_EQ(body()["choices"][0]["message"]["content"], "big");
}

TEST_F(GenerationJobTest, AFullQueueCancelsWhatWasTakenAndIsToBeTriedLater) {
  generator.capacity = 1;
  complete(R"("n":3)");
  EXPECT_EQ(sink->error.value().kind, ErrorKind::rate_limit);
  EXPECT_TRUE(generator.cancelled.contains(generator.submitted[0].id.value));
  deliver(0, -1, EndReason::cancelled);
}

TEST_F(GenerationJobTest, AClientThatLeavesCancelsEverySequence) {
  const auto job = complete(R"("n":2,"stream":true)");
  deliver(0, 10);
  job->cancel();
  EXPECT_EQ(generator.cancelled.size(), 2u);
  deliver(0, -1, EndReason::cancelled);
  deliver(1, -1, EndReason::cancelled);
  EXPECT_FALSE(sink->is_done);
}

TEST_F(GenerationJobTest, AClientThatLeftBeforeItsRequestWasReadCostsNothing) {
  const auto job = make_job();
  job->cancel();
  job->start(preparer->prepare(Endpoint::completions, R"({"prompt":"Hello"})"));
  EXPECT_TRUE(generator.submitted.empty());
}

TEST_F(GenerationJobTest, AFailedLoadIsTheRequestsOwnError) {
  complete(R"("stream":true)");
  TokenEvent event;
  event.sequence = generator.submitted[0].id;
  event.end = EndReason::adapter_failed;
  event.error_code = "E_NONFINITE";
  event.error_message = "a NaN";
  jobs.deliver({event});
  EXPECT_TRUE(sink->messages.empty());
  EXPECT_EQ(sink->error.value().kind, ErrorKind::invalid_request);
  EXPECT_EQ(sink->error->code, "E_NONFINITE");
  EXPECT_EQ(sink->error->param, "model");
}

TEST_F(GenerationJobTest, ASequenceThatWasGivenUpIsNotAShortAnswer) {
  complete(R"("max_tokens":8)");
  deliver(0, -1, EndReason::given_up);
  EXPECT_EQ(sink->error.value().kind, ErrorKind::unavailable);
  EXPECT_EQ(sink->error->code, "given_up");
}

TEST_F(GenerationJobTest, CountsCachedTokensOncePerPrompt) {
  complete(R"("n":2)");
  for (const auto& [sequence, cached_tokens] : {std::pair{0u, 0}, {1u, 1}}) {
    TokenEvent event;
    event.sequence = generator.submitted[sequence].id;
    event.token.id = 10;
    event.end = EndReason::length;
    event.cached_tokens = cached_tokens;
    jobs.deliver({event});
  }
  EXPECT_EQ(body()["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
}

TEST_F(GenerationJobTest, AFailureAfterTheFirstTokenIsNoEnd) {
  complete(R"("stream":true)");
  deliver(0, 10);
  jobs.fail_all({"draining", "over", {}});
  EXPECT_EQ(sink->events().size(), 1u);
  EXPECT_FALSE(sink->is_done);
  EXPECT_EQ(sink->error.value().code, "draining");
  EXPECT_TRUE(generator.cancelled.contains(generator.submitted[0].id.value));
}

}  // namespace
}  // namespace slora
