#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/simulation/published.h"
#include "bench/simulation/simulation.h"
#include "bench/workload/serving_metrics.h"
#include "bench/workload/workload.h"

namespace slora::bench {

// One point of a study: what is simulated, where it stands in the tables and plots, and what was published for it.
struct StudyCase {
  std::string table;   // rows of one table share it, as "A10G S2, R = 2"
  std::string series;  // "slora", "released fcfs", ...: one line of the plot
  double x = 0;        // what the study varies
  WorkloadOptions workload = {};
  SimulationSetup setup = {};
  // Separate memory: pages of adapters to try; the split with the highest throughput counts. Empty: as the setup says.
  std::vector<std::uint32_t> splits = {};
  std::string published_system = {};  // of what was published: the name in the figure's legend
  std::optional<PublishedFigures> published = {};
};

// What a run or the mean of several came to. Times in seconds; shares from 0 to 1.
struct StudyFigures {
  double requests_per_second = 0, latency = 0, first_token = 0, first_token_p99 = 0, slo_attainment = 0, satisfaction = 0;
  double aborted = 0, preempted = 0, loads = 0, copied_bytes = 0;  // requests, sequences, adapters, bytes
  double batch = 0, adapters = 0;                                  // mean sequences and distinct adapters of a step
  double seconds = 0;                                              // virtual
  double copy_seconds = 0;
};

// Figures of one client, or of several together, where a study looks at clients. Means over the seeds, as StudyFigures.
struct ClientFigures {
  std::string name;
  double requests = 0, first_token = 0, first_token_p99 = 0, slo_attainment = 0;
};

struct StudyRow {
  StudyCase point;
  StudyFigures figures = {};  // means over the seeds
  double slo_min = 0, slo_max = 0;
  int seeds = 1;
  std::vector<std::uint32_t> splits = {};  // of each seed, pages of adapters, if they have their own; else empty
  std::vector<ClientFigures> clients = {};
  double wall_seconds = 0;
};

enum class StudyMetric : std::uint8_t { requests_per_second, slo_attainment, first_token, copied_gigabytes };
[[nodiscard]] std::string_view label_of(StudyMetric metric);
[[nodiscard]] double value_of(const StudyFigures& figures, StudyMetric metric);
// Not a number where nothing was published.
[[nodiscard]] double value_of(const PublishedFigures& figures, StudyMetric metric);

// Which cases of a study are run; empty: all of its devices or settings.
struct StudyFilter {
  std::string device, setting;
  [[nodiscard]] bool takes(std::string_view case_device, std::string_view case_setting) const {
    return (device.empty() || device == case_device) && (setting.empty() || setting == case_setting);
  }
};

enum class StudyClients : std::uint8_t { together, apart };  // apart: client 0 against the others

struct Study {
  std::string_view name, summary;    // of the command line
  std::string_view x_label, x_name;  // of what is varied: for plots, and short for tables
  StudyMetric plotted;
  int seeds = 1;
  StudyClients clients = StudyClients::together;
  Result<std::vector<StudyCase>> (*cases)(const StudyFilter& filter);
};

[[nodiscard]] std::span<const Study> studies();
// Refused with code "bad_option" when no study has this name.
[[nodiscard]] Result<const Study*> find_study(std::string_view name);

// Runs a case with seeds 42, 43, ... and takes means. `progress`: see simulate(); after it returned false, the row is of what was done.
[[nodiscard]] Result<StudyRow> run_case(const StudyCase& point, const Study& study, int seeds, const SimulationProgress& progress = {});

}  // namespace slora::bench
