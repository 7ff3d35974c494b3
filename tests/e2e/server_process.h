#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace slora {

struct Finished {
  int exit_code = -1;  // 128 + signal when a signal ended it
  std::string output;  // of standard output and standard error together
};

// Limits of the system for a process; 0: none.
struct ProcessLimits {
  std::uint64_t descriptors = 0;
  std::uint64_t address_space_bytes = 0;
};

// The built program.
std::string slora_program();
// Runs it to its end.
Finished run_slora(const std::vector<std::string>& arguments, const std::string& input = "");
// The same with a limit of its address space, as by ulimit -v.
Finished run_slora_within(std::uint64_t address_space_bytes, const std::vector<std::string>& arguments);
// The same for another program, such as a link to this one.
Finished run_other_program(const std::string& program, const std::vector<std::string>& arguments);
// The same for examples/chat.cc.
Finished run_example_chat(const std::vector<std::string>& arguments);

// A running `slora serve` on a port of its own, ended by the destructor. One thread.
class ServerProcess {
 public:
  // Starts it with `--port 0` and waits until it listens; fails the test when it does not. `program`: a link to it.
  explicit ServerProcess(const std::vector<std::string>& arguments, const ProcessLimits& limits = {},
                         const std::string& program = slora_program());
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::uint16_t port() const { return port_; }
  // Of a server that was given --health-port.
  std::uint16_t health_port() const { return health_port_; }
  // Physical memory that it holds.
  std::uint64_t resident_bytes() const;
  void signal(int number) const;
  // What it printed until it listened.
  const std::string& first_output() const { return first_output_; }
  // Waits for the end. `output`: if given, what it printed since then.
  int exit_code(std::string* output = nullptr);

 private:
  pid_t process_ = -1;
  int output_ = -1;
  std::string first_output_;
  std::uint16_t port_ = 0, health_port_ = 0;
};

// Arguments that serve the demo with all its adapters, and one that is refused.
std::vector<std::string> demo_arguments();

}  // namespace slora
