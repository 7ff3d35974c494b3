#pragma once
#include <span>
#include <string>
#include <vector>

#include "bench/simulation/study.h"
#include "formats/json.h"
#include "formats/svg_plot.h"

namespace slora::bench {

// The printed table: its header, and the lines of a row (one more for each client that is looked at, and one for the
// pages that separate memory gave to adapters, for each seed).
[[nodiscard]] std::string study_table_head(const Study& study);
[[nodiscard]] std::vector<std::string> study_table_lines(const StudyRow& row);

// A short record of a row: what was simulated, its figures, and those that were published.
[[nodiscard]] Json to_json(const StudyRow& row, const Study& study);

// A chart for each table, with a line for each series, and for each published system.
[[nodiscard]] std::vector<LineChart> charts_of(std::span<const StudyRow> rows, const Study& study);

}  // namespace slora::bench
