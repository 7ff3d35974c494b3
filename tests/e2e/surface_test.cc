#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <set>
#include <sstream>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

std::uint16_t port() { return demo_server().port(); }

TEST(Models, AreToldOneByOne) {
  const Json base = get(port(), "/v1/models/demo").json();
  EXPECT_EQ(base["id"], "demo");
  EXPECT_EQ(base["parent"], nullptr);
  const Json adapter = get(port(), "/v1/models/shout").json();
  EXPECT_EQ(adapter["parent"], "demo");
  const Json models = get(port(), "/v1/models").json();
  ASSERT_FALSE(models["data"].empty());
  for (const Json& listed : models["data"]) {
    EXPECT_EQ(get(port(), "/v1/models/" + listed["id"].get<std::string>()).json(), listed);
  }
  const Reply unknown = get(port(), "/v1/models/nobody%20here");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["code"], "model_not_found");
  EXPECT_THAT(unknown.json()["error"]["message"].get<std::string>(), HasSubstr("nobody here"));
  EXPECT_EQ(get(port(), "/v1/models/%2").status, 404);
  const Reply refused = get(port(), "/v1/models/broken");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["code"], "E_UNSUPPORTED_OPTION");
}

TEST(Models, AreToldByAllNamesAndWithSlashes) {
  const ServerProcess server({"--model", source_path("demo/model"), "--served-model-name", "demo", "--served-model-name", "alias/of",
                              "--lora-modules", "org/shout=" + source_path("demo/adapters/shout"), "--pool-memory", "64MiB"});
  const Json listed = get(server.port(), "/v1/models").json()["data"];
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0]["id"], "demo");
  EXPECT_EQ(listed[1]["id"], "alias/of");
  for (const char* path : {"/v1/models/org/shout", "/v1/models/org%2Fshout"})
    EXPECT_EQ(get(server.port(), path).json()["id"], "org/shout") << path;
  EXPECT_EQ(get(server.port(), "/v1/models/alias%2fof").json()["parent"], nullptr);
}

