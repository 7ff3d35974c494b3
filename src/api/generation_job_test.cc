#include "api/generation_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

using ::testing::ElementsAre;

using GenerationJobTest = GenerationJobFixture;

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

TEST_F(GenerationJobTest, TheTokenThatCompletesAFormIsShown) {
  complete(R"("stop_token_ids":[5])");
  deliver(0, 10);
  deliver(0, 11, EndReason::complete);
  EXPECT_EQ(body()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body()["choices"][0]["stop_reason"], nullptr);
  EXPECT_EQ(body()["choices"][0]["text"], text.tokenizer().token_bytes(10) + text.tokenizer().token_bytes(11));
  EXPECT_EQ(body()["usage"]["completion_tokens"], 2);
}

// The engine found out only after the token was sent.
TEST_F(GenerationJobTest, AFormMayBeCompletedByAnEventWithoutToken) {
  complete(R"("n":1)");
  deliver(0, 10);
  deliver(0, -1, EndReason::complete);
  EXPECT_EQ(body()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body()["choices"][0]["text"], text.tokenizer().token_bytes(10));
}

TEST_F(GenerationJobTest, SglangsMatchedIsNullWhenNothingButAFormEndedIt) {
  start(Endpoint::sglang, R"({"text":"Hello"})");
  deliver(0, 10);
  deliver(0, 11, EndReason::complete);
  EXPECT_EQ(body()["meta_info"]["finish_reason"], Json::parse(R"({"type": "stop", "matched": null})"));
}

