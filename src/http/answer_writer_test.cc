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
  std::string take_body() override { return {}; }
  void respond(HttpResponse given) override { response = std::move(given); }
  void begin_stream(std::string_view content_type) override { stream_type = content_type; }
  void send(std::string_view bytes) override { stream += bytes; }
  void end_stream() override { ended = true; }
  void break_stream() override { broken = true; }
  void on_gone(std::function<void()>) override {}

  std::optional<HttpResponse> response;
  std::string stream, stream_type;
  bool ended = false, broken = false;

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
  EXPECT_FALSE(exchange->broken);
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
  EXPECT_TRUE(exchange->broken);
  EXPECT_FALSE(exchange->response);
}

}  // namespace
}  // namespace slora