TEST(Tokenize, CountsWhatGenerationWouldRead) {
  const Reply reply = post(port(), "/tokenize", {{"model", "shout"}, {"prompt", "Hello there"}, {"return_token_strs", true}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json text = reply.json();
  EXPECT_EQ(text["count"], text["tokens"].size());
  EXPECT_EQ(text["token_strs"].size(), text["tokens"].size());
  EXPECT_EQ(text["max_model_len"], 512);
  const Reply generated = post(port(), "/v1/completions", {{"prompt", "Hello there"}, {"max_tokens", 1}});
  EXPECT_EQ(generated.json()["usage"]["prompt_tokens"], text["count"]);
  const std::string again = post(port(), "/detokenize", {{"tokens", text["tokens"]}}).json()["prompt"];
  EXPECT_THAT(again, EndsWith("Hello there"));
  EXPECT_GT(again.size(), std::string("Hello there").size()) << "special tokens are told";

  Json chat = chat_body("demo", "Hello there");
  const Json told = post(port(), "/tokenize", chat).json();
  EXPECT_EQ(told["token_strs"], nullptr);
  EXPECT_EQ(told["count"], post(port(), "/v1/chat/completions", chat).json()["usage"]["prompt_tokens"]);
  chat["add_generation_prompt"] = false;
  EXPECT_LT(post(port(), "/tokenize", chat).json()["count"], told["count"]);
}

TEST(Tokenize, TakesTextsBeyondTheContext) {
  const Json told = post(port(), "/tokenize", {{"prompt", std::string(8000, 'x')}}).json();
  EXPECT_GT(told["count"], 512);
}

TEST(Tokenize, NamesTheFieldAtFault) {
  for (const auto& [path, body, status, param] : std::vector<std::tuple<std::string, Json, int, std::string>>{
           {"/tokenize", Json::object(), 400, "prompt"},
           {"/tokenize", {{"prompt", 5}}, 400, "prompt"},
           {"/tokenize", {{"prompt", {1, 2}}}, 400, "prompt"},
           {"/tokenize", {{"prompt", "a"}, {"model", "nobody"}}, 404, "model"},
           {"/tokenize", {{"prompt", "a"}, {"return_token_strs", 1}}, 400, "return_token_strs"},
           {"/tokenize", {{"messages", Json::array()}}, 400, "messages"},
           {"/detokenize", Json::object(), 400, "tokens"},
           {"/detokenize", {{"tokens", {1, 9999999}}}, 400, "tokens[1]"},
           {"/detokenize", {{"tokens", {1}}, {"model", "nobody"}}, 404, "model"}}) {
    const Reply reply = post(port(), path, body);
    EXPECT_EQ(reply.status, status) << body << reply.body;
    EXPECT_EQ(reply.json()["error"]["param"], param) << body;
  }
}

TEST(Info, IsToldAsSglangDoes) {
  for (const char* path : {"/model_info", "/get_model_info"}) {
    const Json info = get(port(), path).json();
    EXPECT_EQ(info["is_generation"], true) << path;
    EXPECT_EQ(info["served_model_name"], "demo");
    EXPECT_EQ(info["model_path"], source_path("demo/model"));
  }
  for (const char* path : {"/server_info", "/get_server_info"}) {
    const Json info = get(port(), path).json();
    EXPECT_EQ(info["context_length"], 512) << path;
    EXPECT_EQ(info["internal_states"].size(), 1u);
  }
  EXPECT_EQ(get(port(), "/health_generate").status, 200);
  EXPECT_EQ(get(port(), "/load").json()["server_load"], 0);
  Connection ping(port());
  ping.send("POST /ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Reply pong = ping.read_reply();
  EXPECT_EQ(pong.status, 200);
  EXPECT_EQ(pong.body, "");
}

TEST(Info, TellsNoSecrets) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--api-key", "sesame", "--admin-api-key", "open"});
  const ServerProcess server(arguments);
  const std::string key = "Authorization: Bearer open";
  for (const char* path : {"/server_info", "/model_info", "/openapi.json", "/metrics", "/v1/models"}) {
    const Reply reply = get(server.port(), path, {key});
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.body.find("sesame"), std::string::npos) << path;
  }
}

TEST(FlushCache, DropsPrefixesWhenNothingRuns) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});  // so slow that a stream lasts
  const ServerProcess server(arguments);
  const Json body = {{"prompt", "The queen found a rusty key in the garden, and the garden was large and green and quiet in the sun."},
                     {"max_tokens", 1}};
  const auto cached = [&] {
    return post(server.port(), "/v1/completions", body).json()["usage"]["prompt_tokens_details"]["cached_tokens"].get<int>();
  };
  EXPECT_EQ(cached(), 0);
  EXPECT_GT(cached(), 0);
  EXPECT_EQ(get(server.port(), "/flush_cache").status, 405);
  EXPECT_EQ(post(server.port(), "/flush_cache", Json::object()).status, 200);
  EXPECT_EQ(cached(), 0);

  Connection running(server.port());
  running.send_request("POST", "/v1/completions", long_stream_body().dump());
  running.read_until("data: ");
  const Reply refused = post(server.port(), "/flush_cache", Json::object());
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["code"], "busy");
}

std::string lora_info(std::uint16_t at) {
  const std::string text = get(at, "/metrics").body;
  const std::size_t begin = text.find("\nvllm:lora_requests_info{") + 1;
  EXPECT_EQ(text.find("\nvllm:lora_requests_info{", begin), std::string::npos) << "one sample, not one for each time";
  return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(Info, TellsWhoRunsAndWhichAdaptersAreInUse) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});
  const ServerProcess server(arguments);
  Json body = long_stream_body();
  body["model"] = "shout";
  Connection running(server.port());
  running.send_request("POST", "/v1/completions", body.dump());
  running.read_until("data: ");
  EXPECT_EQ(get(server.port(), "/load").json()["server_load"], 1);
  const std::string in_use = lora_info(server.port());
  EXPECT_THAT(in_use, HasSubstr(R"(running_lora_adapters="shout")"));
  EXPECT_NEAR(std::stod(in_use.substr(in_use.rfind(' '))), static_cast<double>(std::time(nullptr)), 60);
  EXPECT_EQ(metric(server.port(), "slora_adapters_resident"), 1);
  EXPECT_EQ(metric(server.port(), "slora_adapters_refused"), 1);
  EXPECT_TRUE(running.read_reply().is_whole);
  const Json load = get(server.port(), "/load").json();
  EXPECT_EQ(load["server_load"], 0);
  EXPECT_EQ(load["requests_served"], 1);
  EXPECT_GT(load["request_seconds_mean"], 0.0);
  EXPECT_EQ(load["adapter_hit_rate"], 0.0) << "its adapter had to be loaded";
  EXPECT_GT(load["resident_memory_bytes"], 1 << 20);
  EXPECT_EQ(metric(server.port(), "slora_adapter_queries_total"), 1);
  EXPECT_EQ(metric(server.port(), "slora_adapter_hits_total"), 0);
  EXPECT_THAT(lora_info(server.port()), HasSubstr(R"(running_lora_adapters="shout")")) << "it is still in the pool";
}

