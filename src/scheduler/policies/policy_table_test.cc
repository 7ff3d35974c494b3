#include "scheduler/policies/policy_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(PolicyTable, MakesEveryPolicyThatItNames) {
  EXPECT_EQ(policy_table().front().name, PolicyOptions{}.name);
  for (const PolicyEntry& entry : policy_table()) {
    const auto policy = make_policy({.name = std::string(entry.name), .client_weights = {}, .adapter_group = {}, .deadlines = {}});
    ASSERT_TRUE(policy) << entry.name;
    EXPECT_NE(*policy, nullptr) << entry.name;
  }
  EXPECT_THAT(policy_summaries(), testing::StartsWith("fair-share: "));
}

TEST(PolicyTable, RefusesAnUnknownNameWithThoseItKnows) {
  const auto policy = make_policy({.name = "lifo", .client_weights = {}, .adapter_group = {}, .deadlines = {}});
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().code, "bad_policy");
  EXPECT_THAT(policy.error().message, testing::AllOf(testing::HasSubstr("fcfs"), testing::HasSubstr("\"lifo\"")));
}

}  // namespace
}  // namespace slora
