#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "cli/bench_adapters.h"
#include "cli/bench_kernels.h"
#include "cli/bench_offline.h"
#include "cli/bench_traffic.h"

namespace slora {

// `slora bench ...`: what the engine does, held against what the machine can.
class BenchCommand {
 public:
  // Adds the command with all that it measures. `app` outlives this, and options are written into it: it stays where it is.
  explicit BenchCommand(CLI::App& app);
  BenchCommand(const BenchCommand&) = delete;
  BenchCommand& operator=(const BenchCommand&) = delete;

  [[nodiscard]] bool parsed() const { return command_->parsed(); }
  // `command_line`: as it was typed. Returns the process's exit code.
  [[nodiscard]] int run(const std::string& command_line) const;

 private:
  CLI::App* const command_;
  BenchOfflineArguments offline_arguments_;
  const CLI::App* const offline_;
  BenchKernelsArguments kernels_arguments_;
  const CLI::App* const kernels_;
  BenchTrafficArguments traffic_arguments_;
  const CLI::App* const traffic_;
  BenchAdaptersArguments adapters_arguments_;
  const CLI::App* const adapters_;
  int machine_threads_ = 0;
};

}  // namespace slora
