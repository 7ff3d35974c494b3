// Forms that would cost others something: each is refused, or ends within bounds.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "forms/demo_forms.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

Result<std::shared_ptr<const CompiledConstraint>> compile(XgrammarCompiler& compiler, ConstraintKind kind, const std::string& text) {
  return compiler.compile({.kind = kind, .text = text}, demo_forms().ends, kClient);
}

TEST(HostileForms, AreRefusedBeforeTheyAreCompiled) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.program = "/nonexistent"});
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += R"({"items":)";
  for (const auto& [kind, text] :
       {std::pair(ConstraintKind::regex, std::string("((a{0,100}){0,100}){0,100}")), std::pair(ConstraintKind::json_schema, deep),
        std::pair(ConstraintKind::grammar, std::string("root ::= ((\"a\"{0,100}){0,100}){0,100}"))}) {
    const auto refused = compile(compiler, kind, text);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().code, "constraint_unavailable") << "it would have been compiled";
  }
}

TEST(HostileForms, WarningsOfTheLibraryAreRefusals) {
  const auto refused = compile(demo_forms().compiler, ConstraintKind::json_schema,
                               R"({"oneOf":[{"type":"string","pattern":"a+"},{"type":"string","pattern":"[ab]+"}]})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "unsupported_constraint");
  EXPECT_THAT(refused.error().message, HasSubstr("oneOf"));
  const auto number = compile(demo_forms().compiler, ConstraintKind::json_schema, R"({"type":"integer","minimum":1,"multipleOf":3})");
  ASSERT_FALSE(number);
  EXPECT_THAT(number.error().message, HasSubstr("multipleOf"));
}

TEST(HostileForms, WhatTheLibraryCannotReadIsABadForm) {
  const auto refused = compile(demo_forms().compiler, ConstraintKind::grammar, "root ::= other");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "bad_constraint");
}

TEST(HostileForms, LargeOnesThatPeopleHaveAreServed) {
  std::string large = R"({"enum":["v0")";
  for (int i = 1; i < 5000; ++i) large += ",\"v" + std::to_string(i) + "\"";
  EXPECT_TRUE(compile(demo_forms().compiler, ConstraintKind::json_schema, large + "]}"));
  EXPECT_TRUE(compile(demo_forms().compiler, ConstraintKind::regex, "[a-z]{1,2000}"));
}

TEST(HostileForms, AmbiguousGrammarsAreRefusedBeforeAnAnswerBegins) {
  for (const char* last : {R"("a" | "")", "[a-z]"}) {
    std::string grammar = "root ::= r0\n";
    for (int i = 0; i < 60; ++i) grammar += fmt::format("r{0} ::= r{1} | r{1} r{1} | \"\"\n", i, i + 1);
    const auto refused = compile(demo_forms().compiler, ConstraintKind::grammar, fmt::format("{}r60 ::= {}\n", grammar, last));
    ASSERT_FALSE(refused) << last;
    EXPECT_EQ(refused.error().code, "constraint_too_costly");
    EXPECT_THAT(refused.error().message, HasSubstr("ambiguous"));
  }
}

TEST(HostileForms, NoTimeAtAllIsTooCostly) {
  XgrammarCompiler compiler(demo_forms().vocabulary,
                            {.patience = std::chrono::minutes(5), .match = {.token_time_max = std::chrono::nanoseconds(0)}});
  const auto compiled = compile(compiler, ConstraintKind::json_schema, "{}");
  ASSERT_TRUE(compiled);
  std::vector<std::uint32_t> mask = demo_mask();
  const Status filled = (*compiled)->start()->fill(mask);
  ASSERT_FALSE(filled);
  EXPECT_EQ(filled.error().code, "constraint_too_costly");
}

TEST(FormProcesses, AreStartedAgainAfterOneWasKilled) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.workers_max = 1, .patience = std::chrono::minutes(5)});
  ASSERT_TRUE(compile(compiler, ConstraintKind::regex, "a"));
  ASSERT_EQ(compiler.idle_workers().size(), 1u);
  const pid_t first = compiler.idle_workers().front();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  const Result<std::shared_ptr<const CompiledConstraint>> next = compile(compiler, ConstraintKind::regex, "b");
  ASSERT_TRUE(next) << next.error().message;
  ASSERT_EQ(compiler.idle_workers().size(), 1u);
  EXPECT_NE(compiler.idle_workers().front(), first);
}

