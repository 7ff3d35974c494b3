#include "bench/traffic_http.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/check.h"
#include "bench/online_run.h"
#include "bench/workload/serving_metrics.h"

namespace slora::bench {
namespace {

std::string refusal_of(const std::string& url) {
  const Result<std::unique_ptr<TrafficHttp>> target = TrafficHttp::create({.url = url, .key = ""});
  return target ? "none" : target.error().message;
}

TEST(TrafficHttp, TakesAddressesWithPortsAndTheRootOfTheApi) {
  for (const std::string url : {"http://127.0.0.1:8000", "http://localhost", "http://localhost:1/", "http://localhost:65535/v1",
                                "http://[::1]:8000/v1/", "http://[::1]"}) {
    EXPECT_EQ(refusal_of(url), "none") << url;
  }
}

TEST(TrafficHttp, RefusesPortsThatAreNone) {
  for (const std::string port : {"83636", "0", "-1", "", "80a", "+80", "80:80", "99999999999999999999", "80?x"}) {
    EXPECT_EQ(refusal_of("http://127.0.0.1:" + port), "--url: expected a port from 1 to 65535, found " + port);
  }
}

TEST(TrafficHttp, RefusesPathsThatItWouldNotUse) {
  for (const std::string path : {"/v2", "/v1/completions", "//", "/v1?x=1", "/proxy/v1"}) {
    EXPECT_EQ(refusal_of("http://127.0.0.1:8000" + path), "--url: expected nothing or /v1 after the address, found " + path);
  }
}

TEST(TrafficHttp, RefusesWhatIsNoAddress) {
  for (const std::string url : {"", "127.0.0.1:8000", "https://127.0.0.1", "http://", "http:///v1", "http://:80", "http://[::1",
                                "http://[]:80", "http://[::1]80"}) {
    EXPECT_TRUE(refusal_of(url).starts_with("--url: expected a")) << url;
  }
}

constexpr std::size_t kEndlessTokens = std::size_t{4} << 20;  // a body of 25 MB, which no socket's buffers hold
const std::atomic<bool> kStopNever = false;

TrafficRequest request_of(std::size_t prompt_tokens) {
  TrafficRequest request;
  request.prompt.assign(prompt_tokens, 12345);
  return request;
}

// Accepts a given number of connections, one after the other, on a thread of its own. Resets the first `reset_count` in the middle of their
// requests; reads the others' requests and answers each with one token.
class ResettingServer {
 public:
  ResettingServer(int reset_count, int connection_count) : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    constexpr int kReceiveBuffer = 4096;
    setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    check(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener_, 16) == 0, "expected to listen");
    check(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0, "expected an address");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, reset_count, connection_count] {
      for (int i = 0; i < connection_count; ++i) serve(accept(listener_, nullptr, nullptr), i < reset_count);
    });
  }
  ~ResettingServer() {
    shutdown(listener_, SHUT_RDWR);  // ends accept(), if a test failed
    thread_.join();
    for (const int connection : answered_) close(connection);
    close(listener_);
  }
  ResettingServer(const ResettingServer&) = delete;
  ResettingServer& operator=(const ResettingServer&) = delete;

  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }

 private:
  void serve(int connection, bool resets) {
    if (connection < 0) return;
    std::array<char, 4096> bytes{};
    std::string request;
    for (ssize_t count = 1; count > 0 && request.find("}}") == std::string::npos && !(resets && !request.empty());) {
      count = recv(connection, bytes.data(), bytes.size(), 0);
      if (count > 0) request.append(bytes.data(), static_cast<std::size_t>(count));
    }
    if (resets) {
      constexpr linger kReset = {.l_onoff = 1, .l_linger = 0};
      setsockopt(connection, SOL_SOCKET, SO_LINGER, &kReset, sizeof kReset);
      close(connection);
      return;
    }
    constexpr std::string_view kAnswer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "22\r\ndata: {\"choices\":[{\"text\":\"a\"}]}\n\n\r\n"
        "3e\r\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}        \n\n\r\n"
        "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    check(::send(connection, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) == std::ssize(kAnswer), "expected to answer");
    answered_.push_back(connection);
  }

  const int listener_;
  std::uint16_t port_ = 0;
  std::vector<int> answered_;  // of the thread, until it was joined
  std::thread thread_;
};

