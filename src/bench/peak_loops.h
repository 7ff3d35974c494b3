#pragma once
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace slora::bench {

enum class Arithmetic { fp32, bf16, int8 };

// Multiply-adds on registers only, with enough independent ones to hide their latency.
struct PeakLoop {
  Arithmetic arithmetic;
  std::string_view instruction;
  double operations_per_run;  // a multiplication and an addition are two
  double (*run)();            // returns the sum, so that nothing is optimized away
};

// The loops of these instructions that this machine can run, at most one for each arithmetic.
[[nodiscard]] std::vector<PeakLoop> usable_peak_loops(Instructions instructions);

}  // namespace slora::bench
