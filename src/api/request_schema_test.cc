#include "api/request_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/request_table.h"

namespace slora {
namespace {

TEST(RequestSchema, HasEveryFieldOfItsEndpointAndNoOther) {
  for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat, Endpoint::responses, Endpoint::embeddings, Endpoint::sglang,
                                  Endpoint::slora, Endpoint::tgi}) {
    const Json schema = request_schema(endpoint, 100);
    std::size_t field_count = 0;
    for (const Field& field : request_fields()) {
      if ((field.sets & field_set_of(endpoint)) == 0) continue;
      ++field_count;
      ASSERT_TRUE(schema["properties"].contains(field.name)) << field.name;
      EXPECT_EQ(schema["properties"][field.name]["description"], field.description);
    }
    EXPECT_EQ(schema["properties"].size(), field_count);
  }
  EXPECT_EQ(request_schema(Endpoint::chat, 100)["required"], Json::array({"messages"}));
  EXPECT_EQ(request_schema(Endpoint::slora, 100)["required"], Json::array({"inputs"}));
  EXPECT_FALSE(request_schema(Endpoint::sglang, 100).contains("required")) << "text or input_ids";
}

TEST(RequestSchema, DescribesObjectsOfFields) {
  const Json parameters = request_schema(Endpoint::slora, 100)["properties"]["parameters"];
  EXPECT_EQ(parameters["type"], Json::array({"object", "null"}));
  EXPECT_EQ(parameters["properties"]["max_new_tokens"]["minimum"], 1);
  EXPECT_FALSE(parameters["properties"].contains("min_new_tokens")) << "SGLang's";
}

TEST(RequestSchema, TellsRangesDefaultsAndNull) {
  const Json properties = request_schema(Endpoint::completions, 100)["properties"];
  EXPECT_EQ(
      properties["n"],
      Json({{"type", {"integer", "null"}}, {"minimum", 1}, {"maximum", 8}, {"description", "Choices for each prompt."}, {"default", 1}}));
  EXPECT_EQ(properties["best_of"]["enum"], Json({1, nullptr}));
  EXPECT_EQ(properties["bad_words"]["enum"], Json({Json::array(), nullptr}));
  EXPECT_FALSE(properties["temperature"].contains("default")) << "the model's own";
  EXPECT_EQ(properties["stop"]["anyOf"].back(), Json({{"type", "null"}}));
  EXPECT_EQ(properties["stop_token_ids"]["items"]["maximum"], 99);
  EXPECT_EQ(properties["prompt"]["anyOf"].size(), 4u) << "a prompt is needed, so null is none";
}

}  // namespace
}  // namespace slora
