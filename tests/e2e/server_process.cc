#include "e2e/server_process.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>

#include "base/testing/source_path.h"

namespace slora {
namespace {

void set_limit(int resource, std::uint64_t value) {
  const rlimit limit{value, value};
  if (value != 0) setrlimit(resource, &limit);
}

// The child's standard input is `input`, its output goes to the pipe whose reading end comes back.
pid_t start(const std::string& program, const std::vector<std::string>& arguments, int& input, int& output, const ProcessLimits& limits) {
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  std::array<int, 2> in{}, out{};
  if (pipe(in.data()) != 0 || pipe(out.data()) != 0) return -1;
  const pid_t process = fork();
  if (process == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    for (const int end : {in[0], in[1], out[0], out[1]}) close(end);
    set_limit(RLIMIT_NOFILE, limits.descriptors);
    set_limit(RLIMIT_AS, limits.address_space_bytes);
    execv(program.c_str(), pointers.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  input = in[1];
  output = out[0];
  return process;
}

int wait_for(pid_t process) {
  int status = 0;
  if (waitpid(process, &status, 0) != process) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Appends what comes next; false at the end.
bool read_some(int descriptor, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t bytes = read(descriptor, buffer.data(), buffer.size());
  if (bytes > 0) text.append(buffer.data(), static_cast<std::size_t>(bytes));
  return bytes > 0;
}

Finished run_program(const std::string& program, const std::vector<std::string>& arguments, const std::string& input,
                     const ProcessLimits& limits = {}) {
  int to = -1, from = -1;
  const pid_t process = start(program, arguments, to, from, limits);
  const bool written = write(to, input.data(), input.size()) == static_cast<ssize_t>(input.size());
  EXPECT_TRUE(written);
  close(to);
  Finished finished;
  while (read_some(from, finished.output)) {
  }
  close(from);
  finished.exit_code = wait_for(process);
  return finished;
}

// The number after an announcement; 0 where there is none.
std::uint16_t port_in(const std::string& text, const std::string& announcement) {
  const std::size_t at = text.find(announcement);
  return at == std::string::npos ? std::uint16_t{0} : static_cast<std::uint16_t>(std::stoi(text.substr(at + announcement.size())));
}

}  // namespace

std::string slora_program() { return SLORA_PROGRAM; }

Finished run_slora(const std::vector<std::string>& arguments, const std::string& input) {
  return run_program(SLORA_PROGRAM, arguments, input);
}

Finished run_slora_within(std::uint64_t address_space_bytes, const std::vector<std::string>& arguments) {
  return run_program(SLORA_PROGRAM, arguments, "", {.address_space_bytes = address_space_bytes});
}

Finished run_other_program(const std::string& program, const std::vector<std::string>& arguments) {
  return run_program(program, arguments, "");
}

Finished run_example_chat(const std::vector<std::string>& arguments) { return run_program(SLORA_EXAMPLE_CHAT, arguments, ""); }

ServerProcess::ServerProcess(const std::vector<std::string>& arguments, const ProcessLimits& limits, const std::string& program) {
  std::vector<std::string> all = {"serve", "--port", "0"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  int input = -1;
  process_ = start(program, all, input, output_, limits);
  close(input);
  std::string& text = first_output_;
  while (text.find("try: curl") == std::string::npos) {  // the last that it says, also within an object of the log
    if (!read_some(output_, text)) {
      ADD_FAILURE() << "the server ended before it listened:\n" << text;
      return;
    }
  }
  port_ = port_in(text, "listening on http://127.0.0.1:");
  health_port_ = port_in(text, "health and metrics on http://127.0.0.1:");
}

ServerProcess::~ServerProcess() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    wait_for(process_);
  }
  close(output_);
}

std::uint64_t ServerProcess::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(process_) + "/statm");
  std::uint64_t all_pages = 0, resident_pages = 0;
  file >> all_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void ServerProcess::signal(int number) const { kill(process_, number); }

int ServerProcess::exit_code(std::string* output) {
  std::string rest;
  while (read_some(output_, rest)) {
  }
  if (output != nullptr) *output = rest;
  const int code = wait_for(process_);
  process_ = -1;
  return code;
}

std::vector<std::string> demo_arguments() {
  return {"--model",
          source_path("demo/model"),
          "--served-model-name",
          "demo",
          "--adapters",
          source_path("demo/adapters"),
          "--lora-modules",
          "broken=" + source_path("tests/golden/refused/use_qalora"),
          "--pool-memory",
          "64MiB"};
}

}  // namespace slora
