#include "sources/fetch_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace {

// Of groups whose leader was waited for: such a number may be another's by then.
std::atomic<int> stale_kills{0};

}  // namespace

// The program's own, instead of the system library's.
extern "C" int kill(pid_t process, int signal) noexcept {
  if (process < 0 && syscall(SYS_kill, -process, 0) != 0) ++stale_kills;
  return static_cast<int>(syscall(SYS_kill, process, signal));
}

namespace slora {
namespace {

using ::testing::HasSubstr;

class FetchProgram : public ::testing::Test {
 protected:
  // A program of these lines of a shell.
  std::string program(const std::string& lines) const {
    const std::string path = folder_.write("program", "#!/bin/sh\n" + lines + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  Status run(
      const std::string& lines, const FetchLimits& limits = {}, const std::string& name = "acme/sql",
      const std::function<bool()>& is_stopped = [] { return false; }) const {
    return run_fetch_program({program(lines), name, "main", out_.path(), {"PATH=/usr/bin:/bin", "KIND=test"}}, limits, is_stopped);
  }
  std::string written(const char* file) const { return read_text_file(out_.file(file), 1 << 20).value_or("nothing"); }

  const TemporaryFolder folder_, out_;
};

TEST_F(FetchProgram, IsCalledWithNameRevisionAndFolderAndNothingElse) {
  ASSERT_TRUE(run(R"(printf '%s|%s|%s|%s|%s' "$#" "$1" "$2" "$3" "$KIND" > "$3/arguments"; pwd > "$3/folder")"));
  EXPECT_EQ(written("arguments"), "3|acme/sql|main|" + out_.path() + "|test");
  EXPECT_EQ(written("folder"), out_.path() + "\n");
}

TEST_F(FetchProgram, IsGivenANameAsOneWordWhateverItHolds) {
  // Names like these are refused before; no shell would read them all the same.
  const std::string name = "a; touch stolen; $(touch stolen) `touch stolen` 'x \"y\n--option";
  ASSERT_TRUE(run(R"(printf '%s' "$1" > "$3/name")", {}, name));
  EXPECT_EQ(written("name"), name);
  EXPECT_FALSE(std::filesystem::exists(out_.file("stolen")));
}

TEST_F(FetchProgram, HasNoOpenFilesOfTheServer) {
  ASSERT_TRUE(run(R"(ls /proc/self/fd | sort -n | tail -n 1 > "$3/last")"));
  EXPECT_LE(std::stoi(written("last")), 3) << "the one that lists them";
}

TEST_F(FetchProgram, SaysByItsExitCodeThatThereIsNoSuchAdapter) {
  EXPECT_EQ(run("exit 3").error().code, "not_found");
  const Status failed = run("echo out of luck >&2; exit 7");
  EXPECT_EQ(failed.error().code, "E_FETCH");
  EXPECT_THAT(failed.error().message, HasSubstr("exit code 7; it printed: out of luck"));
  EXPECT_THAT(run("kill -9 $$").error().message, HasSubstr("signal 9"));
  EXPECT_EQ(run_fetch_program({"/nowhere/program", "a", "main", out_.path(), {}}, {}, [] { return false; }).error().code, "E_FETCH");
}

TEST_F(FetchProgram, EndsWithAllThatItStartedWhenItsTimeIsOver) {
  const Status slow = run(R"(sleep 1000 & echo $! > "$3/child"; wait)", {.time_max = std::chrono::seconds(1)});
  EXPECT_EQ(slow.error().code, "E_FETCH");
  EXPECT_THAT(slow.error().message, HasSubstr("--adapter-source-time"));
  const int child = std::stoi(written("child"));
  // Whoever adopts it takes its end, some moments later.
  for (int i = 0; i < 500 && ::kill(child, 0) == 0; ++i) {
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
    std::string number, program, state;
    stat >> number >> program >> state;
    if (state == "Z") return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(::kill(child, 0), 0);
}

TEST_F(FetchProgram, SendsNoSignalToANumberThatItHasGivenBack) {
  stale_kills = 0;
  EXPECT_TRUE(run("exit 0"));
  EXPECT_FALSE(run("exit 3"));
  EXPECT_FALSE(run("kill -9 $$"));
  EXPECT_FALSE(run("sleep 1000", {.time_max = std::chrono::seconds(1)}));
  EXPECT_EQ(stale_kills, 0);
}

TEST_F(FetchProgram, MayFillSoMuchAndNoMore) {
  const FetchLimits limits{.bytes_max = 1 << 20};
  EXPECT_TRUE(run(R"(head -c 1000000 /dev/zero > "$3/weights")", limits));
  const Status one = run(R"(head -c 10000000 /dev/zero > "$3/weights")", limits);
  EXPECT_FALSE(one);
  const Status many = run(R"(for i in 1 2 3 4 5; do head -c 500000 /dev/zero > "$3/$i"; done; sleep 1000)", limits);
  EXPECT_EQ(many.error().code, "E_TOO_LARGE");
}

TEST_F(FetchProgram, MayPrintWithoutEnd) {
  const Status printed = run("yes | head -c 5000000; exit 1");
  ASSERT_FALSE(printed);
  EXPECT_LT(printed.error().message.size(), 2000U);
}

TEST_F(FetchProgram, EndsWhenTheServerDoes) {
  EXPECT_THAT(run("sleep 1000", {}, "a", [] { return true; }).error().message, HasSubstr("shutting down"));
}

TEST(FolderBytes, FollowNoLinks) {
  const TemporaryFolder folder, other;
  other.write("large", std::string(100000, 'x'));
  folder.write("a/small", "12345");
  std::filesystem::create_symlink(other.file("large"), folder.file("link"));
  std::filesystem::create_directory_symlink(other.path(), folder.file("folder"));
  EXPECT_EQ(folder_bytes(folder.path(), 1000), 5U);
  EXPECT_GT(folder_bytes(folder.path(), 4), 4U);
}

}  // namespace
}  // namespace slora
