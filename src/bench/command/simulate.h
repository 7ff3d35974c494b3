#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "bench/command/memory_options.h"
#include "bench/command/simulate_study.h"
#include "bench/command/workload_options.h"

namespace slora {

// `slora bench simulate`, as text from the command line.
struct BenchSimulateArguments {
  SimulateStudyArguments study;  // its device, setting and files are those of a run without a study, too
  std::string fit;               // JSON lines of `slora bench offline`; empty: a device by name
  std::string policy = "fair-share";
  std::string first_token_reward = "satisfaction";  // of deadline
  std::string compute = "gathered";
  std::int64_t pool_tokens = 0;       // 0: the setting's on this device
  std::int32_t cluster_adapters = 8;  // d, of the policies that have it
  MemoryArguments memory;
  WorkloadArguments workload;
  RateArguments rates;
};

CLI::App* add_bench_simulate(CLI::App& bench, BenchSimulateArguments& arguments);
// `command_line`: as it was typed, for the record. Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_bench_simulate(const BenchSimulateArguments& arguments, const std::string& command_line);

}  // namespace slora
