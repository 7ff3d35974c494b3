#include "constraint/checks/check_constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "constraint/checks/schema_check.h"
#include "formats/json.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Result<ConstraintSpec> checked(ConstraintKind kind, std::string text) { return check_constraint({.kind = kind, .text = std::move(text)}); }

// What check_constraint() says of a text: its code and message; "" when it is served.
std::string verdict(ConstraintKind kind, const std::string& text) {
  const Result<ConstraintSpec> result = checked(kind, text);
  return result ? "" : result.error().code + ": " + result.error().message;
}

std::string nested(int depth, const std::string& open, const std::string& inside, const std::string& close) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  text += inside;
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(SchemaCheck, RefusesByKeywordAndPlaceWhatIsNotEnforced) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"not":{"type":"null"}})", "at #: the keyword \"not\""},
      {R"({"type":"object","properties":{"a":{"not":{}}}})", "at #/properties/a: the keyword \"not\""},
      {R"({"if":{},"then":{}})", "the keyword \"if\""},
      {R"({"type":"array","items":{},"uniqueItems":true})", "the keyword \"uniqueItems\""},
      {R"({"type":"array","contains":{}})", "the keyword \"contains\""},
      {R"({"type":"string","format":"iban"})", "#/format: expected one of email"},
      {R"({"$ref":"https://example.com/schema"})", "#/$ref"},
      {R"({"$ref":"#/$defs/none"})", "#/$ref"},
      {R"({"$ref":"#/properties","properties":{"a":{}}})", "the keyword \"properties\" is not served next to \"$ref\""},
      {R"x({"type":"string","pattern":"a(?=b)"})x", "look-around"},
      {R"({"type":"string","pattern":"a\"b"})", "a quote"},
      {R"({"type":"string","pattern":"[\"]"})", "none of which a JSON string has"},
      {R"({"type":"string","pattern":"ä"})", "only ASCII"},
      {R"({"type":"string","pattern":"a","maxLength":3})", "the keyword \"pattern\""},
      {R"({"type":"string","format":"date","minLength":3})", "the keyword \"format\""},
      {R"({"type":"number","multipleOf":0.1})", "the keyword \"multipleOf\""},
      {R"({"allOf":[{"type":"object"},{"type":"object"}]})", "the keyword \"allOf\""},
      {R"({"type":"object","anyOf":[{}]})", "the keyword \"type\" is not served next to \"anyOf\""},
      {R"({"minimum":3})", "the keyword \"minimum\" is not served without its \"type\""},
      {R"({"type":"integer","maxLength":3})", "the keyword \"maxLength\" is not served next to \"type\": \"integer\""},
      {R"({"type":"object","required":["a"]})", "#/required: expected names of \"properties\""},
      {R"({"type":"object","properties":{"a":{}},"patternProperties":{"b":{}}})", "the keyword \"patternProperties\""},
      {R"({"type":"object","minProperties":2})", "the keyword \"minProperties\""},
      {R"({"type":"object","dependentRequired":{}})", "the keyword \"dependentRequired\""},
      {R"({"type":"string","nullable":true})", "the keyword \"nullable\""},
      {R"({"type":"array","items":[{}]})", "the keyword \"items\""},
      {R"({"type":"array","maxItems":5000})", "#/maxItems: expected a count of at most"},
      {R"({"properties":{"a":false}})", "#/properties/a: false allows nothing"},
      {nested(70, R"({"items":)", "{}", "}"), "The schema"},
  };
  for (const auto& [schema, message] : cases) EXPECT_THAT(verdict(ConstraintKind::json_schema, schema), HasSubstr(message)) << schema;
}

