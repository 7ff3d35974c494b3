#include "http/responses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::Pair;

TEST(ErrorResponse, HasTheFormThatClientsParse) {
  const HttpResponse response = error_response({"model_not_found", "No \"x\".", "model"});
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.body, R"({"error":{"message":"No \"x\".","type":"invalid_request_error","param":"model","code":"model_not_found"}})");
}

TEST(ErrorResponse, ReasonsOfRefusalAreTheClientsToMend) {
  const HttpResponse response = error_response({"E_SHAPE", "lora_A is too wide", {}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, R"({"error":{"message":"lora_A is too wide","type":"invalid_request_error","param":null,"code":"E_SHAPE"}})");
}

TEST(ErrorResponse, SaysThatTryingAgainHelpsOrDoesNot) {
  for (const auto& [code, status] : {std::pair{"queue_full", 429}, {"draining", 503}, {"engine_stalled", 503}, {"engine_failed", 503}}) {
    EXPECT_EQ(error_response({code, "later", {}}).status, status);
  }
  const HttpResponse overdue = error_response({"deadline_exceeded", "late", {}});
  EXPECT_EQ(overdue.status, 504);
  EXPECT_THAT(overdue.headers, Contains(Pair("x-should-retry", "false")));
  EXPECT_THAT(error_response({"invalid_api_key", "no", {}}).headers, Contains(Pair("WWW-Authenticate", "Bearer")));
}

}  // namespace
}  // namespace slora
