// Where adapters are, what they cost, and how long they stay, as routers and operators see it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The value of a label in the first sample of this metric; empty: there is none.
std::string label(const std::string& metrics, const std::string& metric, const std::string& name) {
  const std::size_t line = metrics.find("\n" + metric + "{");
  if (line == std::string::npos) return "";
  const std::string key = name + "=\"";
  const std::size_t begin = metrics.find(key, line) + key.size();
  return metrics.substr(begin, metrics.find('"', begin) - begin);
}

// What llm-d's router makes of a replica for a model: the rules of its lora-affinity-scorer.
double affinity(std::uint16_t port, const std::string& model) {
  const std::string metrics = get(port, "/metrics").body;
  const auto names = [&](const char* list) {
    std::set<std::string> found;
    std::istringstream text(label(metrics, "vllm:lora_requests_info", list));
    for (std::string name; std::getline(text, name, ',');) found.insert(name);
    return found;
  };
  const std::set<std::string> running = names("running_lora_adapters"), waiting = names("waiting_lora_adapters");
  const std::size_t max = std::stoul(label(metrics, "vllm:lora_requests_info", "max_lora"));
  if (running.contains(model)) return 1;
  if (running.size() + waiting.size() < max) return 0.8;
  return waiting.contains(model) ? 0.6 : 0;
}

Json change(std::uint16_t port, const std::string& adapter, const Json& body) {
  return post(port, "/slora/adapters/" + adapter, body).json();
}

