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

// Runs the built program to its end.
Finished run_slora(const std::vector<std::string>& arguments, const std::string& input = "");
// The same with a limit of its address space, as by ulimit -v.
Finished run_slora_within(std::uint64_t address_space_bytes, const std::vector<std::string>& arguments);
// The same for examples/chat.cc.
Finished run_example_chat(const std::vector<std::string>& arguments);

// A running `slora serve` on a port of its own, ended by the destructor. One thread.
class ServerProcess {
 public:
  // Starts it with `--port 0` and waits until it listens; fails the test when it does not.
  explicit ServerProcess(const std::vector<std::string>& arguments, const ProcessLimits& limits = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::uint16_t port() const { return port_; }
  // Of a server that was given --health-port.
  std::uint16_t health_port() const { return health_port_; }
  // Physical memory that it holds.
  std::uint64_t resident_bytes() const;
  void signal(int number) const;
  // Waits for the end.
  int exit_code();

 private:
  pid_t process_ = -1;
  int output_ = -1;
  std::uint16_t port_ = 0, health_port_ = 0;
};

// Arguments that serve the demo with all its adapters, and one that is refused.
std::vector<std::string> demo_arguments();

}  // namespace slora
