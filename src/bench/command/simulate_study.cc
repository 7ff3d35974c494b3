#include "bench/command/simulate_study.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/command/log.h"
#include "bench/command/rate_runs.h"
#include "bench/machine_facts.h"
#include "bench/simulation/study.h"
#include "bench/simulation/study_report.h"
#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"

namespace slora {
namespace {

constexpr double kProgressUnits = 1000;  // of one case

Json study_record(const std::string& command_line, const bench::Study& study) {
  const bench::MachineFacts facts = bench::machine_facts();
  return {{"command", command_line}, {"study", study.name}, {"simulated", true}, {"commit", facts.commit}, {"date", facts.date}};
}

void print_row(const bench::StudyRow& row, const bench::Study& study, std::string& table) {
  if (row.point.table != table) {
    table = row.point.table;
    fmt::print("\n{}\n{}\n", table, bench::study_table_head(study));
  }
  for (const std::string& line : bench::study_table_lines(row)) fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace

std::string study_help() {
  std::string lines;
  for (const bench::Study& study : bench::studies()) lines += fmt::format("  {:<12}{}\n", study.name, study.summary);
  return lines;
}

int run_simulate_study(const SimulateStudyArguments& arguments, const std::string& command_line) {
  const Result<const bench::Study*> found = bench::find_study(arguments.name);
  if (!found) return report(found.error());
  const bench::Study& study = **found;
  const Result<std::vector<bench::StudyCase>> cases = study.cases({.device = arguments.device, .setting = arguments.setting});
  if (!cases) return report(cases.error());
  if (cases->empty()) return report({"bad_option", "--device, --setting: the study has no such case", {}});
  const int seeds = arguments.seeds > 0 ? arguments.seeds : study.seeds;
  const Interrupt interrupt("stopping this simulation");
  if (Status checked = check_svg(arguments.svg); !checked) return report(checked.error());
  BenchLog log;
  if (Status opened = log.open(arguments.json); !opened) return report(opened.error());
  log.write(study_record(command_line, study));

  fmt::print("{}: {}\nSimulated, not measured. In brackets: what S-LoRA's evaluation measured.\n", study.name, study.summary);
  std::string table;
  std::vector<bench::StudyRow> rows;
  for (std::size_t i = 0; i < cases->size(); ++i) {
    auto bar = std::make_unique<ProgressBar>();
    const auto progress = [&](double share) {
      bar->show("Simulating", static_cast<std::uint64_t>((static_cast<double>(i) + share) * kProgressUnits),
                static_cast<std::uint64_t>(static_cast<double>(cases->size()) * kProgressUnits));
      return !interrupt.requested().load();
    };
    Result<bench::StudyRow> row = bench::run_case((*cases)[i], study, seeds, progress);
    bar.reset();  // clears its line
    if (!row) return report(row.error());
    if (interrupt.requested().load()) break;
    print_row(*row, study, table);
    log.write(to_json(*row, study));
    rows.push_back(std::move(*row));
  }
  if (Status written = write_svg(arguments.svg, bench::charts_of(rows, study)); !written) return report(written.error());
  if (Status closed = log.close(); !closed) return report(closed.error());
  if (!interrupt.requested().load()) return 0;
  fmt::print("interrupted: {} of {} cases were simulated\n", rows.size(), cases->size());
  return kInterrupted;
}

}  // namespace slora
