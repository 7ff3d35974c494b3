#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bench/machine_limits.h"
#include "bench/offline_options.h"
#include "bench/step_work.h"
#include "formats/json.h"

namespace slora::bench {

// What was measured of one setting, and what the machine would have needed at least.
struct OfflineRow {
  PlannedRow plan;
  double context = 0;           // of decoding: tokens that a sequence held, on average over the measured steps
  std::vector<double> seconds;  // of a step, of a prompt, or of the list: one for each repetition, itself a median
  double tokens_per_second = 0;
  MachineLimits limits;  // mean of what was measured just before and just after
  MachineLimits before, after;
  Arithmetic arithmetic = Arithmetic::bf16;  // of products with the weights
  Work work;                                 // of that step or prompt; nothing for lists
  double floor_seconds = 0;                  // of the work as a whole
  double by_op_seconds = 0;                  // the sum of the ops' floors: what ops can reach that run one after the other

  // Of lists only.
  std::int64_t output_tokens = 0;
  double token_seconds_p50 = 0, token_seconds_p99 = 0;  // between two tokens of a sequence
  std::uint64_t adapter_loads = 0;
};

[[nodiscard]] Json to_json(const OfflineRow& row);

// A table for people: the line of names, and a line of figures for each row.
[[nodiscard]] std::string offline_table_head();
[[nodiscard]] std::string offline_table_line(const OfflineRow& row);

}  // namespace slora::bench
