#pragma once

namespace slora {

// `slora bench ...`: replaces this process with slora-bench, the program in the same folder, which gets the same words. Returns only
// when it can't be run: the process's exit code, after saying on standard error how to build it.
// Requires: `words` end with a null pointer, as main() has them.
[[nodiscard]] int run_bench_program(char* const* words);

}  // namespace slora
