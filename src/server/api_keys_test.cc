#include "server/api_keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

TEST(ApiKeys, AllowEverythingWhenThereAreNone) {
  const ApiKeys keys({});
  EXPECT_TRUE(keys.allow(Role::user, ""));
  EXPECT_TRUE(keys.allow(Role::admin, "Bearer whatever"));
}

TEST(ApiKeys, AskForOneOfTheKeysOnRoutesThatAreNotOpen) {
  const std::vector<std::string> given = {"first", "second"};
  const ApiKeys keys(given);
  EXPECT_TRUE(keys.allow(Role::open, ""));
  EXPECT_TRUE(keys.allow(Role::user, "Bearer first"));
  EXPECT_TRUE(keys.allow(Role::user, "Bearer second"));
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer firs", "Bearer first ", "bearer first", "Basic first", "first", "Bearer third"}) {
    EXPECT_FALSE(keys.allow(Role::user, wrong)) << wrong;
  }
  EXPECT_FALSE(keys.allow(Role::admin, "Bearer first"));
}

TEST(LoopbackHost, IsOnlyWhatOtherMachinesCannotReach) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"}) EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "example.org", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace slora