TEST(Residency, ARouterScoresReplicasByWhereTheirAdaptersAre) {
  std::array<std::unique_ptr<ServerProcess>, 3> replicas;
  for (std::unique_ptr<ServerProcess>& replica : replicas) replica = std::make_unique<ServerProcess>(demo_arguments());
  const auto scores = [&](const std::string& model) {
    std::array<double, 3> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = affinity(replicas[i]->port(), model);
    return all;
  };
  const auto are = [](double first, double second, double third) { return std::array{first, second, third}; };
  EXPECT_EQ(scores("shout"), are(0.8, 0.8, 0.8)) << "nobody has it, and all may get it";

  const std::uint16_t first = replicas[0]->port();
  ASSERT_EQ(post(first, "/pause", Json::object()).status, 200);
  Connection waiting(first);
  waiting.send_request("POST", "/v1/chat/completions", chat_body("shout", "Hello").dump());
  for (int i = 0; i < 200 && label(get(first, "/metrics").body, "vllm:lora_requests_info", "waiting_lora_adapters").empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(label(get(first, "/metrics").body, "vllm:lora_requests_info", "waiting_lora_adapters"), "shout");
  EXPECT_EQ(scores("shout"), are(0.8, 0.8, 0.8)) << "it is asked for and not there yet";
  ASSERT_EQ(post(first, "/resume", Json::object()).status, 200);
  EXPECT_EQ(waiting.read_reply().status, 200);
  EXPECT_EQ(scores("shout"), are(1, 0.8, 0.8)) << "it stays when nobody uses it";

  EXPECT_EQ(post(replicas[1]->port(), "/v1/chat/completions", chat_body("pirate", "Hello")).status, 200);
  EXPECT_EQ(scores("pirate"), are(0.8, 1, 0.8));
  EXPECT_EQ(scores("no-adapter"), are(0.8, 0.8, 0.8));

  EXPECT_EQ(change(first, "shout", {{"ttl_seconds", 1}})["ttl_seconds"], 1);
  for (int i = 0; i < 400 && affinity(first, "shout") == 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(scores("shout"), are(0.8, 0.8, 0.8)) << "it has left the pool";
}

TEST(Residency, TheOnesInUseComeFirst) {
  ServerProcess server(demo_arguments());
  const std::uint16_t port = server.port();
  for (const char* model : {"yoda", "emoji", "json"}) EXPECT_EQ(post(port, "/v1/chat/completions", chat_body(model, "Hello")).status, 200);
  EXPECT_EQ(label(get(port, "/metrics").body, "vllm:lora_requests_info", "running_lora_adapters"), "json,emoji,yoda");
  const std::string metrics = get(port, "/metrics").body;
  EXPECT_EQ(metric(port, "vllm:num_gpu_loaded_lora_adapters"), 3);
  EXPECT_EQ(metric(port, "vllm:num_cpu_loaded_lora_adapters"), 0);
  EXPECT_THAT(metrics, HasSubstr(R"(vllm:lora_adapter_loaded{adapter_name="json",level="gpu",pinned="false"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(slora_adapter_requests_total{adapter="json",finished_reason="stop"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(slora_adapter_requests_total{adapter="_other",finished_reason="stop"} 0)"));
  EXPECT_THAT(metrics, HasSubstr(R"(slora_adapter_image_loads_total{adapter="yoda"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(slora_adapter_time_to_first_token_seconds_count{adapter="emoji"} 1)"));
}

TEST(Residency, NoAdapterHasASeriesWhenTheOperatorSaysSo) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--adapter-metrics", "0"});
  ServerProcess server(arguments);
  EXPECT_EQ(post(server.port(), "/v1/chat/completions", chat_body("yoda", "Hello")).status, 200);
  const std::string metrics = get(server.port(), "/metrics").body;
  EXPECT_THAT(metrics, Not(HasSubstr("adapter=\"")));
  EXPECT_THAT(metrics, Not(HasSubstr("vllm:lora_adapter_loaded")));
  EXPECT_EQ(metric(server.port(), "vllm:num_gpu_loaded_lora_adapters"), 1);
}

TEST(Residency, APinnedAdapterStaysWhateverItsTime) {
  ServerProcess server(demo_arguments());
  const std::uint16_t port = server.port();
  const Json pinned = change(port, "yoda", {{"pin", true}, {"ttl_seconds", 1}});
  EXPECT_EQ(pinned["pinned"], true);
  EXPECT_EQ(change(port, "emoji", {{"ttl_seconds", 1}})["pinned"], false);
  EXPECT_EQ(post(port, "/v1/chat/completions", chat_body("emoji", "Hello")).status, 200);
  const auto resident = [&] { return metric(port, "vllm:num_gpu_loaded_lora_adapters"); };
  // Until the pinned one has been loaded too, which nothing waits for.
  const auto only_pinned = [&] { return affinity(port, "yoda") == 1 && affinity(port, "emoji") == 0.8; };
  for (int i = 0; i < 400 && !only_pinned(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(affinity(port, "yoda"), 1);
  EXPECT_EQ(affinity(port, "emoji"), 0.8);
  EXPECT_EQ(change(port, "yoda", {{"pin", false}})["pinned"], false);
  for (int i = 0; i < 400 && resident() != 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(resident(), 0) << "its time counts again";
}

TEST(Residency, ARunningRequestKeepsItsAdapterLongerThanItsTime) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});  // so slow that a stream lasts
  ServerProcess server(arguments);
  Json body = long_stream_body();
  body["model"] = "yoda";
  Connection running(server.port());
  running.send_request("POST", "/v1/completions", body.dump());
  running.read_until("data: ");
  EXPECT_EQ(change(server.port(), "yoda", {{"ttl_seconds", 1}})["resident"], true);
  EXPECT_TRUE(running.read_reply().is_whole);
  EXPECT_THAT(get(server.port(), "/metrics").body, HasSubstr(R"(slora_adapter_image_loads_total{adapter="yoda"} 1)"))
      << "it was loaded once";
}

TEST(Residency, ChangesAreRefusedByField) {
  const std::uint16_t port = demo_server().port();
  const auto refusal = [&](const std::string& name, const Json& body) {
    const Reply reply = post(port, "/slora/adapters/" + name, body);
    return std::to_string(reply.status) + " " + reply.json()["error"]["param"].dump();
  };
  EXPECT_EQ(refusal("nobody", {{"pin", true}}), R"(404 "name")");
  EXPECT_EQ(refusal("yoda", Json::object()), "400 null");
  EXPECT_EQ(refusal("yoda", {{"pin", 1}}), R"(400 "pin")");
  EXPECT_EQ(refusal("yoda", {{"ttl_seconds", -1}}), R"(400 "ttl_seconds")");
  EXPECT_EQ(refusal("yoda", {{"ttl_seconds", 18446744073709551615U}}), R"(400 "ttl_seconds")");
  EXPECT_EQ(refusal("yoda", {{"ttl_seconds", "1"}}), R"(400 "ttl_seconds")");
  EXPECT_EQ(post(port, "/v1/load_lora_adapter", {{"lora_name", "x"}, {"lora_path", "s3://a/b"}}).status, 403) << "nobody fetches addresses";
}

TEST(Quota, RefusesAKeyWhoseTokensAreUsedUpAndNoOther) {
  // SHA-256 of "key-a" and "key-b".
  const TemporaryFolder folder;
  const std::string file = folder.write("keys.json", R"({"keys": [
    {"tenant": "a", "key_sha256": "f10f781241e2246678b6b45c857069208152a53863e47fac33f607ab405006f4", "tokens_per_minute": 20},
    {"tenant": "b", "key_sha256": "a30534a53b23547377ddccbd1ac85a8a84c13db43493c16e55a6abc7b0eba634"}]})");
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--api-key-file", file});
  ServerProcess server(arguments);
  const std::vector<std::string> a = {"Authorization: Bearer key-a"}, b = {"Authorization: Bearer key-b"};
  const Json body = {{"prompt", "Hello"}, {"max_tokens", 40}, {"ignore_eos", true}};
  const Reply first = post(server.port(), "/v1/completions", body, a);
  EXPECT_EQ(first.status, 200) << "what was accepted is finished";
  const int too_many = first.json()["usage"]["total_tokens"].get<int>() - 20;
  const Reply refused = post(server.port(), "/v1/completions", body, a);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.json()["error"]["code"], "token_quota_exceeded");
  EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(), HasSubstr("20 tokens per minute"));
  const int seconds = std::stoi(refused.headers.at("retry-after"));
  EXPECT_LE(seconds, 3 * too_many + 1) << "one token comes back in three seconds";
  EXPECT_GE(seconds, 3 * too_many - 20) << "some have come back";
  EXPECT_EQ(get(server.port(), "/v1/models", a).status, 200) << "it may still look";
  EXPECT_EQ(post(server.port(), "/v1/completions", body, b).status, 200);
}

