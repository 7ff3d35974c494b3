#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "bench/command/compute_option.h"
#include "bench/command/memory_options.h"
#include "bench/offline_options.h"

namespace slora {

// `slora bench offline`, as text from the command line.
struct BenchOfflineArguments {
  std::string model = "Qwen2.5-0.5B";
  std::string backend = "auto";
  int threads = 0;
  std::string instructions = "best";
  std::string weights = "bf16";
  std::string cuda_products = "own";
  std::string pool_memory;  // empty: what the rows need
  MemoryArguments memory;
  ComputeArguments compute;
  std::string scratch;  // empty: the system's folder for such files
  std::string json;     // file; empty: none
  std::vector<std::string> ranks = {"16"}, targets = {"all"}, adapters = {"none", "shared", "distinct"};
  bench::OfflineOptions options;
  bool quick = false;
};

CLI::App* add_bench_offline(CLI::App& bench, BenchOfflineArguments& arguments);
// `command_line`: as it was typed, for the record. Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_bench_offline(const BenchOfflineArguments& arguments, const std::string& command_line);

}  // namespace slora