// Methods by path, as a server's description has them.
std::map<std::string, std::set<std::string>> described(const Json& document) {
  std::map<std::string, std::set<std::string>> methods;
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      std::string upper;
      for (const char c : method) upper += static_cast<char>(std::toupper(c));
      methods[path].insert(upper);
    }
  }
  return methods;
}

TEST(OpenApi, DescribesExactlyTheRoutesThatThereAre) {
  const Json document = get(port(), "/openapi.json").json();
  EXPECT_EQ(document["openapi"], "3.1.0");
  const auto paths = described(document);
  for (const auto& [path, methods] : paths) {
    const std::string asked = path.substr(0, path.find('{')) + (path.find('{') == std::string::npos ? "" : "demo");
    Connection connection(port());
    connection.send_request("DELETE", asked, "");
    const Reply refused = connection.read_reply();
    EXPECT_EQ(refused.status, 405) << path;
    std::set<std::string> allowed;
    std::stringstream list(refused.headers.at("allow"));
    for (std::string method; std::getline(list, method, ',');) allowed.insert(method.substr(method.find_first_not_of(' ')));
    allowed.erase("HEAD");
    EXPECT_EQ(allowed, methods) << path;
  }
  for (const char* path : {"/v1/models", "/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize", "/metrics", "/health",
                           "/version", "/ping", "/load", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/load_lora_adapter",
                           "/unload_lora_adapter", "/get_model_info", "/get_server_info", "/flush_cache", "/openapi.json"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
}

TEST(OpenApi, DescribesExactlyWhatLoadAnswers) {
  const ServerProcess server(demo_arguments());
  const Json schema =
      get(server.port(), "/openapi.json").json()["paths"]["/load"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
  const auto check = [&] {
    const Json load = get(server.port(), "/load").json();
    std::set<std::string> answered;
    for (const auto& [name, value] : load.items()) {
      answered.insert(name);
      const Json types = schema["properties"].value(name, Json::object()).value("type", Json());
      const auto allows = [&](const char* type) {
        return types == type || (types.is_array() && std::ranges::find(types, type) != types.end());
      };
      EXPECT_TRUE((value.is_null() && allows("null")) || (value.is_number() && allows("number")) ||
                  (value.is_number_integer() && allows("integer")))
          << name << ": " << value;
    }
    EXPECT_EQ(answered, schema["required"].get<std::set<std::string>>());
  };
  check();
  EXPECT_EQ(get(server.port(), "/load").json()["request_seconds_mean"], nullptr);
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"model", "shout"}, {"prompt", "a"}, {"max_tokens", 1}}).status, 200);
  check();
}

TEST(OpenApi, DocumentsTheStatusOfEveryAnswer) {
  const Json document = get(port(), "/openapi.json").json();
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      EXPECT_TRUE(operation.contains("operationId")) << path;
      EXPECT_TRUE(operation["responses"].contains("200")) << path;
      for (const char* body :
           {"", "{}", "[", R"({"model": "nobody", "prompt": "a", "messages": [], "lora_name": "nobody", "lora_path": "/"})"}) {
        Connection connection(port());
        std::string upper;
        for (const char c : method) upper += static_cast<char>(std::toupper(c));
        connection.send_request(upper, path.substr(0, path.find('{')) + (path.find('{') == std::string::npos ? "" : "nobody"), body);
        const Reply reply = connection.read_reply();
        ASSERT_TRUE(operation["responses"].contains(std::to_string(reply.status))) << method << " " << path << " " << body << reply.body;
      }
    }
  }
}

}  // namespace
}  // namespace slora