TEST(FormProcesses, AreReplacedWhenOneWasStopped) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.workers_max = 1, .patience = std::chrono::minutes(5)});
  ASSERT_TRUE(compile(compiler, ConstraintKind::regex, "a"));
  ASSERT_EQ(compiler.idle_workers().size(), 1u);
  const pid_t first = compiler.idle_workers().front();
  ASSERT_EQ(kill(first, SIGSTOP), 0);
  siginfo_t stopped{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(first), &stopped, WSTOPPED | WNOWAIT), 0);
  ASSERT_TRUE(compile(compiler, ConstraintKind::regex, "b"));
  EXPECT_NE(compiler.idle_workers().front(), first);
}

TEST(FormProcesses, OnesThatEndAtOnceAreNotTheFormsFault) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.program = "/bin/true", .patience = std::chrono::minutes(5)});
  const auto refused = compile(compiler, ConstraintKind::regex, "a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "constraint_unavailable");
}

TEST(FormProcesses, OnesThatDoNotAnswerAreGivenUp) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.program = "/bin/cat", .patience = std::chrono::milliseconds(100)});
  const auto refused = compile(compiler, ConstraintKind::regex, "a");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().code, ::testing::AnyOf("constraint_queue_full", "constraint_unavailable")) << "whether it ended or not";
  EXPECT_TRUE(compiler.idle_workers().empty());
}

TEST(FormProcesses, MissingProgramsAreNamed) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.program = "/nonexistent/slora-forms"});
  const auto refused = compile(compiler, ConstraintKind::regex, "a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "constraint_unavailable");
  EXPECT_THAT(refused.error().message, HasSubstr("slora-forms"));
}

TEST(FormProcesses, OneFormOfManyThreadsIsCompiledOnce) {
  XgrammarCompiler compiler(demo_forms().vocabulary, {.patience = std::chrono::minutes(5)});
  const ConstraintSpec spec{.kind = ConstraintKind::regex, .text = "[a-f]+"};
  EXPECT_EQ(compiler.find(spec, demo_forms().ends), nullptr);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_TRUE(compiler.compile(spec, demo_forms().ends, kClient)); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(compiler.idle_workers().size(), 1u);
  EXPECT_NE(compiler.find(spec, demo_forms().ends), nullptr);
}

TEST(StructuralTags, MayNameSpecialTokensAndOtherFormsMayNot) {
  const TokenId mark = *demo_forms().tokenizer->token_id("<|user|>");
  std::vector<std::uint32_t> mask = demo_mask();
  const auto allows_mark = [&](ConstraintKind kind, const std::string& text) {
    const auto compiled = compile(demo_forms().compiler, kind, text);
    EXPECT_TRUE(compiled) << (compiled ? "" : compiled.error().message);
    EXPECT_TRUE((*compiled)->start()->fill(mask));
    return (mask[0] >> mark & 1U) != 0;
  };
  EXPECT_TRUE(allows_mark(
      ConstraintKind::structural_tag,
      R"({"type":"structural_tag","format":{"type":"tag","begin":"<|user|>","content":{"type":"json_schema","json_schema":{}},"end":""}})"));
  EXPECT_FALSE(allows_mark(ConstraintKind::regex, "<\\|user\\|>"));
}

TEST(StructuralTags, OlderOnesAreServed) {
  const auto compiled =
      compile(demo_forms().compiler, ConstraintKind::structural_tag,
              R"({"type":"structural_tag","structures":[{"begin":"<f>","schema":{"type":"null"},"end":"</f>"}],"triggers":["<f"]})");
  ASSERT_TRUE(compiled) << compiled.error().message;
  const std::unique_ptr<TokenConstraint> constraint = (*compiled)->start();
  const auto write = [&](std::string_view text) {
    const std::vector<TokenId> tokens = demo_forms().tokenizer->encode(text, SpecialTokens::omit).value();
    for (const TokenId token : tokens) {
      if (!constraint->accept(token)) return false;
    }
    return true;
  };
  EXPECT_TRUE(write("so <f>null</f> and <f>n"));
  EXPECT_FALSE(write("o"));
}

TEST(StructuralTags, RefusalsOfTheLibrarySayWhatIsWrong) {
  const auto refused =
      compile(demo_forms().compiler, ConstraintKind::structural_tag, R"({"type":"structural_tag","format":{"type":"const_string"}})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "bad_constraint");
  EXPECT_THAT(refused.error().message, ::testing::EndsWith("must have a value field with a string"));
  EXPECT_THAT(refused.error().message, ::testing::Not(HasSubstr("Check failed")));
}

}  // namespace
}  // namespace slora
