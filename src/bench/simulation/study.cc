#include "bench/simulation/study.h"

#include <algorithm>
#include <array>
#include <utility>

#include "bench/simulation/released_trace.h"
#include "bench/simulation/study_cases.h"

namespace slora::bench {
namespace {

constexpr std::array kStudies = {
    Study{"adapters", "throughput against the number of adapters, 0 to 2,000 (Table 3, Figure 5)", "adapters", "n",
          StudyMetric::requests_per_second, 1, StudyClients::together, adapter_cases},
    Study{"rate", "first token and SLO against the request rate (Figure 6)", "requests/s offered", "R", StudyMetric::slo_attainment, 1,
          StudyClients::together, rate_cases},
    Study{"trace", "the same with an Arena-like trace of 26 adapters (Figure 7)", "requests/s offered", "R", StudyMetric::slo_attainment, 1,
          StudyClients::together, trace_cases},
    Study{"merge", "adapters on the fly against one merged at a time (Figure 9)", "adapters", "n", StudyMetric::requests_per_second, 1,
          StudyClients::together, merge_cases},
    Study{"abort", "FCFS, LCFS, early abort and deadlines under bursts (Figure 10)", "cv of arrivals", "cv", StudyMetric::slo_attainment, 1,
          StudyClients::together, abort_cases},
    Study{"clustering", "batches of at most d adapters (Figures 11 and 12)", "adapters of a batch, d", "d", StudyMetric::slo_attainment, 1,
          StudyClients::together, clustering_cases},
    Study{"memory", "one pool against separate memory and padded products (Figure 5)", "adapters", "n", StudyMetric::requests_per_second, 1,
          StudyClients::together, memory_cases},
    Study{"eviction", "bytes copied by eviction order and prefetch, over skewed traces", "alpha of popularity", "alpha",
          StudyMetric::copied_gigabytes, 1, StudyClients::together, eviction_cases},
    Study{"fairness", "100 clients, one of which sends as much as the others together", "requests/s offered", "R", StudyMetric::first_token,
          1, StudyClients::apart, fairness_cases},
    Study{"scale", "1,000 to 100,000 adapters", "adapters", "n", StudyMetric::requests_per_second, 1, StudyClients::together, scale_cases},
};

StudyFigures figures_of(const ServingMetrics& metrics, const SimulationOutcome& outcome) {
  const auto steps = static_cast<double>(std::max<std::uint64_t>(outcome.steps, 1));
  return {.requests_per_second = metrics.requests_per_second,
          .latency = metrics.latency.mean,
          .first_token = metrics.first_token.mean,
          .first_token_p99 = metrics.first_token.p99,
          .slo_attainment = metrics.slo_attainment,
          .satisfaction = metrics.satisfaction,
          .aborted = static_cast<double>(metrics.aborted),
          .preempted = static_cast<double>(outcome.stats.preemptions),
          .loads = static_cast<double>(outcome.stats.adapter_loads),
          .copied_bytes = outcome.copied_bytes,
          .batch = outcome.sequence_steps / steps,
          .adapters = outcome.adapter_steps / steps,
          .seconds = outcome.seconds,
          .copy_seconds = outcome.copy_seconds};
}

constexpr double StudyFigures::*kFigures[] = {&StudyFigures::requests_per_second,
                                              &StudyFigures::latency,
                                              &StudyFigures::first_token,
                                              &StudyFigures::first_token_p99,
                                              &StudyFigures::slo_attainment,
                                              &StudyFigures::satisfaction,
                                              &StudyFigures::aborted,
                                              &StudyFigures::preempted,
                                              &StudyFigures::loads,
                                              &StudyFigures::copied_bytes,
                                              &StudyFigures::batch,
                                              &StudyFigures::adapters,
                                              &StudyFigures::seconds,
                                              &StudyFigures::copy_seconds};

void add(StudyFigures& sum, const StudyFigures& figures, double weight) {
  for (const auto figure : kFigures) sum.*figure += weight * (figures.*figure);
}

ClientFigures client_figures(std::string name, const ServingMetrics& metrics) {
  return {std::move(name), static_cast<double>(metrics.requests), metrics.first_token.mean, metrics.first_token.p99,
          metrics.slo_attainment};
}

// Of the same clients in the same order; `sums` may be empty, which is zero.
void add(std::vector<ClientFigures>& sums, const std::vector<ClientFigures>& clients, double weight) {
  for (std::size_t i = 0; i < clients.size(); ++i) {
    if (i == sums.size()) sums.push_back({.name = clients[i].name});
    for (const auto figure :
         {&ClientFigures::requests, &ClientFigures::first_token, &ClientFigures::first_token_p99, &ClientFigures::slo_attainment})
      sums[i].*figure += weight * (clients[i].*figure);
  }
}

// Of the requests of client 0, and of those of all others together.
std::vector<ClientFigures> figures_by_client(const Trace& trace, const SimulationOutcome& outcome, const ServingOptions& options) {
  std::array<Trace, 2> parts;
  std::array<std::vector<ServedRequest>, 2> served;
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const std::size_t part = trace.requests[i].client == 0 ? 0 : 1;
    served[part].push_back(outcome.served[i]);
    served[part].back().request = static_cast<std::int32_t>(parts[part].requests.size());
    parts[part].requests.push_back(trace.requests[i]);
  }
  std::vector<ClientFigures> figures;
  for (const std::size_t part : {0, 1}) {
    parts[part].adapter_count = trace.adapter_count;
    parts[part].seconds = trace.seconds;
    figures.push_back(client_figures(part == 0 ? "client 0" : "all others", serving_metrics_of(parts[part], served[part], options)));
  }
  return figures;
}

struct CaseRun {
  StudyFigures figures;
  std::vector<ClientFigures> clients;
  std::uint32_t split = 0;
};

Result<CaseRun> run_seed(const StudyCase& point, const Study& study, std::uint64_t seed, const SimulationProgress& progress) {
  WorkloadOptions workload = point.workload;
  workload.seed = seed;
  const bool is_released = workload.kind == WorkloadKind::slora_release && workload.client_weights.size() < 2 && workload.cv >= 1;
  const Result<Trace> trace = is_released ? make_released_trace(workload) : make_workload(workload);
  if (!trace) return tl::unexpected(trace.error());
  const ServingOptions serving{.slo_seconds = point.setup.slo_seconds};
  CaseRun best;
  std::vector<std::uint32_t> splits = point.splits;
  if (splits.empty()) splits.push_back(point.setup.scheduler.adapter_pages_separate);
  for (const std::uint32_t split : splits) {
    SimulationSetup setup = point.setup;
    setup.scheduler.adapter_pages_separate = split;
    const Result<SimulationOutcome> outcome = simulate(*trace, setup, progress);
    if (!outcome) return tl::unexpected(outcome.error());
    const StudyFigures figures = figures_of(serving_metrics_of(*trace, outcome->served, serving), *outcome);
    if (split != splits.front() && figures.requests_per_second <= best.figures.requests_per_second) continue;
    best = {figures, {}, split};
    if (study.clients == StudyClients::apart) best.clients = figures_by_client(*trace, *outcome, serving);
  }
  return best;
}

}  // namespace

