#include "cli/bench_command.h"

#include "cli/bench_machine.h"

namespace slora {

BenchCommand::BenchCommand(CLI::App& app)
    : command_(app.add_subcommand("bench", "Measure what this machine can do, and how near slora comes to it")),
      machine_(command_->add_subcommand("machine", "Measure what the machine can do at most: read memory, multiply")) {
  command_->require_subcommand(1);
  machine_->add_option("--threads", threads_, "Threads that read and compute; 0: one per core")->type_name("N")->capture_default_str();
}

int BenchCommand::run() const { return run_bench_machine(threads_); }

}  // namespace slora
