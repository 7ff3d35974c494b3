#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "bench/command/workload_options.h"

namespace slora {

// `slora bench online`, as text from the command line.
struct BenchOnlineArguments {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string adapter_names;  // a pattern with {}; empty: as the server lists them
  std::string prompt_form = "ids";
  std::int32_t vocabulary = 32000;
  WorkloadArguments workload;
  RateArguments rates;
  std::string json, svg;  // files; empty: none
};

CLI::App* add_bench_online(CLI::App& bench, BenchOnlineArguments& arguments);
// `command_line`: as it was typed, for the record. Returns the process's exit code: 1 also when a request failed, 130 when it was
// interrupted.
[[nodiscard]] int run_bench_online(const BenchOnlineArguments& arguments, const std::string& command_line);

// "lora-{}" as lora-0, lora-1, ... bad_option when the pattern has no {} or several.
[[nodiscard]] Result<std::vector<std::string>> names_by_pattern(const std::string& pattern, std::int32_t count);

}  // namespace slora
