// The wall clock jumps under a running server: nothing expires, and nothing waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "e2e/demo_server.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class JumpingClock {
 public:
  JumpingClock() {
    jump_to(0);
    setenv("SLORA_CLOCK_OFFSET", path().c_str(), 1);
    setenv("LD_PRELOAD", SLORA_CLOCK_JUMP, 1);
  }
  ~JumpingClock() {
    unsetenv("LD_PRELOAD");
    unsetenv("SLORA_CLOCK_OFFSET");
  }
  JumpingClock(const JumpingClock&) = delete;
  JumpingClock& operator=(const JumpingClock&) = delete;

  void jump_to(std::int64_t offset_seconds) const {
    std::fstream file(path(), std::ios::binary | std::ios::in | std::ios::out);
    if (!file) file.open(path(), std::ios::binary | std::ios::out);
    file.write(reinterpret_cast<const char*>(&offset_seconds), sizeof offset_seconds);
  }

 private:
  [[nodiscard]] std::string path() const { return folder_.path() + "/offset"; }

  const TemporaryFolder folder_;
};

TEST(WallClock, JumpsWithoutAnythingExpiringOrWaiting) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's library must be the first";
#endif
  const JumpingClock clock;
  std::vector<std::string> arguments = demo_arguments();
  arguments.insert(arguments.end(), {"--backend", "reference"});  // slow: the stream is met while it runs
  const ServerProcess server(arguments);
  Connection idle(server.port());
  idle.send_request("GET", "/health", "");
  EXPECT_EQ(idle.read_reply().status, 200);

  Json body = long_stream_body();
  body["timeout"] = 600;
  Connection stream(server.port());
  stream.send_request("POST", "/v1/completions", body.dump(), {"Content-Type: application/json"});
  EXPECT_THAT(stream.read_until("data: "), HasSubstr("200 OK"));
  for (const std::int64_t offset : {3600, -3600, 0}) {
    clock.jump_to(offset);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // several looks of whatever looks at clocks
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(post(server.port(), "/v1/completions", {{"model", "spanish"}, {"prompt", "a"}, {"max_tokens", 2}, {"timeout", 60}}).status,
              200);
    EXPECT_LE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
    idle.send_request("GET", "/health", "");
    const Reply reply = idle.read_reply();
    EXPECT_EQ(reply.status, 200) << "the idle connection did not expire";
    std::tm date{};
    ASSERT_NE(strptime(reply.headers.at("date").c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date), nullptr);
    EXPECT_NEAR(static_cast<double>(timegm(&date)), static_cast<double>(std::time(nullptr) + offset), 60) << "the server saw the jump";
  }
  EXPECT_THAT(stream.read_until("data: [DONE]"), HasSubstr("data: [DONE]")) << "it ended by itself";
}

}  // namespace
}  // namespace slora
