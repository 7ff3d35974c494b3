#include "http/answer_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "formats/json.h"

namespace slora {
namespace {

class RecordingExchange final : public Exchange {
 public:
  const HttpRequest& request() const override { return request_; }
  RequestBody take_body() override { return {}; }
  void respond(HttpResponse given) override { response = std::move(given); }
  void begin_stream(std::string_view content_type) override { stream_type = content_type; }
  void send(std::string_view bytes) override { stream += bytes; }
  void end_stream() override { ended = true; }
  void give_up() noexcept override { given_up = true; }
  void on_gone(std::function<void()>) override {}

  std::optional<HttpResponse> response;
  std::string stream, stream_type;
  bool ended = false, given_up = false;

 private:
  HttpRequest request_;
};

class AnswerWriterTest : public ::testing::Test {
 protected:
  AnswerWriterTest() {
    answer.request.model_name = "m";
    answer.request.text = TextModel::load(source_path("tests/golden/tokenizers/qwen2"), {}).value();
    answer.request.prompts.push_back({.tokens = {5, 6}, .echo = {}, .output_tokens_max = 2});
    answer.prompts.resize(1);
    AnsweredChoice& choice = answer.choices.emplace_back();
    choice.text = "ab";
    choice.tokens = {{64, 0, {}}, {65, 0, {}}};
    choice.finish_reason = "length";
  }

  const std::shared_ptr<RecordingExchange> exchange = std::make_shared<RecordingExchange>();
  AnswerWriter writer{exchange, 0xab};
  Answer answer;
};

TEST_F(AnswerWriterTest, AWholeAnswerIsOneBody) {
  writer.part({answer});
  EXPECT_FALSE(exchange->response);
  writer.done(answer);
  EXPECT_EQ(exchange->response.value().status, 200);
  const Json body = Json::parse(exchange->response->body);
  EXPECT_EQ(body["id"], "cmpl-00000000000000ab");
  EXPECT_EQ(body["choices"][0]["text"], "ab");
  EXPECT_EQ(exchange->stream_type, "");
}

TEST_F(AnswerWriterTest, FormatsLargeAnswersOnAnotherThread) {
  std::function<void()> job, posted;
  bool has_space = true;
  const FormattingThread thread{[&](std::function<void()> work) { posted = std::move(work); },
                                [&](std::function<void()> work) {
                                  if (has_space) job = std::move(work);
                                  return has_space;
                                }};
  const auto owner = std::make_shared<int>(0);
  writer.use_thread(thread, owner);
  answer.request.spec.output.logprobs = 1;
  const Token token{64, -1, {{64, -1}}};
  answer.choices[0].tokens.assign(100, token);
  writer.done(answer);
  EXPECT_TRUE(exchange->response) << "a small one is not worth the way";
  const std::size_t small = exchange->response->body.size();

  exchange->response.reset();
  answer.choices[0].tokens.assign(3000, token);
  writer.done(answer);
  ASSERT_TRUE(job);
  EXPECT_FALSE(exchange->response);
  EXPECT_EQ(owner.use_count(), 2) << "the answer is kept";
  job();
  EXPECT_FALSE(exchange->response);
  job = {};
  posted();
  ASSERT_TRUE(exchange->response);
  EXPECT_GT(exchange->response->body.size(), 20 * small);
  EXPECT_EQ(Json::parse(exchange->response->body)["choices"][0]["logprobs"]["tokens"].size(), 3000U);

  exchange->response.reset();
  has_space = false;
  writer.done(answer);
  EXPECT_TRUE(exchange->response) << "nothing that was computed is lost";
}

TEST_F(AnswerWriterTest, AStreamBeginsWithItsFirstPart) {
  answer.request.spec.output.stream = true;
  EXPECT_EQ(exchange->stream_type, "");
  writer.part({answer, 0, true, 0, 0});
  EXPECT_EQ(exchange->stream_type, "text/event-stream; charset=utf-8");
  EXPECT_THAT(exchange->stream, ::testing::StartsWith("data: {\"id\":\"cmpl-00000000000000ab\""));
  EXPECT_THAT(exchange->stream, ::testing::EndsWith("}\n\n"));
  exchange->stream.clear();
  writer.done(answer);
  EXPECT_EQ(exchange->stream, "data: [DONE]\n\n");
  EXPECT_TRUE(exchange->ended);
  EXPECT_FALSE(exchange->response);
}

TEST_F(AnswerWriterTest, WhatFailsBeforeTheFirstPartHasAStatus) {
  answer.request.spec.output.stream = true;
  writer.failed({ErrorKind::rate_limit, "queue_full", "full", {}});
  EXPECT_EQ(exchange->response.value().status, 429);
  EXPECT_FALSE(exchange->ended);
}

TEST_F(AnswerWriterTest, AFailureInAStreamIsAnEventAndNoDone) {
  answer.request.spec.output.stream = true;
  writer.part({answer});
  exchange->stream.clear();
  writer.failed({ErrorKind::unavailable, "draining", "over", {}});
  EXPECT_EQ(exchange->stream,
            "data: "
            R"({"error":{"message":"over","type":"server_error","param":null,"code":"draining"}})"
            "\n\n");
  EXPECT_TRUE(exchange->ended) << "so that the event reaches the client";
  EXPECT_FALSE(exchange->response);
}

}  // namespace
}  // namespace slora
