#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/machine_limits.h"
#include "bench/offline_options.h"
#include "bench/step_work.h"
#include "formats/json.h"

namespace slora::bench {

// The measurement of one setting, and the least time the machine could have needed.
struct OfflineRow {
  PlannedRow plan;
  double context = 0;           // decoding: tokens per sequence, averaged over the measured steps
  std::vector<double> seconds;  // per step, prompt or list: one for each repetition, itself a median
  double tokens_per_second = 0;
  MachineLimits limits;  // mean of the measurements just before and just after
  MachineLimits before, after;
  Arithmetic arithmetic = Arithmetic::bf16;  // of the products with weights
  Work work;                                 // of a step or prompt; none for lists
  double floor_seconds = 0;                  // of the work as a whole: reading and computing overlap perfectly
  double by_op_seconds = 0;                  // sum of the ops' floors: the least when ops run one after the other

  // Lists only.
  std::int64_t output_tokens = 0;
  double token_seconds_p50 = 0, token_seconds_p99 = 0;  // between consecutive tokens of a sequence
  std::uint64_t adapter_loads = 0;
};

[[nodiscard]] Json to_json(const OfflineRow& row);

// The printed table: its header, and a line for each row.
[[nodiscard]] std::string offline_table_head();
[[nodiscard]] std::string offline_table_line(const OfflineRow& row);

}  // namespace slora::bench
