#include "api/model_access.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ModelAccess, IsToEveryModelByDefault) {
  EXPECT_TRUE(ModelAccess().allows("anything"));
  EXPECT_TRUE(ModelAccess().allows_all());
}

TEST(ModelAccess, IsToTheNamesAndPrefixesThatWereGiven) {
  const ModelAccess access({"sql", "acme/*", "base"});
  for (const char* model : {"sql", "base", "acme/one", "acme/"}) EXPECT_TRUE(access.allows(model)) << model;
  for (const char* model : {"", "sq", "sqlite", "acme", "ACME/one", "other"}) EXPECT_FALSE(access.allows(model)) << model;
  EXPECT_FALSE(access.allows_all());
}

TEST(ModelAccess, WithoutAnyPatternIsToNothing) {
  const ModelAccess access((std::vector<std::string>()));
  EXPECT_FALSE(access.allows("base"));
  EXPECT_FALSE(access.allows(""));
}

TEST(ModelAccess, TakesAStarOnlyAtTheEndOfAPattern) {
  for (const char* pattern : {"a", "a*", "*", "a/b*"}) EXPECT_TRUE(ModelAccess::is_pattern(pattern)) << pattern;
  for (const char* pattern : {"", "*a", "a*b", "a**"}) EXPECT_FALSE(ModelAccess::is_pattern(pattern)) << pattern;
}

}  // namespace
}  // namespace slora
