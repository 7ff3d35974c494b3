#include "server/api_keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

TEST(ApiKeys, AllowEverythingWhenThereAreNone) {
  const ApiKeys keys({});
  EXPECT_TRUE(keys.admit(Role::user, ""));
  EXPECT_TRUE(keys.admit(Role::admin, "Bearer whatever"));
}

TEST(ApiKeys, AskForOneOfTheKeysOnRoutesThatAreNotOpen) {
  const std::vector<std::string> given = {"first", "second"};
  const ApiKeys keys(given);
  EXPECT_TRUE(keys.admit(Role::open, ""));
  EXPECT_EQ(keys.admit(Role::user, "Bearer first"), TenantId{1});
  EXPECT_EQ(keys.admit(Role::user, "bearer second"), TenantId{2});
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "Bearer  first", "Bearerfirst", "Basic first", "first", "Bearer third"}) {
    EXPECT_FALSE(keys.admit(Role::user, wrong)) << wrong;
  }
  EXPECT_FALSE(keys.admit(Role::admin, "Bearer first"));
}

TEST(LoopbackHost, IsOnlyWhatOtherMachinesCannotReach) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"}) EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "example.org", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace slora
