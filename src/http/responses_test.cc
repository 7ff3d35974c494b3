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

TEST(ErrorResponse, SaysWhenToTryAgain) {
  for (const auto& [code, status] : {std::pair{"queue_full", 429}, {"draining", 503}, {"engine_stalled", 503}}) {
    const HttpResponse response = error_response({code, "later", {}});
    EXPECT_EQ(response.status, status);
    EXPECT_THAT(response.headers, Contains(Pair("Retry-After", "1")));
  }
  EXPECT_THAT(error_response({"invalid_api_key", "no", {}}).headers, Contains(Pair("WWW-Authenticate", "Bearer")));
}

}  // namespace
}  // namespace slora
