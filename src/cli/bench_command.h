#pragma once
#include <CLI/CLI.hpp>

namespace slora {

// `slora bench ...`: what the engine does, held against what the machine can.
class BenchCommand {
 public:
  // Adds the command with all that it measures. `app` outlives this.
  explicit BenchCommand(CLI::App& app);

  [[nodiscard]] bool parsed() const { return command_->parsed(); }
  // The process's exit code.
  [[nodiscard]] int run() const;

 private:
  CLI::App* command_;
  CLI::App* machine_;
  int threads_ = 0;
};

}  // namespace slora
