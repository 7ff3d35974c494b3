#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace slora {

// `slora bench adapters`, as text from the command line.
struct BenchAdaptersArguments {
  std::string folder;
  std::string model = "Qwen2.5-0.5B";
  std::int32_t count = 16;
  std::string rank = "16";
  std::string targets = "all";
  std::string family = "lora";
};

CLI::App* add_bench_adapters(CLI::App& bench, BenchAdaptersArguments& arguments);
// Returns the process's exit code: 130 when it was interrupted.
[[nodiscard]] int run_bench_adapters(const BenchAdaptersArguments& arguments);

// "16"; or "mixed", which is 0: 8, 16 and 64 in rotation. bad_option names the option.
[[nodiscard]] Result<std::int32_t> parse_adapter_rank(const std::string& text, const std::string& option);

}  // namespace slora
