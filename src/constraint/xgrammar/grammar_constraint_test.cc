#include "constraint/xgrammar/grammar_constraint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "constraint/xgrammar/form_library.h"

namespace slora {
namespace {

// A form that was not tried, as those are that take long only in answers that nobody tried.
CompiledGrammarConstraint untried_form(const ConstraintSpec& spec, MatchLimits limits) {
  const ConstraintVocabulary vocabulary{.texts = {"a", "b", std::string(64, 'a')}, .marks = {}};
  const xgrammar::CompiledGrammar grammar = compile_form(spec, tokenizer_info_of(vocabulary, KnownTexts::all)).value();
  return {std::make_shared<const CompiledForm>(CompiledForm{{}, grammar}), {}, limits};
}

// The first error of an answer of the longest token, or none after more tokens than are expected to follow.
Status write_until_error(const CompiledGrammarConstraint& form) {
  const std::unique_ptr<TokenConstraint> constraint = form.start();
  std::vector<std::uint32_t> mask(1);
  Status going = {};
  for (int i = 0; going && i < 1000; ++i) {
    going = constraint->fill(mask);
    if (going) going = constraint->accept(2);
  }
  return going;
}

TEST(GrammarConstraint, EndsWhenOneTokenTakesTooLong) {
  const Status ended = write_until_error(untried_form({.kind = ConstraintKind::grammar, .text = "root ::= root root | \"a\" | \"b\""},
                                                      {.token_time_max = std::chrono::milliseconds(2)}));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, "constraint_too_costly");
  EXPECT_NE(ended.error().message.find("more than 2 ms for one token"), std::string::npos) << ended.error().message;
}

}  // namespace
}  // namespace slora