TEST(Pause, KeepsSequencesUntilItIsResumed) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});
  ServerProcess server(arguments);
  const std::uint16_t port = server.port();
  Connection running(port);
  running.send_request("POST", "/v1/completions", long_stream_body().dump());
  running.read_until("data: ");
  EXPECT_EQ(post(port, "/pause", Json::object()).status, 200);
  EXPECT_EQ(get(port, "/is_paused").json()["is_paused"], true);
  const Json before = get(port, "/server_info").json()["internal_states"][0];
  EXPECT_EQ(get(port, "/health").status, 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const Json after = get(port, "/server_info").json()["internal_states"][0];
  EXPECT_EQ(before["steps"], after["steps"]) << "nothing is computed";
  EXPECT_EQ(after["running_requests"], 1);
  EXPECT_EQ(post(port, "/resume", Json::object()).status, 200);
  const Reply reply = running.read_reply();
  EXPECT_TRUE(reply.is_whole);
  EXPECT_THAT(reply.body, HasSubstr("[DONE]"));
}

TEST(Pause, EndsWithTheServer) {
  ServerProcess server(demo_arguments());
  EXPECT_EQ(post(server.port(), "/pause", Json::object()).status, 200);
  Connection waiting(server.port());
  waiting.send_request("POST", "/v1/chat/completions", chat_body("yoda", "Hello").dump());
  for (int i = 0; i < 500 && label(get(server.port(), "/metrics").body, "vllm:lora_requests_info", "waiting_lora_adapters") != "yoda"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  server.signal(SIGTERM);
  EXPECT_EQ(waiting.read_reply().status, 200);
  EXPECT_EQ(server.exit_code(), 0);
}

}  // namespace
}  // namespace slora
