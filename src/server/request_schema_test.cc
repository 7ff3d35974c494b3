#include "server/request_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/request_table.h"

namespace slora {
namespace {

TEST(RequestSchema, HasEveryFieldOfItsEndpointAndNoOther) {
  for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat}) {
    const Json schema = request_schema(endpoint, 100);
    std::size_t field_count = 0;
    for (const Field& field : request_fields()) {
      if ((field.sets & field_set_of(endpoint)) == 0) continue;
      ++field_count;
      ASSERT_TRUE(schema["properties"].contains(field.name)) << field.name;
      EXPECT_EQ(schema["properties"][field.name]["description"], field.description);
    }
    EXPECT_EQ(schema["properties"].size(), field_count);
    EXPECT_EQ(schema["required"], Json::array({endpoint == Endpoint::chat ? "messages" : "prompt"}));
  }
}

TEST(RequestSchema, TellsRangesDefaultsAndNull) {
  const Json properties = request_schema(Endpoint::completions, 100)["properties"];
  EXPECT_EQ(
      properties["n"],
      Json({{"type", {"integer", "null"}}, {"minimum", 1}, {"maximum", 8}, {"description", "Choices for each prompt."}, {"default", 1}}));
  EXPECT_EQ(properties["best_of"]["enum"], Json({1, nullptr}));
  EXPECT_EQ(properties["guided_json"]["enum"], Json::array({nullptr}));
  EXPECT_FALSE(properties["temperature"].contains("default")) << "the model's own";
  EXPECT_EQ(properties["stop"]["anyOf"].back(), Json({{"type", "null"}}));
  EXPECT_EQ(properties["stop_token_ids"]["items"]["maximum"], 99);
  EXPECT_EQ(properties["prompt"]["anyOf"].size(), 4u) << "a prompt is needed, so null is none";
}

}  // namespace
}  // namespace slora
