// Load: how many adapters, how many requests.
#include "bench/simulation/study_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/check.h"

namespace slora::bench {

StudyCase make_case(const Offered& offered, std::string table, std::string series, double x) {
  Result<SimulationSetup> setup = make_setup(offered.device, offered.setting);
  check(setup.has_value(), "expected a device and a setting of the tables");
  StudyCase point{.table = std::move(table), .series = std::move(series), .x = x};
  WorkloadOptions& workload = point.workload;
  workload.kind = WorkloadKind::slora_release;
  workload.adapter_count = offered.adapter_count;
  workload.alpha = offered.alpha;
  workload.rate = offered.rate;
  workload.cv = offered.cv;
  workload.seconds = offered.seconds;
  point.setup = std::move(*setup);
  return point;
}

StudyCase make_released_case(const Offered& offered, std::string table, std::string series, double x, ReleasedOrder order,
                             std::int32_t cluster_adapters) {
  StudyCase point = make_case(offered, std::move(table), std::move(series), x);
  use_released(point.setup, order, cluster_adapters);
  return point;
}

void set_published(StudyCase& point, const PublishedKey& key) {
  point.published = find_published(key);
  point.published_system = key.system;
}

namespace {

struct AdapterSeries {
  std::string_view source;
  Offered offered;
  std::vector<std::int32_t> counts;
};

const std::array kAdapterSeries = {
    AdapterSeries{"table-3", {.device = "A100-80", .setting = "S1", .rate = 10, .seconds = 120}, {0, 5, 100, 1000, 2000}},
    AdapterSeries{"table-3", {.device = "A100-80", .setting = "S2", .rate = 10, .seconds = 120}, {0, 5, 100, 1000, 2000}},
    AdapterSeries{"table-3", {.device = "A100-80", .setting = "S4", .rate = 10, .seconds = 120}, {0, 2, 5, 100, 1000}},
    AdapterSeries{"figure-5", {.device = "A10G", .setting = "S1", .rate = 2}, {0, 1, 20, 50, 100, 200}},
    AdapterSeries{"figure-5", {.device = "A10G", .setting = "S2", .rate = 2}, {0, 1, 20, 50, 100, 200}},
    AdapterSeries{"figure-5", {.device = "A100-40", .setting = "S4", .rate = 2}, {0, 1, 20, 50, 100, 200}},
    AdapterSeries{"figure-5", {.device = "A100-80", .setting = "S2", .rate = 10}, {0, 1, 20, 50, 100, 200}},
    AdapterSeries{"figure-5", {.device = "A100-80", .setting = "S4", .rate = 6}, {0, 1, 100, 200, 400, 1000}},
};

struct RateSeries {
  Offered offered;
  std::vector<double> rates;
};

const std::array kRateSeries = {
    RateSeries{{.device = "A10G", .setting = "S1"}, {1, 1.5, 2, 2.5}},
    RateSeries{{.device = "A10G", .setting = "S2"}, {1, 1.5, 2, 2.5}},
    RateSeries{{.device = "A100-80", .setting = "S4", .adapter_count = 400}, {1, 2, 4, 6, 8}},
};

std::string title_of(std::string_view source, const Offered& offered, std::string_view rest) {
  return fmt::format("{}: {}, {}", source, offered.name(), rest);
}

}  // namespace

Result<std::vector<StudyCase>> adapter_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (const AdapterSeries& series : kAdapterSeries) {
    Offered offered = series.offered;
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = title_of(series.source, offered, fmt::format("R = {}, {} s", offered.rate, offered.seconds));
    for (const std::int32_t count : series.counts) {
      offered.adapter_count = count;
      cases.push_back(make_case(offered, table, "slora fcfs", count));
      cases.push_back(make_released_case(offered, table, "released fcfs", count, ReleasedOrder::fcfs));
      for (StudyCase& point : std::span(cases).last(2)) {
        const std::string name = offered.name();
        set_published(point, {series.source, name, "slora", static_cast<double>(count)});
      }
    }
  }
  return cases;
}

Result<std::vector<StudyCase>> rate_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (const RateSeries& series : kRateSeries) {
    Offered offered = series.offered;
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = title_of("figure-6", offered, fmt::format("n = {}", offered.adapter_count));
    const std::string name = offered.name();
    for (const double rate : series.rates) {
      offered.rate = rate;
      const auto add = [&](StudyCase point, std::string_view system) {
        set_published(point, {"figure-6", name, system, rate});
        cases.push_back(std::move(point));
      };
      add(make_case(offered, table, "slora fcfs", rate), "slora");
      add(make_released_case(offered, table, "released fcfs", rate, ReleasedOrder::fcfs), "slora");
      StudyCase separate = make_case(offered, table, "separate memory", rate);
      separate_memory(separate);
      add(std::move(separate), "no-unify-mem");
      StudyCase padded = make_case(offered, table, "padded products", rate);
      padded.setup.compute = AdapterCompute::padded;
      add(std::move(padded), "bmm");
    }
  }
  return cases;
}

// The trace itself is not published: 26 adapters, a mean input of 85 and output of 165 tokens. Popularity is taken to be Zipf's, lengths
// to be uniform, as nothing more is known.
Result<std::vector<StudyCase>> trace_cases(const StudyFilter& filter) {
  Offered offered{.device = "A10G", .setting = "S2", .adapter_count = 26};
  std::vector<StudyCase> cases;
  if (!filter.takes(offered.device, offered.setting)) return cases;
  const std::string table = title_of("figure-7", offered, "n = 26");
  const std::string name = offered.name();
  for (const double rate : {1.0, 1.5, 2.0, 2.5, 3.0, 4.0}) {
    offered.rate = rate;
    const auto add = [&](StudyCase point, std::string_view system) {
      point.workload.kind = WorkloadKind::zipf;
      point.workload.input_tokens = {.min = 1, .max = 169};
      point.workload.output_tokens = {.min = 1, .max = 329};
      point.published = find_published({"figure-7", offered.name(), system, rate});
      cases.push_back(std::move(point));
    };
    add(make_case(offered, table, "slora fcfs", rate), "slora");
    add(make_released_case(offered, table, "released fcfs", rate, ReleasedOrder::fcfs), "slora");
    StudyCase separate = make_case(offered, table, "separate memory", rate);
    separate_memory(separate);
    add(std::move(separate), "no-unify-mem");
  }
  return cases;
}

Result<std::vector<StudyCase>> merge_cases(const StudyFilter& filter) {
  Offered offered{.device = "A10G", .setting = "S2", .rate = 2, .seconds = 60};
  std::vector<StudyCase> cases;
  if (!filter.takes(offered.device, offered.setting)) return cases;
  const std::string name = offered.name();
  for (const double alpha : {0.1, 0.3, 0.6, 1.0}) {
    offered.alpha = alpha;
    const std::string table = title_of("figure-9", offered, fmt::format("R = 2, 60 s, alpha = {}", alpha));
    for (const std::int32_t count : {1, 2, 5}) {
      offered.adapter_count = count;
      const auto add = [&](StudyCase point, std::string_view system) {
        set_published(point, {"figure-9", name, system, static_cast<double>(count), alpha});
        cases.push_back(std::move(point));
      };
      add(make_released_case(offered, table, "merged", count, ReleasedOrder::merged), "merge");
      add(make_released_case(offered, table, "released fcfs", count, ReleasedOrder::fcfs), "slora");
      add(make_case(offered, table, "slora fcfs", count), "slora");
    }
  }
  return cases;
}

}  // namespace slora::bench
