// Which tokens a form allows, against PCRE2: a token is allowed exactly if some text of the form begins with what is there and the token.
// PCRE2 knows that as a partial match. Its patterns below are written by hand, apart from the forms.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gtest/gtest.h>
#include <pcre2.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "forms/demo_forms.h"

namespace slora {
namespace {

class Oracle {
 public:
  explicit Oracle(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    const std::string anchored = "\\A(?:" + pattern + ")\\z";
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(anchored.data()), anchored.size(), PCRE2_DOTALL | PCRE2_NO_START_OPTIMIZE, &error,
                          &at, nullptr);
    EXPECT_NE(code_, nullptr) << pattern << ", error " << error << " at " << at;
    data_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Oracle() {
    pcre2_match_data_free(data_);
    pcre2_code_free(code_);
  }
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  bool is_whole(const std::string& text) const { return match(text, 0) >= 0; }
  bool can_go_on(const std::string& text) const {
    const int result = match(text, PCRE2_PARTIAL_SOFT);
    EXPECT_TRUE(result >= 0 || result == PCRE2_ERROR_PARTIAL || result == PCRE2_ERROR_NOMATCH) << result;
    return result != PCRE2_ERROR_NOMATCH;
  }

 private:
  int match(const std::string& text, std::uint32_t options) const {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, options, data_, nullptr);
  }

  pcre2_code* code_ = nullptr;
  pcre2_match_data* data_ = nullptr;
};

struct Form {
  ConstraintKind kind;
  std::string text, pattern;
  bool any_whitespace = true;
};

// A character in UTF-8 outside ASCII, as bytes.
const std::string kWide =
    R"((?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}))";
const std::string kAny = "(?:[\\x00-\\x7f]|" + kWide + ")";
const std::string kSpace = R"([ \n\r\t]{0,8})";
const std::string kPlain = R"((?:[\x20\x21\x23-\x5b\x5d-\x7f]|)" + kWide + ")";  // in JSON strings
const std::string kString = "\"(?:" + kPlain + R"(|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")";
const std::string kInteger = "(?:0|-?[1-9][0-9]*)";
const std::string kNumber = R"((?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))";

std::string object_of(const std::string& members) { return "\\{" + kSpace + members + kSpace + "\\}"; }
std::string member(const std::string& name, const std::string& value) { return "\"" + name + "\"" + kSpace + ":" + kSpace + value; }
const std::string kComma = kSpace + "," + kSpace;
std::string array_of(const std::string& items) { return "\\[" + kSpace + items + kSpace + "\\]"; }

