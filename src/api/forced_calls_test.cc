#include "api/forced_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "api/request_parser.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTool =
    R"({"type":"function","function":{"name":"go","parameters":{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}}})";
constexpr const char* kStrict =
    R"({"type":"function","function":{"name":"stay","strict":true,"parameters":{"type":"object","properties":{}}}})";

RequestSpec request(const std::string& fields) {
  const std::string tools = std::string("[") + kTool + "," + kStrict + "]";
  return parse_request(Endpoint::chat, R"({"messages":[{"role":"user","content":"a"}],"tools":)" + tools + "," + fields + "}", 100).value();
}

AnswerForms forms_of(std::string_view family) {
  AnswerForms forms;
  forms.calls = find_family(call_families(), family);
  forms.format = forms.forced_format =
      std::make_shared<const AnswerFormat>(AnswerFormat::from_json(Json::parse(forms.calls->response_template)).value());
  return forms;
}

Json form_of(const RequestSpec& spec) { return spec.constraint ? Json::parse(spec.constraint->text)["format"] : Json(); }

TEST(ForcedCalls, NothingIsForcedWithoutAReason) {
  RequestSpec spec = request(R"("tool_choice":"none")");
  ASSERT_TRUE(force_calls(spec, forms_of("hermes")));
  EXPECT_FALSE(spec.constraint);
  EXPECT_FALSE(has_forced_calls(spec));
}

TEST(ForcedCalls, RequiredOnesAreOneOrMoreOfAllTools) {
  RequestSpec spec = request(R"("tool_choice":"required")");
  EXPECT_TRUE(has_forced_calls(spec));
  ASSERT_TRUE(force_calls(spec, forms_of("hermes")));
  EXPECT_EQ(spec.constraint_field, "tool_choice");
  const Json form = form_of(spec);
  ASSERT_EQ(form["type"], "tags_with_separator");
  EXPECT_EQ(form["at_least_one"], true);
  EXPECT_EQ(form["stop_after_first"], false);
  ASSERT_EQ(form["tags"].size(), 2u);
  EXPECT_THAT(form["tags"][0]["begin"].get<std::string>(), HasSubstr("\"go\""));
  EXPECT_EQ(form["tags"][0]["content"]["json_schema"]["required"], Json::parse(R"(["to"])"));
}

TEST(ForcedCalls, ANamedFunctionIsCalledOnce) {
  RequestSpec spec = request(R"("tool_choice":{"type":"function","function":{"name":"stay"}})");
  ASSERT_TRUE(force_calls(spec, forms_of("hermes")));
  const Json form = form_of(spec);
  ASSERT_EQ(form["tags"].size(), 1u);
  EXPECT_THAT(form["tags"][0]["begin"].get<std::string>(), HasSubstr("\"stay\""));
  EXPECT_EQ(form["stop_after_first"], true);
}

TEST(ForcedCalls, ParallelCallsCanBeSwitchedOff) {
  RequestSpec spec = request(R"("tool_choice":"required","parallel_tool_calls":false)");
  ASSERT_TRUE(force_calls(spec, forms_of("hermes")));
  EXPECT_EQ(form_of(spec)["stop_after_first"], true);
}

TEST(ForcedCalls, FreeAnswersHoldOnlyStrictToolsToTheirParameters) {
  RequestSpec spec = request(R"("tool_choice":"auto")");
  ASSERT_TRUE(force_calls(spec, forms_of("hermes")));
  EXPECT_EQ(spec.constraint_field, "tools");
  const Json form = form_of(spec);
  ASSERT_EQ(form["type"], "triggered_tags");
  EXPECT_EQ(form["tags"][0]["content"]["json_schema"], Json::parse(R"({"type":"object"})"));
  EXPECT_EQ(form["tags"][1]["content"]["json_schema"]["properties"], Json::object());
}

TEST(ForcedCalls, EveryFamilyWritesTheNamesOfTheTools) {
  for (const AnswerFamily& family : call_families()) {
    if (!family.forced) continue;
    RequestSpec spec = request(R"("tool_choice":"required")");
    ASSERT_TRUE(force_calls(spec, forms_of(family.name))) << family.name;
    EXPECT_THAT(spec.constraint->text, HasSubstr("stay")) << family.name;
    EXPECT_THAT(spec.constraint->text, ::testing::Not(HasSubstr("{name}"))) << family.name;
  }
}

TEST(ForcedCalls, PythonArgumentsComeRequiredOnesFirst) {
  RequestSpec spec = request(R"("tool_choice":{"type":"function","function":{"name":"go"}})");
  spec.chat.tools[0]["function"]["parameters"] =
      Json::parse(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["b"]})");
  const AnswerFamily* python = nullptr;
  for (const AnswerFamily& family : call_families()) {
    if (family.forced && family.forced->style == "python") python = &family;
  }
  ASSERT_NE(python, nullptr);
  ASSERT_TRUE(force_calls(spec, forms_of(python->name)));
  const std::string form = spec.constraint->text;
  EXPECT_LT(form.find("\"b=\""), form.find("\"a=\""));
}

TEST(ForcedCalls, SayWhyThereAreNone) {
  RequestSpec spec = request(R"("tool_choice":"required")");
  const Status unknown = force_calls(spec, {});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().param, "tool_choice");
  EXPECT_THAT(unknown.error().message, HasSubstr("--tool-call-parser none"));
  RequestSpec two = request(R"("tool_choice":"required","guided_regex":"a")");
  const Status both = force_calls(two, forms_of("hermes"));
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().message, HasSubstr("guided_regex"));
}

}  // namespace
}  // namespace slora
