#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/machine_limits.h"
#include "bench/step_work.h"
#include "formats/json.h"

namespace slora::bench {

// What was measured of one op at one size.
struct OpRow {
  std::string op;               // "linear gate_up", "attend decode"
  std::string shape;            // what does not change with the rows
  std::int64_t rows = 1;        // of the batch
  std::vector<double> seconds;  // of a call, one for each repetition
  Work work;                    // of a call; no bytes: what it reads stays in caches
  Arithmetic arithmetic = Arithmetic::bf16;
  MachineLimits limits;                    // mean of what was measured just before and just after
  std::optional<double> baseline_seconds;  // of the same product by oneDNN

  // The least time that the machine needs, or 0 when nothing is known.
  [[nodiscard]] double floor() const;
};

[[nodiscard]] Json to_json(const OpRow& row);
[[nodiscard]] std::string op_table_head();
[[nodiscard]] std::string op_table_line(const OpRow& row);

}  // namespace slora::bench
