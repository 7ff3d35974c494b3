#include "http/small_body.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

namespace slora {
namespace {

constexpr std::array kFields = {
    SmallField{"name", FieldForm::text, FieldNeed::needed, "a name"},
    SmallField{"again", FieldForm::flag, FieldNeed::optional, "again"},
    SmallField{"count", FieldForm::integer, FieldNeed::optional, "a count"},
    SmallField{"tokens", FieldForm::token_ids, FieldNeed::optional, "ids"},
};

std::string param_of(std::string_view body) {
  const Result<Json> fields = parse_small_body(kFields, body, 100);
  if (fields) return "none";
  EXPECT_EQ(fields.error().code, "invalid_request_error") << body;
  return fields.error().param;
}

TEST(SmallBody, GivesTheFieldsOfItsTable) {
  const Json fields =
      parse_small_body(kFields, R"({"name": "a", "again": true, "count": null, "tokens": [0, 99], "more": {}})", 100).value();
  EXPECT_EQ(fields, Json({{"name", "a"}, {"again", true}, {"tokens", {0, 99}}}));
}

TEST(SmallBody, RefusesByNameWhatHasNotItsForm) {
  for (const auto& [body, param] :
       std::vector<std::pair<std::string_view, std::string>>{{"{}", "name"},
                                                             {R"({"name": null})", "name"},
                                                             {R"({"name": ""})", "name"},
                                                             {R"({"name": 1})", "name"},
                                                             {R"({"name": "a", "again": 1})", "again"},
                                                             {R"({"name": "a", "count": 1.5})", "count"},
                                                             {R"({"name": "a", "tokens": 1})", "tokens"},
                                                             {R"({"name": "a", "tokens": [1, 100]})", "tokens[1]"},
                                                             {R"({"name": "a", "tokens": [-1]})", "tokens[0]"},
                                                             {R"({"name": "a", "tokens": ["1"]})", "tokens[0]"},
                                                             {"[]", ""},
                                                             {"", ""},
                                                             {R"({"name": "a", "name": "b"})", ""}}) {
    EXPECT_EQ(param_of(body), param) << body;
  }
}

TEST(SmallBody, DescribesWhatItTakes) {
  const Json schema = small_body_schema(kFields, 100);
  EXPECT_EQ(schema["required"], Json::array({"name"}));
  ASSERT_EQ(schema["properties"].size(), kFields.size());
  EXPECT_EQ(schema["properties"]["name"]["type"], Json::array({"string"}));
  EXPECT_EQ(schema["properties"]["tokens"]["items"]["maximum"], 99);
}

}  // namespace
}  // namespace slora
