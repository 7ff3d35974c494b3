#include "bench/op_row.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace slora::bench {

double OpRow::floor() const { return work.bytes + work.operations() > 0 ? floor_seconds(work, arithmetic, limits) : 0; }

Json to_json(const OpRow& row) {
  const double time = median(row.seconds);
  Json json = {{"op", row.op},
               {"shape", row.shape},
               {"rows", row.rows},
               {"seconds", time},
               {"repetition_seconds", row.seconds},
               {"bytes", row.work.bytes},
               {"operations", row.work.operations()},
               {"floor_seconds", row.floor()},
               {"share_of_floor", row.floor() / time},
               {"limits", to_json(row.limits)}};
  if (row.baseline_seconds) json["onednn_seconds"] = *row.baseline_seconds;
  return json;
}

std::string op_table_head() {
  return fmt::format("{:<22} {:<22} {:>5} {:>10} {:>8} {:>9} {:>10} {:>8} {:>10}", "op", "shape", "rows", "us", "GB/s", "GFLOP/s",
                     "floor us", "share", "oneDNN us");
}

// GB/s and GFLOP/s are those of the op.
std::string op_table_line(const OpRow& row) {
  const double time = median(row.seconds);
  std::string line = fmt::format("{:<22} {:<22} {:>5} {:>10.1f}", row.op, row.shape, row.rows, time * 1e6);
  if (row.floor() == 0) return line;
  line += fmt::format(" {:>8.1f} {:>9.1f} {:>10.1f} {:>6.1f} %", row.work.bytes / time / 1e9, row.work.operations() / time / 1e9,
                      row.floor() * 1e6, 100 * row.floor() / time);
  if (row.baseline_seconds) line += fmt::format(" {:>10.1f}", *row.baseline_seconds * 1e6);
  return line;
}

}  // namespace slora::bench
