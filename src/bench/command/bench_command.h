#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "bench/command/adapters.h"
#include "bench/command/kernels.h"
#include "bench/command/offline.h"
#include "bench/command/online.h"
#include "bench/command/simulate.h"
#include "bench/command/traffic.h"

namespace slora {

// What slora-bench does, each a command of its own: offline, kernels, traffic, online and machine measure; simulate computes what would be
// measured; adapters writes some.
class BenchCommand {
 public:
  // Adds the commands. `app` outlives this, and options are written into this object: it stays where it is.
  explicit BenchCommand(CLI::App& app);
  BenchCommand(const BenchCommand&) = delete;
  BenchCommand& operator=(const BenchCommand&) = delete;

  // Requires: the app has parsed one of the commands. `command_line`: as it was typed. Returns the process's exit code.
  [[nodiscard]] int run(const std::string& command_line) const;

 private:
  BenchOfflineArguments offline_arguments_;
  const CLI::App* const offline_;
  BenchKernelsArguments kernels_arguments_;
  const CLI::App* const kernels_;
  BenchTrafficArguments traffic_arguments_;
  const CLI::App* const traffic_;
  BenchOnlineArguments online_arguments_;
  const CLI::App* const online_;
  BenchSimulateArguments simulate_arguments_;
  const CLI::App* const simulate_;
  BenchAdaptersArguments adapters_arguments_;
  const CLI::App* const adapters_;
  int machine_threads_ = 0;
};

}  // namespace slora
