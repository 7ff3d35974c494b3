#include "api/constraint_step.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AnyTokens final : public CompiledConstraint {
 public:
  std::unique_ptr<TokenConstraint> start() const override { return nullptr; }
};

// Compiles whatever is not "bad", and remembers what it was asked.
class ScriptedCompiler final : public ConstraintCompiler {
 public:
  Result<std::shared_ptr<const CompiledConstraint>> compile(const ConstraintSpec& spec, std::span<const TokenId> end_tokens,
                                                            ClientId) override {
    compiled.push_back(spec.text);
    ends.assign(end_tokens.begin(), end_tokens.end());
    if (spec.text == "bad") return error("bad_constraint", "no expression");
    return known = std::make_shared<const AnyTokens>();
  }
  std::shared_ptr<const CompiledConstraint> find(const ConstraintSpec&, std::span<const TokenId>) override { return known; }

  std::vector<std::string> compiled;
  std::vector<TokenId> ends;
  std::shared_ptr<const CompiledConstraint> known;
};

class ConstraintStepTest : public GenerationJobFixture {
 protected:
  Result<PreparedRequest> prepared_with(const std::string& fields) {
    return preparer->prepare(Endpoint::completions, R"({"prompt":"Hello","n":2,)" + fields + "}");
  }
};

TEST_F(ConstraintStepTest, EveryChoiceOfARequestHasItsForm) {
  ScriptedCompiler compiler;
  const ConstraintStep step(&compiler, registry);
  Result<PreparedRequest> request = prepared_with(R"("guided_regex":"a+")");
  ASSERT_TRUE(request);
  EXPECT_FALSE(step.is_done(*request));
  ASSERT_TRUE(step.compile(*request, {}));
  EXPECT_TRUE(step.is_done(*request));
  EXPECT_THAT(compiler.compiled, ElementsAre("a+"));
  EXPECT_THAT(compiler.ends, ElementsAre(kEnd));

  make_job()->start(std::move(request));
  ASSERT_EQ(generator.submitted.size(), 2u);
  for (const GenerationRequest& sequence : generator.submitted) EXPECT_EQ(sequence.constraint, compiler.known);
  EXPECT_EQ(registry.counter("slora_constrained_requests_total", "", {{"kind", "regex"}}).value(), 1u);
}

TEST_F(ConstraintStepTest, KnownFormsAreTakenAtOnceAndOthersLeftAlone) {
  ScriptedCompiler compiler;
  compiler.known = std::make_shared<const AnyTokens>();
  const ConstraintStep step(&compiler, registry);
  Result<PreparedRequest> request = prepared_with(R"("guided_regex":"a+")");
  EXPECT_TRUE(step.is_done(*request));
  EXPECT_EQ(request->constraint, compiler.known);
  Result<PreparedRequest> free = prepared_with(R"("temperature":1)");
  EXPECT_TRUE(step.is_done(*free));
  EXPECT_TRUE(step.compile(*free, {}));
  EXPECT_EQ(free->constraint, nullptr);
  EXPECT_TRUE(compiler.compiled.empty());
}

TEST_F(ConstraintStepTest, ErrorsNameTheField) {
  ScriptedCompiler compiler;
  const ConstraintStep step(&compiler, registry);
  Result<PreparedRequest> request = prepared_with(R"("structured_outputs":{"regex":"bad"})");
  const Status refused = step.compile(*request, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "structured_outputs.regex");
  EXPECT_EQ(refused.error().message, "structured_outputs.regex: no expression");
  EXPECT_EQ(kind_of(refused.error().code), ErrorKind::invalid_request);
}

TEST_F(ConstraintStepTest, WithoutALibraryFormsAreRefusedAndSayHowToHaveThem) {
  const ConstraintStep step(nullptr, registry);
  Result<PreparedRequest> request = prepared_with(R"("guided_regex":"a+")");
  const Status refused = step.compile(*request, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "guided_regex");
  EXPECT_EQ(refused.error().code, "invalid_request_error");
  EXPECT_THAT(refused.error().message, HasSubstr("tools/get_xgrammar"));
}

}  // namespace
}  // namespace slora
