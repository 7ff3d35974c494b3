#include "api/constraint_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/request_parser.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Result<RequestSpec> constrained(Endpoint endpoint, const std::string& fields) {
  switch (endpoint) {
    case Endpoint::completions:
      return parse_request(endpoint, R"({"prompt":"a",)" + fields + "}", 100);
    case Endpoint::chat:
      return parse_request(endpoint, R"({"messages":[{"role":"user","content":"a"}],)" + fields + "}", 100);
    case Endpoint::sglang:
      return parse_request(endpoint, R"({"text":"a","sampling_params":{)" + fields + "}}", 100);
    default:
      return parse_request(endpoint, R"({"inputs":"a","parameters":{)" + fields + "}}", 100);
  }
}

TEST(ConstraintFields, EveryFormOfEveryServerBecomesOneSpec) {
  struct Case {
    Endpoint endpoint;
    std::string fields;
    ConstraintKind kind;
    std::string text, place;
  };
  const std::string grammar = R"("root ::= \"a\"")";
  const std::vector<Case> cases = {
      {Endpoint::chat, R"("response_format":{"type":"json_object"})", ConstraintKind::json_schema, R"({"type":"object"})",
       "response_format"},
      {Endpoint::chat, R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"b":1,"a":2}}})",
       ConstraintKind::json_schema, R"({"b":1,"a":2})", "response_format.json_schema.schema"},
      {Endpoint::completions, R"("response_format":{"type":"json_object","schema":{"type":"null"}})", ConstraintKind::json_schema,
       R"({"type":"null"})", "response_format.schema"},
      {Endpoint::chat, R"("structured_outputs":{"json":"{}","regex":null})", ConstraintKind::json_schema, "{}", "structured_outputs.json"},
      {Endpoint::chat, R"("structured_outputs":{"regex":"a+"})", ConstraintKind::regex, "a+", "structured_outputs.regex"},
      {Endpoint::completions, R"("structured_outputs":{"choice":["a","b"]})", ConstraintKind::choice, R"(["a","b"])",
       "structured_outputs.choice"},
      {Endpoint::chat, R"("structured_outputs":{"grammar":)" + grammar + "}", ConstraintKind::grammar, "root ::= \"a\"",
       "structured_outputs.grammar"},
      {Endpoint::chat, R"("structured_outputs":{"structural_tag":{"format":{}}})", ConstraintKind::structural_tag, R"({"format":{}})",
       "structured_outputs.structural_tag"},
      {Endpoint::completions, R"("guided_json":{"type":"null"})", ConstraintKind::json_schema, R"({"type":"null"})", "guided_json"},
      {Endpoint::chat, R"("guided_regex":"b")", ConstraintKind::regex, "b", "guided_regex"},
      {Endpoint::chat, R"("guided_choice":["x"])", ConstraintKind::choice, R"(["x"])", "guided_choice"},
      {Endpoint::chat, R"("guided_grammar":)" + grammar, ConstraintKind::grammar, "root ::= \"a\"", "guided_grammar"},
      {Endpoint::completions, R"("grammar":)" + grammar, ConstraintKind::grammar, "root ::= \"a\"", "grammar"},
      {Endpoint::chat, R"("json_schema":{})", ConstraintKind::json_schema, "{}", "json_schema"},
      {Endpoint::sglang, R"("json_schema":"{}")", ConstraintKind::json_schema, "{}", "sampling_params.json_schema"},
      {Endpoint::sglang, R"("regex":"c","json_schema":"")", ConstraintKind::regex, "c", "sampling_params.regex"},
      {Endpoint::sglang, R"("ebnf":)" + grammar, ConstraintKind::grammar, "root ::= \"a\"", "sampling_params.ebnf"},
      {Endpoint::tgi, R"("grammar":{"type":"json","value":{"type":"null"}})", ConstraintKind::json_schema, R"({"type":"null"})",
       "parameters.grammar.value"},
      {Endpoint::tgi, R"("grammar":{"type":"regex","value":"d"})", ConstraintKind::regex, "d", "parameters.grammar.value"},
  };
  for (const Case& one : cases) {
    const Result<RequestSpec> spec = constrained(one.endpoint, one.fields);
    ASSERT_TRUE(spec) << one.fields << ": " << spec.error().message;
    ASSERT_TRUE(spec->constraint) << one.fields;
    EXPECT_EQ(spec->constraint->kind, one.kind) << one.fields;
    EXPECT_EQ(spec->constraint->text, one.text) << one.fields;
    EXPECT_EQ(spec->constraint_field, one.place);
  }
}

TEST(ConstraintFields, TextIsNoForm) {
  EXPECT_FALSE(constrained(Endpoint::chat, R"("response_format":{"type":"text"})")->constraint);
  EXPECT_FALSE(constrained(Endpoint::sglang, R"("regex":"","ebnf":"","json_schema":"","structural_tag":"")")->constraint);
}

TEST(ConstraintFields, StructuredOutputsSayHowTheJsonIsWritten) {
  const Result<RequestSpec> spec =
      constrained(Endpoint::chat, R"("structured_outputs":{"disable_any_whitespace":true,"json":{},"disable_additional_properties":true})");
  ASSERT_TRUE(spec);
  EXPECT_FALSE(spec->constraint->any_whitespace);
  EXPECT_TRUE(spec->constraint->disable_additional_properties);
}

TEST(ConstraintFields, TwoFormsAndFormsWithoutEndAreRefusedByName) {
  const Error two = constrained(Endpoint::chat, R"("guided_regex":"a","response_format":{"type":"json_object"})").error();
  EXPECT_EQ(two.param, "response_format");
  EXPECT_THAT(two.message, HasSubstr("found another in guided_regex"));
  EXPECT_EQ(constrained(Endpoint::chat, R"("structured_outputs":{"json":{},"regex":"a"})").error().param, "structured_outputs.regex");
  EXPECT_EQ(constrained(Endpoint::chat, R"("structured_outputs":{})").error().param, "structured_outputs");
  const Error endless = constrained(Endpoint::completions, R"("guided_regex":"a","ignore_eos":true)").error();
  EXPECT_EQ(endless.param, "ignore_eos");
  EXPECT_THAT(endless.message, HasSubstr("guided_regex"));
  EXPECT_EQ(constrained(Endpoint::sglang, R"("regex":"a","ignore_eos":true)").error().param, "sampling_params.ignore_eos");
}

}  // namespace
}  // namespace slora
