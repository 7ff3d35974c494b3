#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/machine_limits.h"
#include "bench/step_work.h"
#include "formats/json.h"

namespace slora::bench {

// The measurement of one op at one size.
struct OpRow {
  std::string op;               // "linear gate_up", "attend decode"
  std::string shape;            // without the number of rows
  std::int64_t rows = 1;        // of the batch
  std::vector<double> seconds;  // of a call, one for each repetition
  Work work;                    // of a call; no bytes: its inputs stay in caches
  Arithmetic arithmetic = Arithmetic::bf16;
  MachineLimits limits;                    // mean of the measurements just before and just after
  std::optional<double> baseline_seconds;  // of the same product by oneDNN

  // The least time that the machine needs, or 0 when unknown.
  [[nodiscard]] double floor() const;
};

[[nodiscard]] Json to_json(const OpRow& row);
[[nodiscard]] std::string op_table_head();
[[nodiscard]] std::string op_table_line(const OpRow& row);

}  // namespace slora::bench
