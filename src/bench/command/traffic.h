#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/command/compute_option.h"
#include "bench/command/memory_options.h"
#include "bench/traffic_request.h"

namespace slora {

// `slora bench traffic`, as text from the command line.
struct BenchTrafficArguments {
  std::string url;  // empty: an engine in this process
  std::string api_key;
  std::string model = "Qwen2.5-0.5B";
  std::vector<std::string> adapters;
  std::string backend = "auto";
  int threads = 0;
  std::string weights = "bf16";
  std::string pool_memory;  // empty: chosen
  MemoryArguments memory;
  ComputeArguments compute;
  std::string json;  // file; empty: none
  std::int32_t repeats = 1;
  std::optional<std::int32_t> vocabulary;  // none: chosen
  bench::TrafficOptions options;           // except the vocabulary
};

CLI::App* add_bench_traffic(CLI::App& bench, BenchTrafficArguments& arguments);
// `command_line`: as it was typed, for the record. Returns the process's exit code: 1 also when a request failed, 130
// when it was interrupted.
[[nodiscard]] int run_bench_traffic(const BenchTrafficArguments& arguments, const std::string& command_line);

}  // namespace slora