const std::vector<Form>& forms() {
  constexpr ConstraintKind regex = ConstraintKind::regex, schema = ConstraintKind::json_schema, grammar = ConstraintKind::grammar,
                           choice = ConstraintKind::choice;
  static const std::vector<Form> forms = {
      {regex, "abc", "abc"},
      {regex, "(the|a) (cat|dog)s?", "(the|a) (cat|dog)s?"},
      {regex, "[a-z]+", "[a-z]+"},
      {regex, "[^a-z]{2,5}", "(?:[\\x00-\\x60\\x7b-\\x7f]|" + kWide + "){2,5}"},
      {regex, R"(\d{3}-\d{4})", R"([0-9]{3}-[0-9]{4})"},
      {regex, R"((\d{1,3}\.){3}\d{1,3})", R"(([0-9]{1,3}\.){3}[0-9]{1,3})"},
      {regex, ".{3}", kAny + "{3}"},
      {regex, R"(\w+ \w+)", "[a-zA-Z0-9_]+ [a-zA-Z0-9_]+"},
      {regex, "(ab|a)(bc|c)?", "(ab|a)(bc|c)?"},
      {regex, "a*b*c*", "a*b*c*"},
      {regex, "(yes|no|maybe)(!|\\?)*", "(yes|no|maybe)(!|\\?)*"},
      {regex, R"([A-Z][a-z]{1,10}( [A-Z][a-z]{1,10}){0,2})", R"([A-Z][a-z]{1,10}( [A-Z][a-z]{1,10}){0,2})"},
      {regex, "größe|größer",
       "gr\xc3\xb6\xc3\x9f"
       "e(?:r)?"},
      {regex, "(a{2,3}){2}", "(a{2,3}){2}"},
      {regex, " ?(once|Once) upon a time.*", " ?(once|Once) upon a time" + kAny + "*"},
      {choice, R"(["yes","no"])", "yes|no"},
      {choice, R"(["a","ab","abc","the queen"])", "a|ab|abc|the queen"},
      {choice, R"(["say \"hi\"","new\nline","ü"])", "say \"hi\"|new\nline|\xc3\xbc"},
      {grammar, R"(root ::= "a" | "b" root)", "b*a"},
      {grammar, "root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\"",
       R"((?<e>(?<t>[0-9]+|\((?&e)\))(?:\+(?&t))*))"},
      {grammar, "root ::= \"(\" root \")\" | \"\"", R"((?<r>(?:\((?&r)\))?))"},
      {grammar, "root ::= line{1,3}\nline ::= [a-z ]{1,10} \"\\n\"", "(?:[a-z ]{1,10}\n){1,3}"},
      {grammar, "root ::= [^\\x00-\\x1f]* \"end\"", "(?:[\\x20-\\x7f]|" + kWide + ")*end"},
      {grammar, "root ::= \"x\"? \"y\"+ \"z\"*", "x?y+z*"},
      {schema, R"({"type":"string"})", kString},
      {schema, R"({"type":"integer"})", kInteger},
      {schema, R"({"type":"number"})", kNumber},
      {schema, R"({"type":"boolean"})", "true|false"},
      {schema, R"({"type":"null"})", "null"},
      {schema, R"({"enum":["red","blue",3,null]})", "\"red\"|\"blue\"|3|null"},
      {schema, R"({"const":{"a":[1,2]}})", R"(\{"a":\[1,2\]\})"},
      {schema, R"({"type":"string","maxLength":4})", "\"" + kPlain + "{0,4}\""},
      {schema, R"({"type":"string","pattern":"^18(\\.[0-9]{1,3})?Z$"})", R"("18(\.[0-9]{1,3})?Z")"},
      {schema, R"({"type":"string","pattern":"^(xa+)*(yb?){0,2}$"})", R"("(xa+)*(yb?){0,2}")"},
      {schema, R"({"type":"string","format":"time"})",
       R"re("([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])")re"},
      {schema, R"({"type":"string","pattern":"^[a-z]{2}-.$"})", "\"[a-z]{2}-" + kPlain + "\""},
      {schema, R"({"anyOf":[{"type":"integer"},{"type":"null"}]})", kInteger + "|null"},
      {schema, R"({"type":["boolean","string"]})", "true|false|" + kString},
      {schema, R"({"type":"integer","minimum":3,"maximum":27})", "[3-9]|1[0-9]|2[0-7]"},
      {schema, R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3})",
       array_of("(?:true|false)(?:" + kComma + "(?:true|false)){0,2}")},
      {schema, R"({"type":"array","items":{"type":"integer"}})",
       "\\[" + kSpace + "\\]|" + array_of(kInteger + "(?:" + kComma + kInteger + ")*")},
      {schema, R"({"type":"array","prefixItems":[{"type":"boolean"},{"type":"null"}],"items":false,"minItems":2})",
       array_of("(?:true|false)" + kComma + "null")},
      {schema,
       R"({"type":"object","properties":{"a":{"type":"boolean"},"b":{"type":"null"}},"required":["a","b"],"additionalProperties":false})",
       object_of(member("a", "(?:true|false)") + kComma + member("b", "null"))},
      {schema, R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"required":["b"],"additionalProperties":false})",
       object_of("(?:" + member("a", "null") + kComma + ")?" + member("b", "null"))},
      {schema, R"({"type":"object","properties":{"a":{"type":"null"}},"required":["a"],"additionalProperties":false})", R"(\{"a": null\})",
       false},
  };
  return forms;
}

// Every token of the vocabulary, where the walk stands.
void compare_all(const Form& form, const Oracle& oracle, TokenConstraint& constraint, const std::string& text) {
  std::vector<std::uint32_t> mask = demo_mask();
  const Status filled = constraint.fill(mask);
  ASSERT_TRUE(filled) << filled.error().message;
  const DemoForms& demo = demo_forms();
  for (TokenId token = 0; token < kDemoVocabulary; ++token) {
    const bool is_end = std::ranges::find(demo.ends, token) != demo.ends.end();
    const std::string& added = demo.texts[static_cast<std::size_t>(token)];
    const bool expected = is_end ? oracle.is_whole(text) : !added.empty() && oracle.can_go_on(text + added);
    const bool found = (mask[static_cast<std::size_t>(token) / 32] >> (token % 32) & 1U) != 0;
    ASSERT_EQ(found, expected) << form.text << ": the token " << token << " \"" << added << "\" after \"" << text << "\"";
  }
}

