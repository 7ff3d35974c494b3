#include "http/api_keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

const std::vector<std::string> kNone;

ApiKeys keys_of(const std::vector<std::string>& users, const std::vector<std::string>& admins) {
  return {users.empty() && admins.empty() ? KeyNeed::none : KeyNeed::needed, keys_of_options(users, admins)};
}

TenantId tenant_of(const Result<Caller>& caller) { return caller ? caller->tenant : TenantId{1'000'000}; }

TEST(ApiKeys, AllowEverythingWhenThereAreNone) {
  const ApiKeys keys = keys_of(kNone, kNone);
  EXPECT_TRUE(keys.admit(Role::user, ""));
  EXPECT_TRUE(keys.admit(Role::admin, "Bearer whatever"));
}

TEST(ApiKeys, AskForOneOfTheKeysOnRoutesThatAreNotOpen) {
  const std::vector<std::string> given = {"first", "second"};
  const ApiKeys keys = keys_of(given, kNone);
  EXPECT_TRUE(keys.admit(Role::open, ""));
  EXPECT_EQ(tenant_of(keys.admit(Role::user, "Bearer first")), TenantId{1});
  EXPECT_EQ(tenant_of(keys.admit(Role::user, "bearer second")), TenantId{2});
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "Bearer  first", "Bearerfirst", "Basic first", "first", "Bearer third"}) {
    for (const Role role : {Role::user, Role::admin}) {
      const Result<Caller> refused = keys.admit(role, wrong);
      ASSERT_FALSE(refused) << wrong;
      EXPECT_EQ(refused.error().code, "invalid_api_key") << wrong;
    }
  }
}

TEST(ApiKeys, LetOnlyTheOperatorsKeysOnTheOperatorsRoutes) {
  const std::vector<std::string> users = {"first"}, admins = {"root"};
  const ApiKeys keys = keys_of(users, admins);
  EXPECT_EQ(tenant_of(keys.admit(Role::admin, "Bearer root")), TenantId{0});
  EXPECT_EQ(tenant_of(keys.admit(Role::user, "Bearer root")), TenantId{0});
  EXPECT_EQ(keys.admit(Role::admin, "Bearer first").error().code, "not_permitted");
  EXPECT_EQ(keys_of(users, kNone).admit(Role::admin, "Bearer first").error().code, "not_permitted");
}

TEST(ApiKeys, OfTheOperatorAloneGuardTheOtherRoutesToo) {
  const std::vector<std::string> admins = {"root"};
  const ApiKeys keys = keys_of(kNone, admins);
  EXPECT_FALSE(keys.admit(Role::user, ""));
  EXPECT_TRUE(keys.admit(Role::user, "Bearer root"));
}

TEST(LoopbackHost, IsOnlyWhatOtherMachinesCannotReach) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "LocalHost", "::1"}) EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "example.org", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace slora
