#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <list>

#include "e2e/demo_server.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::string head_of_body(std::size_t bytes, const std::string& field = "") {
  return "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + field +
         "Content-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

TEST(Memory, BodiesThatAreOnlyAnnouncedTakeNothingFromOthers) {
  const std::uint16_t port = demo_server().port();
  std::list<Connection> connections;
  for (int i = 0; i < 100; ++i) connections.emplace_back(port).send(head_of_body(4 * kMiB) + "{");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(post(port, "/v1/completions", {{"prompt", "a"}, {"max_tokens", 1}}).status, 200);
}

TEST(Memory, OneClientTakesNoMoreThanItLeavesForOthers) {
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--request-memory", "16MiB", "--api-key", "greedy", "--api-key", "other"});
  const ServerProcess server(arguments);
  // A body's memory doubles up to what is announced, so these three hold 7.5 of the 8 MiB that a client alone may hold.
  constexpr std::size_t kAnnounced = 5 * kMiB / 2, kSent = 9 * kMiB / 4;
  std::list<Connection> connections;
  for (int i = 0; i < 3; ++i) {
    connections.emplace_back(server.port()).send(head_of_body(kAnnounced, "Authorization: Bearer greedy\r\n") + std::string(kSent, ' '));
  }
  const auto held = [&] { return metric(server.port(), "slora_request_memory_bytes").value_or(0); };
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(8);  // before slow bodies are given up
  while (held() < 3 * kAnnounced && std::chrono::steady_clock::now() < limit) usleep(10'000);
  EXPECT_GE(held(), 3 * kAnnounced);
  const Json long_body = {{"prompt", std::string(kMiB, 'a')}};
  EXPECT_EQ(post(server.port(), "/v1/completions", long_body, {"Authorization: Bearer greedy"}).status, 429);
  const Json body = {{"prompt", "a"}, {"max_tokens", 1}};
  EXPECT_EQ(post(server.port(), "/v1/completions", body, {"Authorization: Bearer other"}).status, 200);
  connections.clear();
  const auto is_served = [&] { return post(server.port(), "/v1/completions", body, {"Authorization: Bearer greedy"}).status == 200; };
  bool served = is_served();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(8);
  while (!served && std::chrono::steady_clock::now() < end) served = is_served();
  EXPECT_TRUE(served) << "connections that closed give their memory back";
}

TEST(Memory, BodiesAreRefusedWhereNoneIsExpectedAndNeverReadAsARequest) {
  // Longer than the empty object that many clients send.
  const std::string hidden = "GET /version HTTP/1.1\r\nHost: a\r\nPadding: " + std::string(60, 'x') + "\r\n\r\n";
  for (const std::string start : {"GET /health", "GET /v1/models", "HEAD /version", "POST /flush_cache", "POST /ping"}) {
    for (const std::string& field : {"Content-Length: " + std::to_string(hidden.size()), std::string("Transfer-Encoding: chunked")}) {
      Connection connection(demo_server().port());
      connection.send(start + " HTTP/1.1\r\nHost: localhost\r\n" + field + "\r\n\r\n" + hidden);
      const std::string answer = connection.read_until("no such text");
      EXPECT_THAT(answer, HasSubstr("HTTP/1.1 400 ")) << start << ", " << field;
      EXPECT_THAT(answer, Not(HasSubstr("0.1.0"))) << "the hidden request is never answered";
    }
  }
}

TEST(Memory, SlowBodiesAreGivenUp) {
  Connection one_byte(demo_server().port()), chunks(demo_server().port());
  one_byte.send(head_of_body(kMiB) + "{");
  chunks.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  // A chunk of one byte has an extension of hundreds: these are not what the body's speed is measured by.
  for (int second = 0; second < 16; ++second) {
    chunks.send("1;" + std::string(600, 'a') + "\r\n \r\n");
    usleep(1'000'000);
  }
  EXPECT_EQ(one_byte.read_reply().status, 408);
  EXPECT_EQ(chunks.read_reply().status, 408);
}

TEST(Memory, AStartWithoutMemoryEndsWithOneLine) {
  for (const std::uint64_t megabytes : {60, 120, 240, 400}) {
    std::vector<std::string> arguments = demo_arguments();
    arguments.insert(arguments.begin(), {"generate", "--prompt", "a", "--max-tokens", "1"});
    const Finished finished = run_slora_within(megabytes << 20, arguments);
    if (finished.exit_code == 0) continue;  // it was enough
    EXPECT_EQ(finished.exit_code, 1) << finished.output;
    EXPECT_THAT(finished.output, HasSubstr("slora: ")) << megabytes;
    EXPECT_THAT(finished.output, Not(HasSubstr("bug:"))) << megabytes;
    const std::size_t last = finished.output.rfind("slora: ");  // the log may say before that an adapter is refused
    EXPECT_EQ(finished.output.find("slora: "), last) << finished.output;
    EXPECT_EQ(finished.output.find('\n', last), finished.output.size() - 1) << finished.output;
  }
}

}  // namespace
}  // namespace slora
