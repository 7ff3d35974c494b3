#pragma once
#include <string_view>
#include <vector>

namespace slora::bench {

enum class Arithmetic { fp32, bf16, int8 };

// Multiplications and additions on registers only, as many at once as hide their latency.
struct PeakLoop {
  Arithmetic arithmetic;
  std::string_view instruction;
  double operations_per_run;  // a multiplication and an addition are two
  double (*run)();            // the sum of all, so that nothing is left out
};

// Those that this machine can run, at most one for each arithmetic.
[[nodiscard]] std::vector<PeakLoop> usable_peak_loops();

}  // namespace slora::bench