TEST_F(GenerationJobTest, AFormThatIsTooCostlyIsTheRequestsOwnError) {
  complete(R"("stream":true)");
  deliver(0, 10);
  TokenEvent event;
  event.sequence = generator.submitted[0].id;
  event.end = EndReason::failed;
  event.error_code = "constraint_too_costly";
  event.error_message = "too many items";
  jobs.deliver({event});
  EXPECT_EQ(sink->error.value().kind, ErrorKind::invalid_request);
  EXPECT_EQ(sink->error->code, "constraint_too_costly");
  EXPECT_EQ(sink->error->message, "too many items");
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

TEST_F(GenerationJobTest, AClientThatLeavesCancelsEverySequence) {
  const auto job = complete(R"("n":2,"stream":true)");
  deliver(0, 10);
  job->cancel();
  EXPECT_EQ(generator.cancelled.size(), 2u);
  deliver(0, -1, EndReason::cancelled);
  deliver(1, -1, EndReason::cancelled);
  EXPECT_FALSE(sink->is_done);
}

TEST_F(GenerationJobTest, ASinkThatCancelsInAPartReceivesNothingMore) {
  class CancellingSink final : public AnswerSink {
   public:
    void part(const AnswerPart&) override {
      ++part_count;
      job.lock()->cancel();
    }
    void done(const Answer&) override { is_over = true; }
    void failed(const ApiError&) override { is_over = true; }

    std::weak_ptr<GenerationJob> job;
    int part_count = 0;
    bool is_over = false;
  };
  for (const std::optional<EndReason> end : {std::optional<EndReason>(), std::optional(EndReason::length)}) {
    const auto cancelling = std::make_shared<CancellingSink>();
    const auto job = std::make_shared<GenerationJob>(cancelling, services(), JobOrigin{});
    cancelling->job = job;
    const std::size_t first = generator.submitted.size();
    job->start(preparer->prepare(Endpoint::completions, R"({"prompt":"Hello","n":2})"));
    deliver(first, 10, end);
    deliver(first + 1, 10, EndReason::length);
    EXPECT_EQ(cancelling->part_count, 1);
    EXPECT_FALSE(cancelling->is_over);
    EXPECT_TRUE(generator.cancelled.contains(generator.submitted[first + 1].id.value));
  }
}

TEST_F(GenerationJobTest, EverySequenceIsCountedForTheClientThatAskedForIt) {
  complete(R"("n":3)");
  ASSERT_EQ(generator.submitted.size(), 3u);
  for (const GenerationRequest& sequence : generator.submitted) {
    EXPECT_EQ(sequence.tenant, TenantId{2});
    EXPECT_EQ(sequence.client, ClientId{5});
  }
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
  TokenEvent event;
  event.sequence = generator.submitted.at(0).id;
  event.end = EndReason::given_up;
  event.error_code = "first_token_slo_missed";
  event.error_message = "The server is overloaded.";
  jobs.deliver({event});
  EXPECT_EQ(sink->error.value().kind, ErrorKind::unavailable);
  EXPECT_EQ(sink->error->code, "first_token_slo_missed");
  EXPECT_EQ(sink->error->message, "The server is overloaded.");
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

TEST_F(GenerationJobTest, EndsWithTheRequestsTimeout) {
  complete(R"("timeout":2,"n":2)");
  clock.time += std::chrono::milliseconds(1999);
  jobs.end_overdue(clock.now());
  EXPECT_FALSE(sink->error);
  clock.time += std::chrono::milliseconds(1);
  jobs.end_overdue(clock.now());
  EXPECT_EQ(sink->error.value().kind, ErrorKind::timeout);
  EXPECT_EQ(sink->error->code, "deadline_exceeded");
  EXPECT_EQ(sink->error->param, "timeout");
  for (const auto& sequence : generator.submitted) EXPECT_TRUE(generator.cancelled.contains(sequence.id.value));
}

TEST_F(GenerationJobTest, PassesTheRequestsTimeoutOnAsADeadline) {
  complete(R"("timeout":2)");
  EXPECT_EQ(generator.submitted.at(0).deadline, clock.now() + std::chrono::seconds(2));
  complete(R"("max_tokens":2)");
  EXPECT_EQ(generator.submitted.at(1).deadline, kNoDeadline);
}

TEST_F(GenerationJobTest, PassesOnWhenTheRequestCame) {
  const Timestamp arrival = clock.now();
  const auto job = make_job();
  clock.time += std::chrono::seconds(3);  // it waited to be read
  job->start(preparer->prepare(Endpoint::completions, R"({"prompt":"Hello","n":2})"));
  ASSERT_EQ(generator.submitted.size(), 2u);
  for (const GenerationRequest& sequence : generator.submitted) EXPECT_EQ(sequence.arrival, arrival);
}

TEST_F(GenerationJobTest, SubmitsNothingAfterTheRequestsTimeout) {
  const auto job = make_job();
  clock.time += std::chrono::seconds(3);  // it waited to be read
  job->start(preparer->prepare(Endpoint::chat, R"({"messages":[{"role":"user","content":"Hello"}],"timeout":2})"));
  EXPECT_EQ(sink->error.value().code, "deadline_exceeded");
  EXPECT_TRUE(generator.submitted.empty());
}

TEST_F(GenerationJobTest, EndsWithItsTimeoutWhileItWaitsToBeRead) {
  const auto job = make_job();
  job->set_timeout(2);
  EXPECT_FALSE(job->is_overdue(clock.now() + std::chrono::milliseconds(1999)));
  clock.time += std::chrono::seconds(2);
  ASSERT_TRUE(job->is_overdue(clock.now()));
  job->end_overdue();
  EXPECT_EQ(sink->error.value().code, "deadline_exceeded");
  EXPECT_EQ(sink->error->message, "The answer was not complete after the 2 s of the request's timeout.");
  job->start(preparer->prepare(Endpoint::completions, R"({"prompt":"Hello","timeout":2})"));
  EXPECT_TRUE(generator.submitted.empty());
}

TEST_F(GenerationJobTest, WithoutAClockBesideItNoticesItsTimeoutAtTheNextToken) {
  complete(R"("timeout":2)");
  clock.time += std::chrono::seconds(3);
  deliver(0, 10);
  EXPECT_EQ(sink->error.value().code, "deadline_exceeded");
}

TEST_F(GenerationJobTest, AnAnswerThatIsCompleteIsGivenHoweverLate) {
  complete(R"("timeout":2)");
  clock.time += std::chrono::seconds(3);
  deliver(0, 10, EndReason::length);
  EXPECT_TRUE(sink->is_done);
}

TEST_F(GenerationJobTest, TheTableCountsTheTokensThatItsSequencesTake) {
  complete(R"("n":2,"max_tokens":8)");
  const std::uint64_t prompt = generator.submitted[0].prompt.size();
  EXPECT_EQ(jobs.work().done, 0u);
  EXPECT_EQ(jobs.work().left, 2 * (prompt + 8));
  deliver(0, 10);
  EXPECT_EQ(jobs.work().done, prompt + 1);
  EXPECT_EQ(jobs.work().left, 7 + prompt + 8);
  EXPECT_EQ(jobs.work().all, 2 * (prompt + 8));
  EXPECT_EQ(jobs.work().request_count, 1u);
  EXPECT_EQ(jobs.work().tenant_count, 1u);
  for (int i = 0; i < 6; ++i) deliver(0, 10);
  deliver(0, 10, EndReason::length);
  EXPECT_EQ(jobs.work().done, prompt + 8);
  EXPECT_EQ(jobs.work().left, prompt + 8);
  deliver(1, -1, EndReason::cancelled);
  EXPECT_EQ(jobs.work().done, prompt + 8);
  EXPECT_EQ(jobs.work().left, 0u);
  EXPECT_EQ(jobs.work().request_count, 0u);
}

TEST_F(GenerationJobTest, TheTableExpectsOutputsAsLongAsThoseOfLate) {
  generator.context = 4096;
  for (std::size_t i = 0; i < 100; ++i) {
    complete(R"("max_tokens":4000)");
    deliver(i, 10, EndReason::stop);
  }
  generator.capacity = 101;
  complete(R"("max_tokens":4000)");
  EXPECT_LE(jobs.work().left, 40u) << "not the 4,000 that it may take";
  for (int i = 0; i < 50; ++i) deliver(100, 10);
  EXPECT_EQ(jobs.work().left, 1u) << "it is longer than most, and has not ended";
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
