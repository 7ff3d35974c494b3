// What clients get when the engine hangs or its device fails: a server in a process of its own, whose backend does so on demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <new>
#include <thread>

#include "backend/device_error.h"
#include "backend/testing/recording_backend.h"
#include "base/testing/source_path.h"
#include "e2e/http_client.h"
#include "http/api_server.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

enum class Mode { works, hangs, fails };

struct Setting {
  OnStall on_stall = OnStall::wait;
  std::int32_t shards = 1;
};

// A server of the demo model that takes a second of silence for a hang. Forks before the test has other threads.
class FailingServer {
 public:
  explicit FailingServer(const Setting& setting) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    process_ = fork();
    if (process_ == 0) serve(setting, ends[1]);
    close(ends[1]);
    EXPECT_EQ(read(ends[0], &port_, sizeof port_), static_cast<ssize_t>(sizeof port_)) << "the server ended before it listened";
    close(ends[0]);
  }
  ~FailingServer() {
    if (process_ > 0) kill(process_, SIGKILL);
    if (process_ > 0) waitpid(process_, nullptr, 0);
    munmap(mode_, sizeof *mode_);
  }
  FailingServer(const FailingServer&) = delete;
  FailingServer& operator=(const FailingServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void set(Mode mode) { *mode_ = mode; }
  void signal(int number) const { kill(process_, number); }
  // Waits for its end, for 20 s; -1: it goes on.
  int exit_code() {
    for (int i = 0; i < 400; ++i) {
      int status = 0;
      if (waitpid(process_, &status, WNOHANG) == process_) {
        process_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return -1;
  }

 private:
  [[noreturn]] void serve(const Setting& setting, int announce) {
    RuntimeOptions runtime;
    runtime.model_folder = source_path("demo/model");
    runtime.pool_bytes = std::uint64_t{32} << 20;
    runtime.threads = setting.shards;
    runtime.shard_count = setting.shards;
    runtime.wrap_backend = [this](std::unique_ptr<Backend> inner) {
      return std::make_unique<RecordingBackend>(std::move(inner), [this](std::string_view op) {
        if (op == "embed") std::this_thread::sleep_for(std::chrono::milliseconds(5));  // so that answers are met while they are made
        while (*mode_ == Mode::hangs) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        if (*mode_ == Mode::fails) throw DeviceError("the test lets it fail");
      });
    };
    ApiServerOptions options;
    options.http.port = 0;
    options.model_names = {{"demo"}, 1};
    options.drain_time = std::chrono::seconds(1);
    options.guard = {std::chrono::seconds(1), setting.on_stall};
    options.on_ready = [announce](const Ready& ready, Runtime&) {
      const auto port = static_cast<std::uint16_t>(std::stoi(ready.url.substr(ready.url.rfind(':') + 1)));
      if (write(announce, &port, sizeof port) != static_cast<ssize_t>(sizeof port)) _exit(98);
    };
    const Result<int> code = run_api_server(options, std::move(runtime));
    _exit(code ? *code : 99);
  }

  // Shared with the process.
  std::atomic<Mode>* const mode_ = new (mmap(nullptr, sizeof(std::atomic<Mode>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
      std::atomic<Mode>(Mode::works);
  pid_t process_ = -1;
  std::uint16_t port_ = 0;
};

Json long_body(bool stream) { return {{"prompt", "Hello"}, {"max_tokens", 400}, {"ignore_eos", true}, {"stream", stream}, {"seed", 1}}; }

std::string code_of(const Reply& reply) { return reply.json()["error"]["code"].get<std::string>(); }

// What must be so whenever the engine does not answer.
void expect_everybody_is_answered(FailingServer& server, Mode mode, const std::string& code) {
  Connection stream(server.port()), whole(server.port()), flush(server.port());
  stream.send_request("POST", "/v1/completions", long_body(true).dump());
  stream.read_until("data: ");
  whole.send_request("POST", "/v1/completions", long_body(false).dump());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server.set(mode);
  flush.send_request("POST", "/flush_cache", "");
  const Clock::time_point begin = Clock::now();

  const Reply refused = whole.read_reply();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(code_of(refused), code);
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  const Reply failed = stream.read_reply();
  EXPECT_TRUE(failed.is_whole) << "the error is part of the body, which ends properly";
  EXPECT_THAT(failed.body, HasSubstr("\"code\":\"" + code + "\""));
  EXPECT_THAT(failed.body, Not(HasSubstr("[DONE]")));
  // 400 if the engine took it before it stopped, while requests were running.
  EXPECT_THAT(flush.read_reply().status, ::testing::AnyOf(503, 400));
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(2500)) << "a second of silence, and a little";
  const Reply health = get(server.port(), "/health"), late = post(server.port(), "/v1/completions", {{"prompt", "late"}});
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(late.status, 503);
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(3000));
}

TEST(Failure, AHungEngineAnswersEverybodyAndMayGoOn) {
  FailingServer server({});
  expect_everybody_is_answered(server, Mode::hangs, "engine_stalled");
  server.set(Mode::works);
  Reply health;
  for (int i = 0; i < 100 && health.status != 200; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    health = get(server.port(), "/health");
  }
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(post(server.port(), "/v1/completions", {{"prompt", "Hello"}, {"max_tokens", 2}}).status, 200);
}

TEST(Failure, AHungEngineEndsTheProcessWhereItShall) {
  FailingServer server({.on_stall = OnStall::exit});
  expect_everybody_is_answered(server, Mode::hangs, "engine_stalled");
  const Clock::time_point begin = Clock::now();
  EXPECT_EQ(server.exit_code(), 1);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
}

TEST(Failure, ADeviceThatFailsEndsTheProcessAfterEverybodyIsAnswered) {
  for (const std::int32_t shards : {1, 2}) {
    FailingServer server({.shards = shards});
    expect_everybody_is_answered(server, Mode::fails, "engine_failed");
    const Clock::time_point begin = Clock::now();
    EXPECT_EQ(server.exit_code(), 1);
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  }
}

TEST(Failure, ASignalEndsAServerWhoseEngineHangs) {
  FailingServer server({});
  Connection running(server.port());
  running.send_request("POST", "/v1/completions", long_body(true).dump());
  running.read_until("data: ");
  server.set(Mode::hangs);
  const Clock::time_point begin = Clock::now();
  server.signal(SIGTERM);
  EXPECT_EQ(server.exit_code(), 1);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(8)) << "the drain time and what threads may take to end";
}

}  // namespace
}  // namespace slora