std::span<const Study> studies() { return kStudies; }

Result<const Study*> find_study(std::string_view name) {
  std::string names;
  for (const Study& study : kStudies) {
    if (study.name == name) return &study;
    names.append(names.empty() ? "" : ", ").append(study.name);
  }
  return error("bad_option", "--study: expected one of {}, found \"{}\"", names, name);
}

std::string_view label_of(StudyMetric metric) {
  switch (metric) {
    case StudyMetric::requests_per_second:
      return "requests/s";
    case StudyMetric::slo_attainment:
      return "SLO attainment, %";
    case StudyMetric::first_token:
      return "first token, s";
    case StudyMetric::copied_gigabytes:
      break;
  }
  return "adapters copied, GB";
}

namespace {

// Of simulated and of published figures; `copied` is what only the former have.
template <class Figures>
double value_of_either(const Figures& figures, StudyMetric metric, double copied) {
  switch (metric) {
    case StudyMetric::requests_per_second:
      return figures.requests_per_second;
    case StudyMetric::slo_attainment:
      return 100 * figures.slo_attainment;
    case StudyMetric::first_token:
      return figures.first_token;
    case StudyMetric::copied_gigabytes:
      break;
  }
  return copied;
}

}  // namespace

double value_of(const StudyFigures& figures, StudyMetric metric) { return value_of_either(figures, metric, figures.copied_bytes / 1e9); }

double value_of(const PublishedFigures& figures, StudyMetric metric) { return value_of_either(figures, metric, kNotPublished); }

Result<StudyRow> run_case(const StudyCase& point, const Study& study, int seeds, const SimulationProgress& progress) {
  const Timestamp begin = SteadyClock().now();
  StudyRow row{.point = point, .slo_min = 1, .seeds = seeds};
  for (int i = 0; i < seeds; ++i) {
    const auto part = [&](double share) { return progress((i + share) / seeds); };
    const Result<CaseRun> run =
        run_seed(point, study, point.workload.seed + static_cast<std::uint64_t>(i), progress ? SimulationProgress(part) : nullptr);
    if (!run) return tl::unexpected(run.error());
    add(row.figures, run->figures, 1.0 / seeds);
    row.slo_min = std::min(row.slo_min, run->figures.slo_attainment);
    row.slo_max = std::max(row.slo_max, run->figures.slo_attainment);
    if (run->split > 0) row.splits.push_back(run->split);
    add(row.clients, run->clients, 1.0 / seeds);
  }
  row.wall_seconds = seconds(SteadyClock().now() - begin);
  return row;
}

}  // namespace slora::bench
