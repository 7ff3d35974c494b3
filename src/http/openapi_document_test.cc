#include "http/openapi_document.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace slora {
namespace {

RouteTable table() {
  const auto body = std::make_shared<const Json>(Json{{"type", "object"}});
  return RouteTable(
      {{"GET", "/v1/models/{model}", Role::user, {}, {"One model.", nullptr, {{"application/json", body}}, {404}}},
       {"POST", "/v1/completions", Role::user, {}, {"Texts.", body, {{"application/json", body}, {"text/event-stream", nullptr}}, {}}},
       {"GET", "/ping", Role::health, {}, {"Ping.", nullptr, {{"", nullptr}}, {}}},
       {"POST", "/ping", Role::health, {}, {"Ping.", nullptr, {{"", nullptr}}, {}}},
       {"POST", "/v1/load", Role::admin, {}, {"Load.", body, {{"text/plain", nullptr}}, {}}}});
}

TEST(OpenApiDocument, HasExactlyTheRoutesOfTheTable) {
  const RouteTable routes = table();
  const Json document = openapi_document(routes);
  std::set<std::string> described, known, ids;
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      described.insert(method + path);
      EXPECT_TRUE(ids.insert(operation["operationId"]).second) << operation["operationId"];
      EXPECT_TRUE(operation["responses"].contains("200")) << path;
    }
  }
  for (const Route& route : routes.routes()) known.insert((route.method == "GET" ? "get" : "post") + std::string(route.path));
  EXPECT_EQ(described, known);
}

TEST(OpenApiDocument, TellsWhatEachRouteTakesAndGives) {
  const Json paths = openapi_document(table())["paths"];
  const Json model = paths["/v1/models/{model}"]["get"], completions = paths["/v1/completions"]["post"], ping = paths["/ping"]["get"];
  EXPECT_EQ(model["parameters"][0]["name"], "model");
  EXPECT_FALSE(model.contains("requestBody"));
  EXPECT_EQ(completions["requestBody"]["required"], true);
  EXPECT_EQ(completions["responses"]["200"]["content"].size(), 2u);
  EXPECT_FALSE(completions["responses"]["200"]["content"]["text/event-stream"].contains("schema"));
  EXPECT_FALSE(ping["responses"]["200"].contains("content"));
}

TEST(OpenApiDocument, TellsTheRefusalsOfRoleAndBody) {
  const Json paths = openapi_document(table())["paths"];
  const auto refusals = [&](const char* path, const char* method) {
    std::string statuses;
    for (const auto& [status, response] : paths[path][method]["responses"].items()) {
      if (status != "200") statuses += status + " ";
    }
    return statuses;
  };
  EXPECT_EQ(refusals("/ping", "get"), "400 408 413 414 429 431 ");
  EXPECT_EQ(refusals("/v1/models/{model}", "get"), "400 401 403 404 408 413 414 429 431 ");
  EXPECT_EQ(refusals("/v1/completions", "post"), "400 401 403 408 413 414 415 429 431 ");
  EXPECT_EQ(refusals("/v1/load", "post"), "400 401 403 408 413 414 415 429 431 ");
  EXPECT_TRUE(paths["/v1/load"]["post"].contains("security"));
  EXPECT_FALSE(paths["/ping"]["get"].contains("security"));
}

}  // namespace
}  // namespace slora
