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
  EXPECT_TRUE(becomes(server.port(), R"(vllm:request_success_total{model_name="demo",finished_reason="abort"})", 2));
}

TEST(Life, AFullQueueIs429WithRetryAfter) {
  const ServerProcess server(slow_arguments({"--max-waiting", "4"}));
  Connection others[2] = {Connection(server.port()), Connection(server.port())};
  for (Connection& other : others) {
    other.send_request("POST", "/v1/completions", long_stream_body().dump());
    other.read_until("data: ");
  }
  const Reply full = post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"n", 2}, {"max_tokens", 100}});
  EXPECT_EQ(full.status, 429);
  EXPECT_GE(std::stoi(full.headers.at("retry-after")), 1);
  EXPECT_EQ(full.json()["error"]["code"], "client_queue_full") << "a place stays free for others";
  const Reply never = post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"n", 3}, {"max_tokens", 100}});
  EXPECT_EQ(never.status, 400);
  EXPECT_EQ(never.json()["error"]["param"], "n");
  EXPECT_EQ(never.json()["error"]["message"], "n: expected at most 2 sequences in one request, found 3");
  for (Connection& other : others) other.close();
  Reply fits;  // once those that were taken are cancelled
  for (int i = 0; i < 600 && fits.status != 200; ++i) {
    fits = post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"n", 2}, {"max_tokens", 2}});
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
  EXPECT_TRUE(reply.is_whole) << "the error is part of the body";
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

// Once prompts were measured and while an answer runs: a prompt of 400 tokens takes much longer than 0.2 s here. One that comes when no
// prompt was computed for 0.2 s is tried.
TEST(Life, RefusesAtOnceWhatWouldMissItsFirstTokenTime) {
  const ServerProcess server(slow_arguments({"--policy", "deadline", "--first-token-slo", "0.2"}));
  int first_token = 10;  // another each time, so that nothing is cached
  const auto ask = [&](int token_count, bool stream) {
    std::vector<int> prompt(static_cast<std::size_t>(token_count), 100);
    prompt.front() = first_token++;
    return post(server.port(), "/v1/completions", {{"prompt", prompt}, {"max_tokens", 1}, {"stream", stream}});
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(20, false).status, 200) << "nothing else runs";
  Connection client(server.port());
  client.send_request("POST", "/v1/completions", long_stream_body().dump());
  client.read_until("data: ");
  for (const bool stream : {false, true}) {
    Reply refused = ask(400, stream);
    for (int i = 0; i < 20 && refused.status == 200; ++i) refused = ask(400, stream);
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.json()["error"]["code"], "first_token_slo_missed");
    EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(), testing::HasSubstr("within 0.2 s"));
    EXPECT_TRUE(refused.headers.contains("retry-after"));
  }
  client.reset();
  EXPECT_TRUE(becomes(server.port(), "slora_given_up_total", 2));
  EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 0));
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"prompt", "a"}, {"max_tokens", 1}}).status, 200) << "nothing else runs";
}

TEST(Life, KeepsConnectionsForHealthWhenAllAreInUse) {
  std::vector<std::string> arguments = slow_arguments({"--health-port", "0", "--api-key", "one"});
  const ServerProcess server(arguments, {.descriptors = 64});  // 32 connections, and 4 in reserve
  std::list<Connection> busy;
  for (int i = 0; i < 32; ++i) {
    busy.emplace_back(server.port());
    busy.back().send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one\r\nContent-Length: 10\r\n\r\n");
  }
  Reply refused;
  for (int i = 0; i < 100 && refused.status != 503; ++i) {
    refused = get(server.port(), "/v1/models", {"Authorization: Bearer one"});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json()["error"]["code"], "connections_full");
  EXPECT_EQ(get(server.port(), "/health").status, 200);
  EXPECT_EQ(get(server.health_port(), "/metrics").status, 200);
}

TEST(Life, TheHealthPortHasNoOtherRoutesAndNeedsNoKey) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--health-port", "0", "--api-key", "one"});
  const ServerProcess server(arguments);
  for (const char* path : {"/", "/health", "/ping", "/metrics", "/version", "/load"}) {
    EXPECT_EQ(get(server.health_port(), path).status, 200) << path;
  }
  EXPECT_EQ(get(server.health_port(), "/v1/models", {"Authorization: Bearer one"}).status, 404);
  EXPECT_THAT(get(server.health_port(), "/metrics").body, HasSubstr("vllm:lora_requests_info"));
  EXPECT_THAT(get(server.port(), "/metrics").body, Not(HasSubstr("vllm:lora_requests_info"))) << "it names adapters";
  EXPECT_THAT(get(server.port(), "/metrics", {"Authorization: Bearer one"}).body, HasSubstr("vllm:lora_requests_info"));
}