TEST(SchemaCheck, RefusesWhatIsNoSchema) {
  for (const char* schema :
       {"", "{", "[]", "3", R"({"type":"any"})", R"({"type":[]})", R"({"enum":[]})", R"({"properties":[]})",
        R"({"type":"integer","const":"a"})", R"({"type":"string","minLength":-1})", R"({"type":"string","minLength":3,"maxLength":2})",
        R"({"$ref":"#"})", R"({"anyOf":[{"$ref":"#"}]})", R"({"type":"array","items":3})"}) {
    EXPECT_THAT(verdict(ConstraintKind::json_schema, schema), HasSubstr("bad_constraint")) << schema;
  }
}

TEST(SchemaCheck, SaysWhatTheLibraryWouldAssume) {
  const auto rewritten = [](const char* schema, OtherProperties others = OtherProperties::as_the_schema_says) {
    const Result<Json> result = check_schema_text(schema, others);
    return result ? *result : Json(result.error().message);
  };
  EXPECT_EQ(rewritten(R"({"title":"T","type":"object","description":"d"})"), Json::parse(R"({"type":"object","additionalProperties":{}})"));
  EXPECT_EQ(rewritten(R"({"type":"object"})", OtherProperties::none), Json::parse(R"({"type":"object","additionalProperties":false})"));
  EXPECT_EQ(rewritten(R"({"type":"array"})"), Json::parse(R"({"type":"array","items":{}})"));
  EXPECT_EQ(rewritten(R"({"type":"string","minLength":2,"maxLength":5})"), Json::parse(R"({"type":"string","pattern":"^.{2,5}$"})"));
  EXPECT_EQ(rewritten(R"({"properties":{"title":{"title":"A"}}})")["properties"], Json::parse(R"({"title":{}})")) << "a property's name";
}

TEST(SchemaCheck, TakesWhatPydanticWrites) {
  const char* schema = R"({"$defs":{"Step":{"properties":{"explanation":{"title":"Explanation","type":"string"},
      "next":{"anyOf":[{"$ref":"#/$defs/Step"},{"type":"null"}],"default":null}},"required":["explanation"],"title":"Step","type":"object"}},
      "additionalProperties":false,"properties":{"steps":{"items":{"$ref":"#/$defs/Step"},"title":"Steps","type":"array"},
      "kind":{"const":"sum","title":"Kind","type":"string"},"unit":{"enum":["m","s"],"type":"string"},
      "score":{"exclusiveMinimum":0,"maximum":10,"type":"integer"}},"required":["steps","kind"],"title":"Answer","type":"object"})";
  EXPECT_EQ(verdict(ConstraintKind::json_schema, schema), "");
}

TEST(RegexCheck, RefusesWhatTakesTooLongOrMeansSomethingElse) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"((a{0,100}){0,100}){0,100}", "unsupported_constraint: The form: counted repetitions within each other"},
      {"(a{0,100}){0,100}", "expected a product of at most 1024, found 10000"},
      {"a{5000}", "expected a count of at most 4096, found 5000"},
      {"a(?=b)", "look-around"},
      {"a(?<!b)", "look-around"},
      {"(?i)a", "flags"},
      {"(?P<n>a)", "named groups"},
      {"(a)\\1", "the escape \\1"},
      {"a\\b", "the escape \\b"},
      {"\\p{L}", "the escape \\p"},
      {"\\ud83d\\ude00", "the escape \\ud83d is half of a character"},
      {"[a\\uDFFF]", "the escape \\uDFFF is half of a character"},
      {"a^b", "'^' is served only at the very beginning"},
      {"a$|b", "'$' is served only at the very end"},
      {nested(70, "(", "a", ")"), "groups in each other"},
      {std::string(20000, 'a'), "expected at most 16384 bytes"},
      {"a{3,2}", "bad_constraint"},
      {"a**", "bad_constraint: The form: two repetitions"},
      {"*a", "repeats nothing"},
      {"(a", "'(' without ')'"},
      {"a)", "')' without '('"},
      {"[a", "'[' without ']'"},
      {"[z-a]", "a range from a smaller"},
      {"a\\", "a backslash at the end"},
  };
  for (const auto& [regex, message] : cases) EXPECT_THAT(verdict(ConstraintKind::regex, regex), HasSubstr(message)) << regex;
}

TEST(RegexCheck, TakesWhatPeopleWrite) {
  for (const char* regex : {"", "a|b|", R"(^\d{3}-\d{4}$)", R"((\d{1,3}\.){3}\d{1,3})", "(?:yes|no)", R"([\w.+-]+@[\w-]+\.[a-z]{2,})",
                            "[^a-z]*?", R"([ -~]{1,80})", R"(\x41\u00e9\n)", "größe"}) {
    EXPECT_EQ(verdict(ConstraintKind::regex, regex), "") << regex;
  }
}

TEST(GrammarCheck, RefusesWhatTakesTooLongOrIsNone) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(root ::= ((("a"{0,100}){0,100}){0,100}))", "counted repetitions within each other"},
      {"root ::= a{0,100}\na ::= b{0,100}\nb ::= \"b\"{0,100}", "counted repetitions within each other"},
      {R"(root ::= "a"{9999})", "expected a count of at most 4096"},
      {R"(root ::= "a" (= "b"))", "look-ahead"},
      {R"(root ::= TagDispatch(("a", b)))", "the function \"TagDispatch\""},
      {R"(root ::= /a+/)", "regular expressions within grammars"},
      {"", "expected rules"},
      {R"(start: "a")", "expected a rule such as root"},
      {R"(other ::= "a")", "expected a rule named root"},
      {R"(root ::= ("a")", "'(' without ')'"},
      {R"(root ::= "a)", "without its end"},
      {R"(root ::= "\ud83d\ude00")", "line 1: the escape \\ud83d is half of a character"},
      {"root ::= \"a\"\n | [\\uD800]", "line 2: the escape \\uD800"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: a second rule"},
  };
  for (const auto& [grammar, message] : cases) EXPECT_THAT(verdict(ConstraintKind::grammar, grammar), HasSubstr(message)) << grammar;
}

