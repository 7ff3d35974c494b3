#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

enum class Needs { nothing, user, admin };

// Who may call what. A new route fails the tests until it stands here.
const std::map<std::string, Needs> kMatrix = {
    {"GET /", Needs::nothing},
    {"GET /health", Needs::nothing},
    {"GET /health_generate", Needs::nothing},
    {"GET /metrics", Needs::nothing},
    {"GET /openapi.json", Needs::nothing},
    {"GET /ping", Needs::nothing},
    {"GET /slora/page/{file}", Needs::nothing},
    {"POST /ping", Needs::nothing},
    {"GET /version", Needs::nothing},
    {"GET /get_model_info", Needs::user},
    {"GET /get_server_info", Needs::user},
    {"GET /load", Needs::user},
    {"GET /model_info", Needs::user},
    {"GET /server_info", Needs::user},
    {"GET /slora/state", Needs::user},
    {"GET /v1/models", Needs::user},
    {"GET /v1/models/{model}", Needs::user},
    {"POST /", Needs::user},
    {"POST /detokenize", Needs::user},
    {"POST /generate", Needs::user},
    {"POST /generate_stream", Needs::user},
    {"POST /rerank", Needs::user},
    {"POST /score", Needs::user},
    {"POST /tokenize", Needs::user},
    {"POST /v1/chat/completions", Needs::user},
    {"POST /v1/completions", Needs::user},
    {"POST /v1/embeddings", Needs::user},
    {"POST /v1/rerank", Needs::user},
    {"POST /v1/responses", Needs::user},
    {"POST /v1/score", Needs::user},
    {"POST /v2/rerank", Needs::user},
    {"POST /flush_cache", Needs::admin},
    {"GET /is_paused", Needs::admin},
    {"POST /load_lora_adapter", Needs::admin},
    {"POST /pause", Needs::admin},
    {"POST /resume", Needs::admin},
    {"POST /slora/adapters/{name}", Needs::admin},
    {"PUT /slora/adapters/{name}", Needs::admin},
    {"POST /unload_lora_adapter", Needs::admin},
    {"POST /v1/load_lora_adapter", Needs::admin},
    {"POST /v1/pin_lora_adapter", Needs::admin},
    {"POST /v1/unload_lora_adapter", Needs::admin},
    {"POST /v1/unpin_lora_adapter", Needs::admin},
};

struct Target {
  std::string method, path;
};

Target target_of(const std::string& route) {
  std::string path = route.substr(route.find(' ') + 1);
  if (const std::size_t part = path.find('{'); part != std::string::npos) path.replace(part, std::string::npos, "demo");
  return {route.substr(0, route.find(' ')), path};
}

int status_of(std::uint16_t port, const Target& target, const std::vector<std::string>& headers) {
  Connection connection(port);
  connection.send_request(target.method, target.path, target.method == "POST" ? "{}" : "", headers);
  return connection.read_reply().status;
}

std::vector<std::string> bearer(const std::string& key) { return {"Authorization: Bearer " + key}; }

// Writings of a path that are not the path. A normaliser or decoder in front of the key check could take one for it.
std::vector<std::string> disguises_of(const std::string& path) {
  std::string upper = path;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  char first[4];
  std::snprintf(first, sizeof first, "%%%02x", static_cast<unsigned>(path[1]));
  return {"/" + path,
          path + "/",
          "/." + path,
          "/x/.." + path,
          "/" + std::string(first) + path.substr(2),
          "/%2e" + path,
          path + "%00",
          path + "%20",
          path + ";x=1",
          "//localhost" + path,
          "/v1/health/.." + path,
          upper};
}

TEST(AccessMatrix, HasEveryRouteOfTheServer) {
  const Json document = get(demo_server().port(), "/openapi.json").json();
  std::vector<std::string> routes, known;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, about] : methods.items()) {
      std::string upper = method;
      std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      routes.push_back(upper + " " + path);
    }
  }
  for (const auto& [route, needs] : kMatrix) known.push_back(route);
  std::ranges::sort(routes);
  std::ranges::sort(known);
  EXPECT_EQ(routes, known);
}

TEST(AccessMatrix, HoldsForEveryRouteAndCaller) {
  const TemporaryFolder folder;
  const std::string file = folder.write(
      "keys.json",
      R"({"keys":[{"tenant":"other","models":["none"],"key_sha256":"d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"}]})");
  const ServerProcess server({"--model", source_path("demo/model"), "--served-model-name", "demo", "--pool-memory", "64MiB", "--api-key",
                              "user", "--admin-api-key", "root", "--api-key-file", file});
  for (const auto& [route, needs] : kMatrix) {
    const Target target = target_of(route);
    const auto status = [&](const std::vector<std::string>& headers) { return status_of(server.port(), target, headers); };
    const auto is_let_in = [](int code) { return code != 401 && code != 403 && code != 0; };
    const bool is_open = needs == Needs::nothing;
    for (const std::vector<std::string>& headers : {std::vector<std::string>{}, bearer("wrong"), {"Authorization: Basic user"}}) {
      EXPECT_EQ(status(headers) == 401, !is_open) << route;
    }
    for (const char* key : {"user", "other"}) {
      EXPECT_EQ(status(bearer(key)) == 403, needs == Needs::admin) << route << " " << key;
      EXPECT_EQ(is_let_in(status(bearer(key))), needs != Needs::admin) << route << " " << key;
    }
    EXPECT_TRUE(is_let_in(status(bearer("root")))) << route;
    EXPECT_TRUE(is_let_in(status({"Authorization: Bearer root", "X-Forwarded-Host: evil.example"}))) << route;
    if (is_open || target.path == "/" || route == "GET /v1/models/{model}") continue;
    for (const std::string& disguise : disguises_of(target.path)) {
      for (const std::vector<std::string>& headers : {std::vector<std::string>{}, bearer("user")}) {
        const int code = status_of(server.port(), {target.method, disguise}, headers);
        EXPECT_TRUE(code >= 400 && code < 500) << target.method << " " << disguise << " " << code;
      }
    }
  }
}

}  // namespace
}  // namespace slora
