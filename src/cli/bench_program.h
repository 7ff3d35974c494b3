#pragma once
#include <filesystem>
#include <string>

namespace slora {

// `slora bench ...`: replaces this process with slora-bench, the program in the same folder, which gets the same words. Returns only
// when it can't be run: the process's exit code, after reporting the reason on standard error.
// Requires: `words` end with a null pointer, as main() has them.
[[nodiscard]] int run_bench_program(char* const* words);

// The report when `program` does not exist; in a build folder (BUILD/bin/slora-bench) with the command that builds it.
[[nodiscard]] std::string missing_bench_text(const std::filesystem::path& program);

}  // namespace slora