TEST(GrammarCheck, TakesRulesCommentsAndCounts) {
  const char* grammar = "# numbers\nroot ::= item (\",\" item){0,9}\nitem ::= [0-9]{1,3} | \"(\" root \")\" # nested\n";
  EXPECT_EQ(verdict(ConstraintKind::grammar, grammar), "");
}

TEST(ChoiceCheck, ChoicesBecomeAGrammar) {
  const Result<ConstraintSpec> grammar = checked(ConstraintKind::choice, R"(["yes","a\"b\\c\n"])");
  ASSERT_TRUE(grammar);
  EXPECT_EQ(grammar->kind, ConstraintKind::grammar);
  EXPECT_EQ(grammar->text, "root ::= \"yes\" | \"a\\\"b\\\\c\\x0a\"\n");
  for (const char* bad : {"[]", "{}", "[1]", R"([""])", "x"})
    EXPECT_THAT(verdict(ConstraintKind::choice, bad), HasSubstr("bad_constraint"));
}

TEST(TagCheck, ChecksWhatStandsInTags) {
  const char* good = R"({"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<f="],"tags":[
      {"type":"tag","begin":"<f=a>","content":{"type":"json_schema","json_schema":{"type":"object"}},"end":"</f>"}]}})";
  const Result<ConstraintSpec> tag = checked(ConstraintKind::structural_tag, good);
  ASSERT_TRUE(tag) << tag.error().message;
  EXPECT_THAT(tag->text, HasSubstr("additionalProperties"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"format":{"type":"json_schema","json_schema":{"not":{}}}})", "format.json_schema: The schema at #: the keyword \"not\""},
      {R"x({"format":{"type":"sequence","elements":[{"type":"regex","pattern":"a(?=b)"}]}})x", "format.elements[0].pattern"},
      {R"({"format":{"type":"dispatch"}})", "expected a type of"},
      {R"({"format":{}})", "expected an object with a \"type\""},
      {R"({"structures":[{"begin":"a","end":"b","schema":{"if":{}}}],"triggers":["a"]})", "the keyword \"if\""},
      {R"({"structures":[{"begin":"a","end":"b","schema":{}}]})", "triggers: expected a list"},
      {R"({"structures":[{"begin":"a","end":"b","schema":{}}],"triggers":[""]})", "triggers: expected a list"},
      {R"({"structures":[],"triggers":["a"]})", "structures: expected a list of at least one"},
      {R"({"structures":[{"end":"b","schema":{}}],"triggers":["a"]})", "structures[0].begin: expected a text, found null"},
      {R"({"structures":[{"begin":"a","end":1,"schema":{}}],"triggers":["a"]})", "structures[0].end: expected a text, found 1"},
      {R"({"structures":[{"begin":"a","schema":{},"end":""},{"begin":"b","end":"","schema":{}}],"triggers":["a"]})",
       "structures[1].begin: expected a text that begins with exactly one of the triggers"},
      {"{}", "expected \"format\""},
  };
  for (const auto& [text, message] : cases) EXPECT_THAT(verdict(ConstraintKind::structural_tag, text), HasSubstr(message)) << text;
}

TEST(TagCheck, OlderTagsBecomeTriggeredOnes) {
  const char* older =
      R"({"type":"structural_tag","structures":[{"begin":"<f=a>","schema":"{\"type\":\"null\"}","end":"</f>"}],"triggers":["<f="]})";
  const Result<ConstraintSpec> tag = checked(ConstraintKind::structural_tag, older);
  ASSERT_TRUE(tag) << tag.error().message;
  const Json format = Json::parse(tag->text)["format"];
  EXPECT_EQ(format["type"], "triggered_tags");
  EXPECT_EQ(format["triggers"], Json::parse(R"(["<f="])"));
  ASSERT_EQ(format["tags"].size(), 1u);
  EXPECT_EQ(format["tags"][0]["begin"], "<f=a>");
  EXPECT_EQ(format["tags"][0]["end"], "</f>");
  EXPECT_EQ(format["tags"][0]["content"]["json_schema"], Json::parse(R"({"type":"null"})"));
}

TEST(CheckConstraint, RefusesTextsThatAreTooLong) {
  const std::string large(300 << 10, ' ');
  for (const ConstraintKind kind : {ConstraintKind::json_schema, ConstraintKind::regex, ConstraintKind::choice, ConstraintKind::grammar,
                                    ConstraintKind::structural_tag})
    EXPECT_THAT(verdict(kind, large), HasSubstr("expected at most 262144 bytes"));
}

}  // namespace
}  // namespace slora
