#include "base/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

namespace slora {
namespace {

// What a program prints, after what it gets as its input.
std::string output_of(ProgramStart start, const std::string& input = "") {
  std::array<int, 2> in{}, out{};
  EXPECT_EQ(pipe2(in.data(), O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
  start.input = in[0];
  start.output = out[1];
  const Result<pid_t> process = start_program(start);
  close(in[0]);
  close(out[1]);
  EXPECT_TRUE(process);
  if (!process) return "";
  EXPECT_EQ(getpgid(*process), *process);
  EXPECT_EQ(write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
  close(in[1]);
  std::string text;
  std::array<char, 256> bytes;
  for (ssize_t count = 0; (count = read(out[0], bytes.data(), bytes.size())) > 0;)
    text.append(bytes.data(), static_cast<std::size_t>(count));
  close(out[0]);
  EXPECT_EQ(waitpid(*process, nullptr, 0), *process);
  return text;
}

ProgramStart shell(const std::string& script) { return {.program = "/bin/sh", .arguments = {"-c", script}}; }

TEST(Program, HasItsInputArgumentsEnvironmentAndFolder) {
  ProgramStart start = shell("read line; echo $line $NAME $HOME-; pwd");
  start.environment = {"NAME=value"};
  start.folder = "/usr";
  EXPECT_EQ(output_of(start, "hello\n"), "hello value -\n/usr\n");
}

TEST(Program, HasNoneOfOurDescriptors) {
  const int ours = open("/dev/null", O_RDONLY);  // also for children, if they are not closed
  ASSERT_GE(ours, 3);
  EXPECT_EQ(output_of(shell("ls /proc/$$/fd; :")), "0\n1\n2\n");
  close(ours);
}

TEST(Program, IgnoresNoSignalThatWeIgnore) {
  struct sigaction ignored {
  }, before{};
  ignored.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(SIGUSR1, &ignored, &before), 0);
  EXPECT_EQ(output_of(shell("kill -USR1 $$; echo ignored")), "");
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(Program, EndsWithWhatItStarted) {
  std::array<int, 2> out{};
  ASSERT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
  ProgramStart start = shell("sleep 1000 & echo started; wait");
  start.output = out[1];
  const Result<pid_t> process = start_program(start);
  close(out[1]);
  ASSERT_TRUE(process);
  std::array<char, 16> bytes;
  ASSERT_EQ(read(out[0], bytes.data(), bytes.size()), 8) << "of \"started\" and the end of its line";
  end_program(*process);
  EXPECT_EQ(kill(*process, 0), -1) << "it was waited for";
  EXPECT_EQ(read(out[0], bytes.data(), bytes.size()), 0) << "nobody has the other end of the pipe";
  close(out[0]);
}

TEST(Program, OnesThatCannotBeStartedSayWhy) {
  const Result<pid_t> missing = start_program({.program = "/nonexistent", .arguments = {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "No such file or directory");
}

}  // namespace
}  // namespace slora