TEST(Life, PagesOfAllowedOriginsMayCall) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--allowed-origins", R"(["https://a.example", "http://localhost:3000"])", "--api-key", "one"});
  const ServerProcess server(arguments);
  const std::string origin = "Origin: http://localhost:3000", allowed = "access-control-allow-origin";
  Connection browser(server.port());
  browser.send_request("OPTIONS", "/v1/chat/completions", "",
                       {origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"});
  const Reply preflight = browser.read_reply();
  EXPECT_EQ(preflight.status, 200);
  EXPECT_EQ(preflight.headers.at(allowed), "http://localhost:3000");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization,content-type");
  const std::vector<std::string> headers = {origin, "Authorization: Bearer one"};
  for (const bool stream : {false, true}) {
    const Reply reply = post(server.port(), "/v1/completions", {{"prompt", "a"}, {"max_tokens", 1}, {"stream", stream}}, headers);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.headers.at(allowed), "http://localhost:3000");
  }
  for (const char* path : {"/v1/models", "/nothing"}) {
    EXPECT_EQ(get(server.port(), path, {origin}).headers.at(allowed), "http://localhost:3000") << "errors too: " << path;
  }
  Connection other(server.port());
  other.send_request("OPTIONS", "/v1/models", "", {"Origin: https://b.example", "Access-Control-Request-Method: GET"});
  const Reply refused = other.read_reply();
  EXPECT_EQ(refused.status, 403);
  EXPECT_FALSE(refused.headers.contains(allowed));
}

TEST(Life, ARequestEndsWithItsTimeout) {
  const ServerProcess server(slow_arguments());
  for (const bool stream : {false, true}) {
    Json body = long_stream_body();
    body["stream"] = stream;
    body["timeout"] = 0.3;
    const auto begin = std::chrono::steady_clock::now();
    const Reply reply = post(server.port(), "/v1/completions", body);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(took, std::chrono::milliseconds(290));
    EXPECT_LE(took, std::chrono::milliseconds(600));
    EXPECT_EQ(reply.status, stream ? 200 : 504);
    EXPECT_TRUE(reply.is_whole);
    EXPECT_THAT(reply.body, HasSubstr(R"("code":"deadline_exceeded")"));
    EXPECT_TRUE(becomes(server.port(), "vllm:num_requests_running", 0));
  }
  EXPECT_EQ(metric(server.port(), R"(slora_pool_pages{owner="sequence"})"), 0);
}

TEST(Life, ARequestEndsWithItsTimeoutWhileItsTextWaits) {
  const ServerProcess server(demo_arguments());
  std::string text;
  while (text.size() < 3'900'000) text += "The queen found a rusty key. ";
  std::list<Connection> busy;  // there is one thread for long texts
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back(server.port());
    busy.back().send_request("POST", "/tokenize", Json{{"model", "demo"}, {"prompt", text}}.dump(), {"Content-Type: application/json"});
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // until the first one is read
  const Json body = {{"prompt", text.substr(0, 100'000)}, {"timeout", 0.2}, {"max_tokens", 1}};
  const auto begin = std::chrono::steady_clock::now();
  const Reply reply = post(server.port(), "/v1/completions", body);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(reply.status, 504);
  EXPECT_THAT(reply.body, HasSubstr(R"("code":"deadline_exceeded")"));
  EXPECT_LE(took, std::chrono::milliseconds(600));
}

TEST(Life, RunsOutOfDescriptorsAndRecovers) {
  const ServerProcess server(demo_arguments(), {.descriptors = 64});
  {
    std::list<Connection> many;
    for (int i = 0; i < 200; ++i) many.emplace_back(server.port());
    many.back().send_request("GET", "/ping", "");
    EXPECT_EQ(many.back().read_reply().status, 200) << "the oldest ones made space";
    EXPECT_EQ(many.front().read_reply().status, 0) << "among them the first";
  }
  EXPECT_EQ(get(server.port(), "/ping").status, 200);
}

TEST(Life, HeadsThatNeverEndMakeSpaceForNewcomers) {
  const ServerProcess server(demo_arguments(), {.descriptors = 64});  // 32 connections, and 4 in reserve
  std::list<Connection> many;
  for (int i = 0; i < 200; ++i) {
    many.emplace_back(server.port());
    many.back().send("G");
  }
  // A connection may be closed once it had 100 ms to send a head. How late the last of them are accepted depends on the machine; those that
  // nothing closes would be there for ten seconds.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int answered_count = 0;
  while (answered_count < 31 && std::chrono::steady_clock::now() < limit) {
    many.emplace_back(server.port());
    many.back().send_request("GET", "/v1/models", "");
    if (many.back().read_reply().status == 200) {
      ++answered_count;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  EXPECT_EQ(answered_count, 31);
}

}  // namespace
}  // namespace slora
