#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace slora {

// Another program, and what it is given of this process: nothing else, so that no socket outlives this process there.
struct ProgramStart {
  std::string program;                       // its path
  std::vector<std::string> arguments;        // after its name
  std::vector<std::string> environment{};    // NAME=value
  std::string folder{};                      // that it works in; empty: the same
  int input = -1, output = -1, errors = -1;  // descriptors; -1: /dev/null
};

// Starts a program in a process group of its own, so that it and its children can be ended together, and by nobody's Ctrl-C; with no signal
// blocked or ignored. The caller waits for the process. Error "not_started", with the system's words.
[[nodiscard]] Result<pid_t> start_program(const ProgramStart& start);

// Kills the program and everything that it started, and waits for it. Requires: start_program() returned it, and nobody waited for it.
void end_program(pid_t process);

}  // namespace slora
