#include "bench/simulation/study_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

namespace slora::bench {
namespace {

// A figure and what was published for it, in brackets.
std::string pair_of(double figure, double published, int digits) {
  if (std::isnan(published)) return fmt::format("{:.{}f}", figure, digits);
  return fmt::format("{:.{}f} ({:.{}f})", figure, digits, published, digits);
}

// To four significant digits, which is more than a model is worth.
Json rounded(double value) { return std::strtod(fmt::format("{:.4g}", value).c_str(), nullptr); }

void add_point(std::vector<PlotSeries>& series, const std::string& name, PlotPoint point) {
  if (!std::isfinite(point.y)) return;
  auto found = std::ranges::find(series, name, &PlotSeries::name);
  if (found == series.end()) found = series.insert(series.end(), PlotSeries{name, {}});
  if (found->points.empty() || found->points.back().x != point.x) found->points.push_back(point);
}

LineChart chart_of(std::span<const StudyRow> rows, const Study& study) {
  LineChart chart;
  chart.title = rows.front().point.table;
  chart.x_label = study.x_label;
  chart.y_label = label_of(study.plotted);
  std::vector<PlotSeries> published;
  for (const StudyRow& row : rows) {
    const StudyCase& point = row.point;
    for (const ClientFigures& client : row.clients)
      add_point(chart.series, fmt::format("{}, {}", point.series, client.name), {point.x, client.first_token});
    if (row.clients.empty()) add_point(chart.series, point.series, {point.x, value_of(row.figures, study.plotted)});
    if (point.published)
      add_point(published, fmt::format("published {}", point.published_system), {point.x, value_of(*point.published, study.plotted)});
  }
  chart.series.insert(chart.series.end(), published.begin(), published.end());
  return chart;
}

}  // namespace

std::string study_table_head(const Study& study) {
  return fmt::format("{:>7} {:<24}{:>12}{:>11}{:>15}{:>11}{:>8}{:>11}{:>10}{:>7}{:>7}{:>6}{:>9}", study.x_name, "series", "req/s",
                     "latency s", "first token s", "SLO %", "range", "dropped", "preempted", "loads", "GB", "batch", "adapters");
}

std::vector<std::string> study_table_lines(const StudyRow& row) {
  const StudyFigures& figures = row.figures;
  const PublishedFigures published = row.point.published.value_or(PublishedFigures{});
  const std::string range = row.seeds > 1 ? fmt::format("{:.0f}..{:.0f}", 100 * row.slo_min, 100 * row.slo_max) : "";
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{:>7} {:<24}{:>12}{:>11}{:>15}{:>11}{:>8}{:>11}{:>10.0f}{:>7.0f}{:>7.1f}{:>6.0f}{:>9.1f}", row.point.x,
                              row.point.series, pair_of(figures.requests_per_second, published.requests_per_second, 2),
                              pair_of(figures.latency, published.latency, 0), pair_of(figures.first_token, published.first_token, 1),
                              pair_of(100 * figures.slo_attainment, 100 * published.slo_attainment, 0), range,
                              pair_of(figures.aborted, published.aborted, 0), figures.preempted, figures.loads, figures.copied_bytes / 1e9,
                              figures.batch, figures.adapters));
  for (const ClientFigures& client : row.clients) {
    lines.push_back(fmt::format("{:>7}   {:<22}{:>12}{:>11}{:>15}{:>11}", "", client.name, fmt::format("{:.0f} requests", client.requests),
                                "", fmt::format("{:.1f}", client.first_token), fmt::format("{:.0f}", 100 * client.slo_attainment)));
  }
  if (!row.splits.empty()) lines.push_back(fmt::format("{:>7}   adapters have {} pages", "", fmt::join(row.splits, ", ")));
  return lines;
}

Json to_json(const StudyRow& row, const Study& study) {
  const StudyCase& point = row.point;
  const StudyFigures& figures = row.figures;
  Json json = {{"study", study.name},
               {"table", point.table},
               {"series", point.series},
               {"x", point.x},
               {"seeds", row.seeds},
               {"requests_per_second", rounded(figures.requests_per_second)},
               {"latency", rounded(figures.latency)},
               {"first_token", rounded(figures.first_token)},
               {"first_token_p99", rounded(figures.first_token_p99)},
               {"slo_attainment", rounded(figures.slo_attainment)},
               {"satisfaction", rounded(figures.satisfaction)},
               {"aborted", rounded(figures.aborted)},
               {"preempted", rounded(figures.preempted)},
               {"adapter_loads", rounded(figures.loads)},
               {"copied_bytes", rounded(figures.copied_bytes)},
               {"batch", rounded(figures.batch)},
               {"adapters_per_step", rounded(figures.adapters)}};
  if (row.seeds > 1) json["slo_attainment_range"] = {rounded(row.slo_min), rounded(row.slo_max)};
  if (row.splits.size() == 1) json["adapter_pages_separate"] = row.splits.front();
  if (row.splits.size() > 1) json["adapter_pages_separate_by_seed"] = row.splits;
  for (const ClientFigures& client : row.clients) {
    json["clients"].push_back({{"name", client.name},
                               {"requests", rounded(client.requests)},
                               {"first_token", rounded(client.first_token)},
                               {"first_token_p99", rounded(client.first_token_p99)},
                               {"slo_attainment", rounded(client.slo_attainment)}});
  }
  if (!point.published) return json;
  const auto put = [&](const char* name, double value) {
    if (!std::isnan(value)) json["published"][name] = value;
  };
  put("requests_per_second", point.published->requests_per_second);
  put("latency", point.published->latency);
  put("first_token", point.published->first_token);
  put("slo_attainment", point.published->slo_attainment);
  put("satisfaction", point.published->satisfaction);
  put("aborted", point.published->aborted);
  return json;
}

std::vector<LineChart> charts_of(std::span<const StudyRow> rows, const Study& study) {
  std::vector<LineChart> charts;
  while (!rows.empty()) {
    const auto end = std::ranges::find_if(rows, [&](const StudyRow& row) { return row.point.table != rows.front().point.table; });
    const auto count = static_cast<std::size_t>(end - rows.begin());
    charts.push_back(chart_of(rows.first(count), study));
    rows = rows.subspan(count);
  }
  return charts;
}

}  // namespace slora::bench