TEST(TrafficHttp, HasNoEventsOfARequestThatCouldNotBeSent) {
  const ResettingServer server(2, 3);
  const SteadyClock clock;
  const std::unique_ptr<TrafficHttp> target = *TrafficHttp::create({.url = server.url(), .key = ""});
  std::vector<TrafficEvent> events;
  for (const std::size_t request : {0, 1}) {
    const Status sent = target->send(request, request_of(kEndlessTokens));
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, "E_HTTP");
    EXPECT_TRUE(sent.error().message.starts_with("a request can't be sent: ")) << sent.error().message;
    ASSERT_TRUE(target->wait(events, clock.now() + std::chrono::milliseconds(50)));
    EXPECT_TRUE(events.empty());
  }
  ASSERT_TRUE(target->send(2, request_of(3)));
  const Timestamp give_up = clock.now() + std::chrono::seconds(30);
  while (clock.now() < give_up && (events.empty() || !events.back().ended)) ASSERT_TRUE(target->wait(events, give_up));
  ASSERT_FALSE(events.empty());
  for (const TrafficEvent& event : events) EXPECT_EQ(event.request, 2u);
  EXPECT_TRUE(events.back().ended);
  EXPECT_EQ(events.back().error, "");
}

TEST(TrafficHttp, FailsOnlyTheRequestsThatAServerResets) {
  const ResettingServer server(2, 4);
  const SteadyClock clock;
  const std::unique_ptr<TrafficHttp> target = *TrafficHttp::create({.url = server.url(), .key = ""});
  Trace trace;
  const auto endless = static_cast<std::int32_t>(kEndlessTokens);
  for (const std::int32_t tokens : {endless, endless, 3, 3})
    trace.requests.push_back({.adapter = -1, .input_tokens = tokens, .output_tokens = 1});
  const Result<OnlineRun> run = run_online(
      *target, trace, PromptOptions{}, clock, [](std::uint64_t, std::uint64_t) {}, kStopNever);
  ASSERT_TRUE(run) << run.error().message;
  const ServingMetrics metrics = serving_metrics_of(trace, run->served, {});
  EXPECT_EQ(metrics.failed, 2u) << run->first_failure;
  EXPECT_EQ(metrics.completed, 2u) << run->first_failure;
}

// While it lives, no file or socket can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    check(getrlimit(RLIMIT_NOFILE, &before_) == 0, "expected to read the limit");
    const rlimit none{0, before_.rlim_max};
    check(setrlimit(RLIMIT_NOFILE, &none) == 0, "expected to lower the limit");
  }
  ~NoDescriptors() { check(setrlimit(RLIMIT_NOFILE, &before_) == 0, "expected to restore the limit"); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST(TrafficHttp, SaysThatItsOwnLimitsAreNoFailureOfTheServer) {
  const ResettingServer server(0, 1);
  const std::unique_ptr<TrafficHttp> target = *TrafficHttp::create({.url = server.url(), .key = ""});
  {
    const NoDescriptors none;
    EXPECT_EQ(target->send(0, request_of(1)).error().code, kClientLimit);
  }
  EXPECT_TRUE(target->send(1, request_of(1)));
}

TEST(TrafficHttp, RaisesTheLimitOfOpenFiles) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{64, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  ASSERT_TRUE(TrafficHttp::create({.url = "http://127.0.0.1:1", .key = ""}));
  rlimit raised{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &raised), 0);
  EXPECT_EQ(raised.rlim_cur, std::min<rlim_t>(before.rlim_max, 33024));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace slora::bench
