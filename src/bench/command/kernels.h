#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "bench/op_bench.h"

namespace slora {

// `slora bench kernels`, as text from the command line.
struct BenchKernelsArguments {
  std::string model = "Qwen2.5-0.5B";
  std::string weights = "bf16";
  std::string cuda_products = "own";
  std::string instructions = "best";
  std::string json;  // file; empty: none
  std::vector<std::string> groups;
  bench::OpOptions options;
};

CLI::App* add_bench_kernels(CLI::App& bench, BenchKernelsArguments& arguments);
// `command_line`: as it was typed, for the record. Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_bench_kernels(const BenchKernelsArguments& arguments, const std::string& command_line);

}  // namespace slora
