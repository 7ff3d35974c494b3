#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <list>
#include <thread>

#include "base/testing/source_path.h"
#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// The slow backend, so that streams are met while they run.
std::vector<std::string> slow_arguments(const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// Polls, since a stop takes a step; a minute at most.
bool becomes(std::uint16_t port, std::string_view name, double wanted) {
  for (int i = 0; i < 600; ++i) {
    if (metric(port, name) == wanted) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

TEST(Life, APrefaultedPoolHasItsMemoryFromTheStart) {
  constexpr std::uint64_t kPoolBytes = std::uint64_t{256} << 20;
  std::vector<std::string> arguments = {"--model", source_path("demo/model"), "--pool-memory", "256MiB"};
  EXPECT_LT(ServerProcess(arguments).resident_bytes(), kPoolBytes);
  arguments.emplace_back("--prefault-pool");
  EXPECT_GE(ServerProcess(arguments).resident_bytes(), kPoolBytes);
}

TEST(Life, AClientThatLeavesFreesItsSequence) {
  const ServerProcess server(slow_arguments());
  for (const bool stream : {true, false}) {
    Json body = long_stream_body();
    body["stream"] = stream;
    Connection client(server.port());
    client.send_request("POST", "/v1/completions", body.dump());
    if (stream) client.read_until("data: ");
    EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 1));
    client.reset();
    EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 0));
  }
  EXPECT_EQ(metric(server.port(), R"(vllm:request_success_total{model_name="demo",finished_reason="abort"})"), 2);
  EXPECT_EQ(metric(server.port(), R"(slora_pool_pages{owner="sequence"})"), 0);
}

TEST(Life, AClientThatEndsItsSideIsAnswered) {
  const ServerProcess server(slow_arguments());
  for (const bool stream : {true, false}) {
    Json body = long_stream_body();
    body["stream"] = stream;
    body["max_tokens"] = 100;
    Connection client(server.port());
    client.send_request("POST", "/v1/completions", body.dump());
    client.end_input();
    const Reply reply = client.read_reply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_TRUE(reply.is_whole);
  }
}

TEST(Life, AClientThatClosesItsSocketFreesItsSequence) {
  const ServerProcess server(slow_arguments());
  for (const bool ends_its_side_before : {false, true}) {
    Json body = long_stream_body();
    body["stream"] = false;
    Connection client(server.port());
    client.send_request("POST", "/v1/completions", body.dump());
    EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 1));
    if (ends_its_side_before) {
      client.end_input();
      client.read_until("100 Continue");
    }
    client.close();
    EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 0));
  }
  EXPECT_EQ(metric(server.port(), R"(vllm:request_success_total{model_name="demo",finished_reason="abort"})"), 2);
}

TEST(Life, AFullQueueIs429WithRetryAfter) {
  const ServerProcess server(slow_arguments({"--max-waiting", "4"}));
  const Reply full = post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"n", 5}, {"max_tokens", 100}});
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.headers.at("retry-after"), "1");
  EXPECT_EQ(full.json()["error"]["code"], "queue_full");
  Reply fits;  // once the four that were taken are cancelled
  for (int i = 0; i < 600 && fits.status != 200; ++i) {
    fits = post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"n", 4}, {"max_tokens", 2}});
    EXPECT_THAT(fits.status, ::testing::AnyOf(200, 429));
  }
  EXPECT_EQ(fits.status, 200);
}

TEST(Life, ASignalLetsRunningRequestsFinish) {
  ServerProcess server(slow_arguments());
  Connection running(server.port());
  running.send_request("POST", "/v1/completions", long_stream_body().dump());
  running.read_until("data: ");
  server.signal(SIGTERM);
  Reply health;  // turns when the signal has arrived
  for (int i = 0; i < 600 && health.status != 503; ++i) health = get(server.port(), "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"prompt", "late"}}).json()["error"]["code"], "draining");
  const Reply reply = running.read_reply();
  EXPECT_TRUE(reply.is_whole);
  EXPECT_THAT(reply.body, EndsWith("data: [DONE]\n\n"));
  EXPECT_EQ(reply.events().size(), 400u);
  EXPECT_EQ(server.exit_code(), 0);
}

TEST(Life, ASecondSignalEndsThemWithAnError) {
  ServerProcess server(slow_arguments());
  Connection running(server.port());
  running.send_request("POST", "/v1/completions", long_stream_body().dump());
  running.read_until("data: ");
  server.signal(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // two signals at once would be one
  server.signal(SIGTERM);
  const Reply reply = running.read_reply();
  EXPECT_FALSE(reply.is_whole);
  EXPECT_THAT(reply.body, HasSubstr(R"("code":"draining")"));
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(server.exit_code(), 1);
}

TEST(Life, AnIdleServerEndsAtOnce) {
  ServerProcess server(demo_arguments());
  const Connection idle(server.port());
  EXPECT_EQ(get(server.port(), "/ping").status, 200);
  server.signal(SIGINT);
  EXPECT_EQ(server.exit_code(), 0);
}

TEST(Life, KeysGuardEverythingButHealthAndMetrics) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--api-key", "one", "--api-key", "two"});
  const ServerProcess server(arguments);
  for (const char* path : {"/health", "/metrics", "/ping", "/version"}) EXPECT_EQ(get(server.port(), path).status, 200) << path;
  const Reply refused = get(server.port(), "/v1/models");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.json()["error"]["code"], "invalid_api_key");
  EXPECT_EQ(get(server.port(), "/v1/models", {"Authorization: Bearer three"}).status, 401);
  EXPECT_EQ(get(server.port(), "/v1/models", {"Authorization: Bearer two"}).status, 200);
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"prompt", "a"}}).status, 401);
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"prompt", "a"}, {"max_tokens", 1}}, {"Authorization: Bearer one"}).status, 200);
}

TEST(Life, RunsOutOfDescriptorsAndRecovers) {
  const ServerProcess server(demo_arguments(), 64);
  {
    std::list<Connection> many;
    for (int i = 0; i < 200; ++i) many.emplace_back(server.port());
    many.front().send_request("GET", "/ping", "");
    EXPECT_EQ(many.front().read_reply().status, 200) << "who is in is served";
  }
  EXPECT_EQ(get(server.port(), "/ping").status, 200);
}

}  // namespace
}  // namespace slora
