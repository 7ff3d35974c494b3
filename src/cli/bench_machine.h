#pragma once

namespace slora {

// `slora bench machine`. Returns the process's exit code.
[[nodiscard]] int run_bench_machine(int threads);

}  // namespace slora