TEST(FormMasks, AllowATokenExactlyIfSomeTextOfTheFormGoesOnWithIt) {
  constexpr int walks = 3, steps_max = 14;
  std::size_t compared = 0;
  ASSERT_GE(forms().size(), 40u);
  for (const Form& form : forms()) {
    const Oracle oracle(form.pattern);
    const auto compiled = demo_forms().compiler.compile({.kind = form.kind, .text = form.text, .any_whitespace = form.any_whitespace},
                                                        demo_forms().ends, kClient);
    ASSERT_TRUE(compiled) << form.text << ": " << compiled.error().message;
    for (int seed = 0; seed < walks; ++seed) {
      std::mt19937 random(static_cast<unsigned>(seed));
      const std::unique_ptr<TokenConstraint> constraint = (*compiled)->start();
      std::string text;
      for (int step = 0; step < steps_max; ++step) {
        compare_all(form, oracle, *constraint, text);
        if (testing::Test::HasFatalFailure()) return;
        ++compared;
        std::vector<std::uint32_t> mask = demo_mask();
        ASSERT_TRUE(constraint->fill(mask));
        std::vector<TokenId> allowed = tokens_in(mask);
        std::erase_if(allowed, [](TokenId token) { return demo_forms().texts[static_cast<std::size_t>(token)].empty(); });
        EXPECT_EQ(constraint->is_complete(), step > 0 && allowed.empty()) << form.text << " after \"" << text << '"';
        if (allowed.empty()) break;
        const TokenId next = allowed[random() % allowed.size()];
        ASSERT_TRUE(constraint->accept(next));
        text += demo_forms().texts[static_cast<std::size_t>(next)];
      }
    }
  }
  EXPECT_GT(compared, 300u);
}

TEST(FormMasks, TokensThatDoNotFitAreRefusedAndChangeNothing) {
  const auto compiled = demo_forms().compiler.compile({.kind = ConstraintKind::regex, .text = "a+"}, demo_forms().ends, kClient);
  ASSERT_TRUE(compiled);
  const std::unique_ptr<TokenConstraint> constraint = (*compiled)->start();
  for (const TokenId wrong : {demo_forms().ends.front(), TokenId{-1}, kDemoVocabulary, TokenId{1 << 30}})
    EXPECT_EQ(constraint->accept(wrong).error().code, "constraint_violated");
  const TokenId a = *demo_forms().tokenizer->token_id("a");
  ASSERT_TRUE(constraint->accept(a));
  EXPECT_FALSE(constraint->is_complete());
  ASSERT_TRUE(constraint->accept(demo_forms().ends.front()));
  EXPECT_TRUE(constraint->is_complete());
  EXPECT_EQ(constraint->accept(a).error().code, "constraint_violated");
}

TEST(FormMasks, WordsAboveTheVocabularyAreCleared) {
  const auto compiled = demo_forms().compiler.compile({.kind = ConstraintKind::regex, .text = ".*"}, demo_forms().ends, kClient);
  ASSERT_TRUE(compiled);
  std::vector<std::uint32_t> mask(demo_mask().size() + 3, ~0U);
  ASSERT_TRUE((*compiled)->start()->fill(mask));
  for (const TokenId token : tokens_in(mask)) EXPECT_LT(token, kDemoVocabulary);
}

TEST(FormMasks, EndTokensAreThoseOfWhoeverAnswers) {
  // One that is a text of the vocabulary, and one that only an adapter has.
  const TokenId a = *demo_forms().tokenizer->token_id("a");
  const auto compiled =
      demo_forms().compiler.compile({.kind = ConstraintKind::regex, .text = "ba?"}, std::vector<TokenId>{a, kDemoVocabulary}, kClient);
  ASSERT_TRUE(compiled);
  const std::unique_ptr<TokenConstraint> constraint = (*compiled)->start();
  ASSERT_TRUE(constraint->accept(*demo_forms().tokenizer->token_id("b")));
  std::vector<std::uint32_t> mask((kDemoVocabulary + 32) / 32);
  ASSERT_TRUE(constraint->fill(mask));
  const std::vector<TokenId> allowed = tokens_in(mask);
  EXPECT_EQ(allowed, (std::vector<TokenId>{a, kDemoVocabulary}));
  ASSERT_TRUE(constraint->accept(kDemoVocabulary));
  EXPECT_TRUE(constraint->is_complete());
}

}  // namespace
}  // namespace slora
