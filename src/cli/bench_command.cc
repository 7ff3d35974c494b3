#include "cli/bench_command.h"

#include "cli/bench_machine.h"
#include "cli/option_range.h"

namespace slora {

BenchCommand::BenchCommand(CLI::App& app)
    : command_(app.add_subcommand("bench", "Measure how near slora comes to what this machine can do")),
      offline_(add_bench_offline(*command_, offline_arguments_)),
      kernels_(add_bench_kernels(*command_, kernels_arguments_)),
      traffic_(add_bench_traffic(*command_, traffic_arguments_)),
      adapters_(add_bench_adapters(*command_, adapters_arguments_)) {
  command_->require_subcommand(1);
  CLI::App* machine = command_->add_subcommand("machine", "Measure what the machine can do: read memory, multiply");
  machine->add_option("--threads", machine_threads_, "Threads that read and compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
}

int BenchCommand::run(const std::string& command_line) const {
  if (offline_->parsed()) return run_bench_offline(offline_arguments_, command_line);
  if (kernels_->parsed()) return run_bench_kernels(kernels_arguments_, command_line);
  if (traffic_->parsed()) return run_bench_traffic(traffic_arguments_, command_line);
  if (adapters_->parsed()) return run_bench_adapters(adapters_arguments_);
  return run_bench_machine(machine_threads_);
}

}  // namespace slora
