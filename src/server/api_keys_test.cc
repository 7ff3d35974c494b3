#include "server/api_keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

const std::vector<std::string> kNone;

TEST(ApiKeys, AllowEverythingWhenThereAreNone) {
  const ApiKeys keys(kNone, kNone);
  EXPECT_TRUE(keys.admit(Role::user, ""));
  EXPECT_TRUE(keys.admit(Role::admin, "Bearer whatever"));
}

TEST(ApiKeys, AskForOneOfTheKeysOnRoutesThatAreNotOpen) {
  const std::vector<std::string> given = {"first", "second"};
  const ApiKeys keys(given, kNone);
  EXPECT_TRUE(keys.admit(Role::open, ""));
  EXPECT_EQ(keys.admit(Role::user, "Bearer first"), TenantId{1});
  EXPECT_EQ(keys.admit(Role::user, "bearer second"), TenantId{2});
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "Bearer  first", "Bearerfirst", "Basic first", "first", "Bearer third"}) {
    for (const Role role : {Role::user, Role::admin}) {
      const Result<TenantId> refused = keys.admit(role, wrong);
      ASSERT_FALSE(refused) << wrong;
      EXPECT_EQ(refused.error().code, "invalid_api_key") << wrong;
    }
  }
}

TEST(ApiKeys, LetOnlyTheOperatorsKeysOnTheOperatorsRoutes) {
  const std::vector<std::string> users = {"first"}, admins = {"root"};
  const ApiKeys keys(users, admins);
  EXPECT_EQ(keys.admit(Role::admin, "Bearer root"), TenantId{0});
  EXPECT_EQ(keys.admit(Role::user, "Bearer root"), TenantId{0});
  EXPECT_EQ(keys.admit(Role::admin, "Bearer first").error().code, "not_permitted");
  EXPECT_EQ(ApiKeys(users, kNone).admit(Role::admin, "Bearer first").error().code, "not_permitted");
}

TEST(ApiKeys, OfTheOperatorAloneGuardTheOtherRoutesToo) {
  const std::vector<std::string> admins = {"root"};
  const ApiKeys keys(kNone, admins);
  EXPECT_FALSE(keys.admit(Role::user, ""));
  EXPECT_TRUE(keys.admit(Role::user, "Bearer root"));
}

TEST(LoopbackHost, IsOnlyWhatOtherMachinesCannotReach) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"}) EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "example.org", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace slora
