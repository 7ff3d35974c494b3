#include "formats/module_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::HasSubstr;

NameMatch match(ModuleNaming naming, const std::vector<std::string>& names, std::string_view module) {
  return ModuleNames::create(names, naming).value().match(module).value();
}

TEST(ModuleNames, OfTargetsArePathsExpressionsOrEveryLinearModule) {
  const auto found = [](const char* name) { return match(ModuleNaming::targets, {name}, "model.layers.3.mlp.down_proj"); };
  EXPECT_EQ(found("model.layers.3.mlp.down_proj"), NameMatch::by_path);
  EXPECT_EQ(found("mlp.down_proj"), NameMatch::none) << "no path";
  EXPECT_EQ(found("re:.*down_proj"), NameMatch::by_expression);
  EXPECT_EQ(found("re:.*down_proj$"), NameMatch::by_expression);
  EXPECT_EQ(found("re:model.*mlp"), NameMatch::by_expression) << "it matches the beginning";
  EXPECT_EQ(found("re:mlp.*"), NameMatch::none) << "from the first character on";
  EXPECT_EQ(found("re:.*(q|v)_proj"), NameMatch::none);
  EXPECT_EQ(found("Linear"), NameMatch::as_linear);
  EXPECT_EQ(match(ModuleNaming::targets, {"Linear", "re:.*head"}, "lm_head"), NameMatch::by_expression) << "the closest counts";
}

TEST(ModuleNames, OfSkippedModulesArePathsUpToADotOrTheirEnds) {
  const auto is_skipped = [](const char* name, std::string_view module) {
    return match(ModuleNaming::skipped, {name}, module) != NameMatch::none;
  };
  EXPECT_TRUE(is_skipped("model.layers.1", "model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(is_skipped("model.layers.1", "model.layers.11.mlp.up_proj"));
  EXPECT_TRUE(is_skipped("lm_head", "lm_head"));
  EXPECT_TRUE(is_skipped("up_proj", "model.layers.11.mlp.up_proj"));
  EXPECT_FALSE(is_skipped("mlp", "model.layers.11.mlp.up_proj"));
  EXPECT_TRUE(is_skipped("model.layers.*.mlp", "model.layers.11.mlp.up_proj"));
  EXPECT_FALSE(is_skipped("model.layers.*.mlp.up", "model.layers.11.mlp.up_proj")) << "up to a dot";
}

TEST(ModuleNames, RefuseExpressionsThatAreNone) {
  for (const char* name : {"re:(", "re:*", "re:(?R)", ""}) {
    const Result<ModuleNames> names = ModuleNames::create({name}, ModuleNaming::targets);
    ASSERT_FALSE(names) << name;
    EXPECT_EQ(names.error().code, "E_PATTERN");
  }
  EXPECT_THAT(ModuleNames::create({""}, ModuleNaming::skipped).error().message, HasSubstr("expected the name of a module"));
}

TEST(ModuleNames, RefuseModulesThatTakeTooLong) {
  const ModuleNames names = ModuleNames::create({"re:(a+)+b"}, ModuleNaming::targets).value();
  EXPECT_EQ(names.match(std::string(60, 'a') += "c.b").error().code, "E_PATTERN");
}

}  // namespace
}  // namespace slora
