#include "api/local_api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"

namespace slora {
namespace {

class KeepingSink final : public AnswerSink {
 public:
  void part(const AnswerPart& part) override {
    text += part.text();
    token_count += part.tokens().size();
  }
  void done(const Answer& answer) override { whole = answer.choices.front(); }
  void failed(const ApiError& given) override { error = given; }

  [[nodiscard]] bool is_over() const { return whole || error; }

  std::string text;
  std::size_t token_count = 0;
  std::optional<AnsweredChoice> whole;
  std::optional<ApiError> error;
};

class LocalApiTest : public ::testing::Test {
 protected:
  LocalApiTest() {
    ApiOptions options;
    options.runtime.model_folder = source_path("demo/model");
    options.runtime.adapter_folders = {source_path("demo/adapters")};
    options.runtime.pool_bytes = std::uint64_t{64} << 20;
    Result<std::unique_ptr<LocalApi>> created = LocalApi::create(std::move(options));
    if (created) api = std::move(*created);
  }
  void SetUp() override { ASSERT_NE(api, nullptr); }

  static Json request(const std::string& model, const std::string& message) {
    const Json messages = Json::array({{{"role", "user"}, {"content", message}}});
    return {{"model", model}, {"messages", messages}, {"temperature", 0}, {"max_tokens", 48}};
  }

  std::unique_ptr<LocalApi> api;
};

TEST_F(LocalApiTest, GivesAnAnswerInPartsAndWhole) {
  KeepingSink sink;
  api->answer(Endpoint::chat, request("shout", "Rosa painted a hat."), sink);
  ASSERT_TRUE(sink.whole);
  EXPECT_FALSE(sink.text.empty());
  EXPECT_EQ(sink.text, sink.whole->text);
  EXPECT_EQ(sink.token_count, sink.whole->tokens.size());
  EXPECT_EQ(sink.whole->finish_reason, "stop");
}

TEST_F(LocalApiTest, AnswersSeveralRequestsAtOnceAsOneByOne) {
  KeepingSink alone;
  api->answer(Endpoint::chat, request("yoda", "Rosa painted a hat."), alone);
  const auto first = std::make_shared<KeepingSink>(), second = std::make_shared<KeepingSink>();
  api->start(Endpoint::chat, request("yoda", "Rosa painted a hat."), first);
  api->start(Endpoint::chat, request("shout", "Rosa painted a hat."), second);
  while (!first->is_over() || !second->is_over()) api->wait();
  EXPECT_EQ(first->text, alone.text);
  EXPECT_NE(second->text, alone.text);
}

TEST_F(LocalApiTest, ACancelledRequestEndsWithoutAnAnswer) {
  const auto cancelled = std::make_shared<KeepingSink>(), kept = std::make_shared<KeepingSink>();
  const auto job = api->start(Endpoint::chat, request("yoda", "Rosa painted a hat."), cancelled);
  api->start(Endpoint::chat, request("shout", "Rosa painted a hat."), kept);
  job->cancel();
  while (!kept->is_over()) api->wait();
  EXPECT_TRUE(kept->whole);
  EXPECT_EQ(cancelled->token_count, 0u);
  EXPECT_FALSE(cancelled->is_over());
}

TEST_F(LocalApiTest, WaitingForNothingReturnsAtOnce) {
  api->wait();
  KeepingSink sink;
  api->answer(Endpoint::chat, request("shout", "Rosa painted a hat."), sink);
  api->wait();
  EXPECT_TRUE(sink.whole);
}

TEST_F(LocalApiTest, RefusesWithATypedError) {
  KeepingSink unknown, range, bytes;
  api->answer(Endpoint::chat, request("nobody", "Hi"), unknown);
  EXPECT_EQ(unknown.error.value().kind, ErrorKind::not_found);
  EXPECT_EQ(unknown.error->param, "model");
  api->answer(Endpoint::completions, {{"prompt", "a"}, {"temperature", -1}}, range);
  EXPECT_EQ(range.error.value().kind, ErrorKind::invalid_request);
  EXPECT_EQ(range.error->param, "temperature");
  api->answer(Endpoint::chat, request("yoda", "a\xff"), bytes);
  EXPECT_EQ(bytes.error.value().code, "invalid_request_error");
}

}  // namespace
}  // namespace slora
