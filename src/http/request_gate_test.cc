#include "http/request_gate.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace slora {
namespace {

struct RequestGate : ::testing::Test {
  // The code of the refusal; "" without one.
  static std::string refusal(const HttpConnections& shared, const GateHead& head) {
    const Result<Admitted> admitted = admit_request(shared, head);
    return admitted ? "" : admitted.error().code;
  }
  std::unique_ptr<HttpConnections> door(Door which, std::vector<std::string> origins = {}) const {
    auto shared = std::make_unique<HttpConnections>(which, HttpLimits{}, Cors({.origins = std::move(origins)}));
    shared->routes = &routes;
    shared->keys = no_keys.get();
    return shared;
  }

  const RouteTable routes{{{"GET", "/health", Role::health, {}, {}, Doors::every},
                           {"GET", "/metrics", Role::open, {}, {}, Doors::every},
                           {"GET", "/load", Role::user, {}, {}, Doors::every},
                           {"GET", "/models", Role::user, {}},
                           {"POST", "/generate", Role::user, {}},
                           {"POST", "/flush", Role::admin, {}}}};
  const std::unique_ptr<KeyRing> no_keys = KeyRing::create({}).value();
  const std::unique_ptr<KeyRing> keys = KeyRing::create({.user_keys = {"one"}, .admin_keys = {"root"}, .file = {}}).value();
};

TEST_F(RequestGate, WithoutKeysServesNoNameThatPointsHereButIsAnotherMachines) {
  const std::unique_ptr<HttpConnections> shared_owner = door(Door::main);
  const HttpConnections& shared = *shared_owner;
  for (const char* target : {"/models", "/metrics"}) {
    EXPECT_EQ(refusal(shared, {.method = "GET", .target = target, .host = "localhost:8000"}), "");
    EXPECT_EQ(refusal(shared, {.method = "GET", .target = target, .host = "evil.example:8000"}), "not_permitted");
  }
  EXPECT_EQ(refusal(shared, {.method = "POST", .target = "/generate", .host = "evil.example"}), "not_permitted");
  EXPECT_EQ(refusal(shared, {.method = "GET", .target = "/health", .host = "evil.example"}), "") << "a probe may name it as it likes";
}

TEST_F(RequestGate, WithoutKeysTakesNoOrderFromAnotherPage) {
  const std::unique_ptr<HttpConnections> shared_owner = door(Door::main);
  const HttpConnections& shared = *shared_owner;
  for (const char* target : {"/generate", "/flush"}) {
    EXPECT_EQ(refusal(shared, {.method = "POST", .target = target, .host = "localhost:8000"}), "") << "no browser";
    EXPECT_EQ(refusal(shared, {.method = "POST", .target = target, .host = "localhost:8000", .origin = "http://localhost:8000"}), "");
    for (const char* origin : {"http://evil.example", "http://localhost:3000", "null"}) {
      EXPECT_EQ(refusal(shared, {.method = "POST", .target = target, .host = "localhost:8000", .origin = origin}), "not_permitted")
          << origin;
    }
  }
  EXPECT_EQ(refusal(shared, {.method = "GET", .target = "/models", .host = "localhost:8000", .origin = "http://evil.example"}), "")
      << "its page can't read the answer";
}

TEST_F(RequestGate, WithoutKeysTheOperatorsRoutesNeedAnOriginThatIsNamed) {
  const GateHead generate{.method = "POST", .target = "/generate", .host = "localhost", .origin = "http://localhost:3000"};
  const GateHead flush{.method = "POST", .target = "/flush", .host = "localhost", .origin = "http://localhost:3000"};
  const std::unique_ptr<HttpConnections> any_owner = door(Door::main, {"*"});
  const std::unique_ptr<HttpConnections> named_owner = door(Door::main, {"http://localhost:3000"});
  const HttpConnections &any = *any_owner, &named = *named_owner;
  EXPECT_EQ(refusal(any, generate), "");
  EXPECT_EQ(refusal(any, flush), "not_permitted");
  EXPECT_EQ(refusal(named, generate), "");
  EXPECT_EQ(refusal(named, flush), "");
}

TEST_F(RequestGate, WithKeysAsksForThemOnly) {
  const std::unique_ptr<HttpConnections> shared_owner = door(Door::main);
  HttpConnections& shared = *shared_owner;
  shared.keys = keys.get();
  const GateHead from_afar{
      .method = "POST", .target = "/generate", .authorization = "Bearer one", .host = "api.example", .origin = "https://app.example"};
  EXPECT_EQ(refusal(shared, from_afar), "");
  EXPECT_EQ(admit_request(shared, from_afar)->caller.tenant, TenantId{1});
  EXPECT_EQ(refusal(shared, {.method = "POST", .target = "/generate", .host = "api.example"}), "invalid_api_key");
  EXPECT_EQ(refusal(shared, {.method = "POST", .target = "/nothing", .host = "api.example"}), "not_found");
}

TEST_F(RequestGate, ShowsNamesOfAdaptersToWhoBringsAKey) {
  const std::unique_ptr<HttpConnections> shared_owner = door(Door::main);
  HttpConnections& shared = *shared_owner;
  EXPECT_TRUE(admit_request(shared, {.method = "GET", .target = "/metrics"})->is_trusted) << "there are no keys";
  shared.keys = keys.get();
  EXPECT_FALSE(admit_request(shared, {.method = "GET", .target = "/metrics"})->is_trusted);
  EXPECT_FALSE(admit_request(shared, {.method = "GET", .target = "/metrics", .authorization = "Bearer two"})->is_trusted);
  EXPECT_TRUE(admit_request(shared, {.method = "GET", .target = "/metrics", .authorization = "Bearer one"})->is_trusted);
  EXPECT_TRUE(admit_request(shared, {.method = "GET", .target = "/metrics", .authorization = "Bearer root"})->is_trusted);
}

TEST_F(RequestGate, TheHealthPortHasItsRoutesWithoutAKeyAndNoOthers) {
  const std::unique_ptr<HttpConnections> shared_owner = door(Door::health);
  HttpConnections& shared = *shared_owner;
  shared.keys = keys.get();
  for (const char* target : {"/health", "/metrics", "/load"}) {
    EXPECT_EQ(refusal(shared, {.method = "GET", .target = target, .host = "10.0.0.7:9000"}), "") << target;
    EXPECT_TRUE(admit_request(shared, {.method = "GET", .target = target})->is_trusted) << target;
  }
  EXPECT_EQ(refusal(shared, {.method = "GET", .target = "/models", .authorization = "Bearer root"}), "not_found");
  EXPECT_EQ(refusal(shared, {.method = "POST", .target = "/flush", .authorization = "Bearer root"}), "not_found");
}

}  // namespace
}  // namespace slora
