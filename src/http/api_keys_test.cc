#include "http/api_keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

const std::vector<std::string> kNone;

TEST(ApiKeys, AllowEverythingWhenThereAreNone) {
  const ApiKeys keys(kNone, kNone);
  EXPECT_TRUE(keys.admit(Role::user, "", "localhost"));
  EXPECT_TRUE(keys.admit(Role::admin, "Bearer whatever", "localhost"));
}

TEST(ApiKeys, AskForOneOfTheKeysOnRoutesThatAreNotOpen) {
  const std::vector<std::string> given = {"first", "second"};
  const ApiKeys keys(given, kNone);
  EXPECT_TRUE(keys.admit(Role::open, "", "localhost"));
  EXPECT_EQ(keys.admit(Role::user, "Bearer first", "localhost"), TenantId{1});
  EXPECT_EQ(keys.admit(Role::user, "bearer second", "localhost"), TenantId{2});
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "Bearer  first", "Bearerfirst", "Basic first", "first", "Bearer third"}) {
    for (const Role role : {Role::user, Role::admin}) {
      const Result<TenantId> refused = keys.admit(role, wrong, "localhost");
      ASSERT_FALSE(refused) << wrong;
      EXPECT_EQ(refused.error().code, "invalid_api_key") << wrong;
    }
  }
}

TEST(ApiKeys, LetOnlyTheOperatorsKeysOnTheOperatorsRoutes) {
  const std::vector<std::string> users = {"first"}, admins = {"root"};
  const ApiKeys keys(users, admins);
  EXPECT_EQ(keys.admit(Role::admin, "Bearer root", "localhost"), TenantId{0});
  EXPECT_EQ(keys.admit(Role::user, "Bearer root", "localhost"), TenantId{0});
  EXPECT_EQ(keys.admit(Role::admin, "Bearer first", "localhost").error().code, "not_permitted");
  EXPECT_EQ(ApiKeys(users, kNone).admit(Role::admin, "Bearer first", "localhost").error().code, "not_permitted");
}

TEST(ApiKeys, OfTheOperatorAloneGuardTheOtherRoutesToo) {
  const std::vector<std::string> admins = {"root"};
  const ApiKeys keys(kNone, admins);
  EXPECT_FALSE(keys.admit(Role::user, "", "localhost"));
  EXPECT_TRUE(keys.admit(Role::user, "Bearer root", "localhost"));
}

TEST(ApiKeys, WithoutAnyGuardTheOperatorsRoutesFromOtherNamesOfThisMachine) {
  const ApiKeys keys({}, {});
  for (const char* host : {"", "localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"})
    EXPECT_TRUE(keys.admit(Role::admin, "", host)) << host;
  for (const char* host : {"evil.com", "evil.com:8000", "localhost.evil.com", "[2001:db8::1]:80", "["}) {
    const Result<TenantId> refused = keys.admit(Role::admin, "", host);
    ASSERT_FALSE(refused) << host;
    EXPECT_EQ(refused.error().code, "not_permitted");
    EXPECT_TRUE(keys.admit(Role::user, "", host)) << host;
  }
}

TEST(LoopbackHost, IsOnlyWhatOtherMachinesCannotReach) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"}) EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "example.org", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace slora
