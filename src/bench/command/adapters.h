#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace slora {

// `slora bench adapters`, as text from the command line.
struct BenchAdaptersArguments {
  std::string folder;
  std::string model = "Qwen2.5-0.5B";
  std::int32_t count = 16;
  std::int32_t rank = 16;
  std::string targets = "all";
};

CLI::App* add_bench_adapters(CLI::App& bench, BenchAdaptersArguments& arguments);
// Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_bench_adapters(const BenchAdaptersArguments& arguments);

}  // namespace slora
