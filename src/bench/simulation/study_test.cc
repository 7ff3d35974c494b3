#include "bench/simulation/study.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "bench/simulation/study_cases.h"
#include "bench/simulation/study_report.h"

namespace slora::bench {
namespace {

// S-LoRA's section 4.3 and Figure 10: under bursts, serving the newest first keeps the SLO for more requests than serving by arrival, and
// dropping what is too late keeps it for more still. The figures themselves are met within a few points, on the same requests.
TEST(Studies, EarlyAbortIsBetterThanLcfsAndThatThanFcfsUnderBursts) {
  const Study& study = **find_study("abort");
  std::map<std::string, std::map<double, StudyRow>> rows;
  const std::vector<StudyCase> cases = *study.cases({.device = "A10G", .setting = "S2"});
  for (const StudyCase& point : cases)
    if (point.setup.released && (point.x == 4 || point.x == 8)) rows[point.series][point.x] = *run_case(point, study, 1);
  ASSERT_EQ(rows.size(), 3u);
  for (const double cv : {4.0, 8.0}) {
    SCOPED_TRACE(cv);
    const StudyRow &fcfs = rows["released fcfs"][cv], &lcfs = rows["released lcfs"][cv], &abort = rows["released abort"][cv];
    EXPECT_LT(fcfs.figures.slo_attainment + 0.1, lcfs.figures.slo_attainment);
    EXPECT_LT(lcfs.figures.slo_attainment + 0.05, abort.figures.slo_attainment);
    for (const StudyRow* const row : {&fcfs, &lcfs, &abort}) {
      EXPECT_NEAR(row->figures.slo_attainment, row->point.published->slo_attainment, 0.03) << row->point.series;
      EXPECT_NEAR(row->figures.requests_per_second, row->point.published->requests_per_second, 0.03) << row->point.series;
    }
  }
}

TEST(Studies, EveryStudyHasCasesAndEveryPublishedOneHasPublishedFigures) {
  const std::set<std::string_view> own = {"eviction", "fairness", "scale"};
  for (const Study& study : studies()) {
    SCOPED_TRACE(study.name);
    const Result<std::vector<StudyCase>> cases = study.cases({});
    ASSERT_TRUE(cases.has_value());
    EXPECT_FALSE(cases->empty());
    std::size_t published_count = 0;
    for (const StudyCase& point : *cases) {
      published_count += point.published ? 1 : 0;
      EXPECT_GT(point.setup.scheduler.page_count, point.setup.model.adapter_pages(64)) << point.table;
    }
    EXPECT_EQ(published_count > 0, !own.contains(study.name));
  }
  EXPECT_EQ(find_study("none").error().code, "bad_option");
}

TEST(Studies, TakeOnlyWhatIsAskedFor) {
  const Study& study = **find_study("adapters");
  const std::vector<StudyCase> cases = *study.cases({.device = "A10G", .setting = "S1"});
  for (const StudyCase& point : cases) {
    EXPECT_EQ(point.setup.device.name, "A10G");
    EXPECT_EQ(point.setup.ranks, std::vector<std::int32_t>{8});
  }
  EXPECT_TRUE(study.cases({.device = "H200", .setting = "S1"})->empty());
  EXPECT_EQ(make_setup("B200", "S1").error().code, "bad_option");
  EXPECT_EQ(make_setup("A10G", "S7").error().code, "bad_option");
  EXPECT_EQ(make_setup("A10G", "S4").has_value(), false);  // 26 GB of weights
}

// Separate memory tries several splits and keeps the best; seeds are averaged.
TEST(Studies, ReportTheBestSplitAndMeansOverSeeds) {
  const Study& study = **find_study("memory");
  StudyCase point = make_case({.device = "A10G", .setting = "S2", .seconds = 20}, "table", "separate", 200);
  separate_memory(point);
  ASSERT_GT(point.splits.size(), 1u);
  const StudyRow both = *run_case(point, study, 1);
  double best = 0;
  for (const std::uint32_t split : point.splits) {
    StudyCase one = point;
    one.splits = {split};
    const StudyRow row = *run_case(one, study, 1);
    best = std::max(best, row.figures.requests_per_second);
    if (split == both.splits.front()) {
      EXPECT_EQ(row.figures.requests_per_second, both.figures.requests_per_second);
    }
  }
  EXPECT_EQ(both.figures.requests_per_second, best);
  StudyCase next = point;
  next.workload.seed = 43;
  const double mean = (both.figures.latency + run_case(next, study, 1)->figures.latency) / 2;
  EXPECT_DOUBLE_EQ(run_case(point, study, 2)->figures.latency, mean);
}

// Not those of one seed next to means of all.
TEST(Studies, ReportClientsAsMeansAndTheSplitOfEverySeed) {
  Study study = **find_study("fairness");
  StudyCase point = make_case({.device = "A10G", .setting = "S2", .rate = 3, .seconds = 30}, "table", "slora fcfs", 3);
  point.workload.client_weights = {2, 1, 1};
  separate_memory(point);
  ASSERT_GT(point.splits.size(), 1u);
  std::vector<StudyRow> rows;
  for (const std::uint64_t seed : {42, 43, 44}) {
    StudyCase one = point;
    one.workload.seed = seed;
    rows.push_back(*run_case(one, study, 1));
    ASSERT_EQ(rows.back().splits.size(), 1u);
    ASSERT_EQ(rows.back().clients.size(), 2u);
  }
  const StudyRow all = *run_case(point, study, 3);
  EXPECT_EQ(all.splits, (std::vector<std::uint32_t>{rows[0].splits[0], rows[1].splits[0], rows[2].splits[0]}));
  ASSERT_EQ(all.clients.size(), 2u);
  for (const std::size_t client : {0, 1}) {
    const auto mean = [&](double ClientFigures::*figure) {
      return (rows[0].clients[client].*figure + rows[1].clients[client].*figure + rows[2].clients[client].*figure) / 3;
    };
    EXPECT_NE(rows[2].clients[client].first_token, mean(&ClientFigures::first_token));
    EXPECT_EQ(all.clients[client].name, rows[0].clients[client].name);
    for (const auto figure :
         {&ClientFigures::requests, &ClientFigures::first_token, &ClientFigures::first_token_p99, &ClientFigures::slo_attainment})
      EXPECT_NEAR(all.clients[client].*figure, mean(figure), 1e-9);
  }
  const std::string shown = fmt::format("adapters have {} pages", fmt::join(all.splits, ", "));
  EXPECT_NE(study_table_lines(all).back().find(shown), std::string::npos) << study_table_lines(all).back();
  EXPECT_EQ(to_json(all, study)["adapter_pages_separate_by_seed"].size(), 3u);
}

TEST(Studies, ReportRowsAsTextJsonAndCharts) {
  const Study& study = **find_study("rate");
  StudyRow row{.point = make_case({.device = "A10G", .setting = "S2"}, "table", "slora fcfs", 1.5)};
  row.figures.requests_per_second = 1.25;
  row.figures.slo_attainment = 0.5;
  set_published(row.point, {"figure-6", "A10G S2", "slora", 1.5});
  ASSERT_TRUE(row.point.published);
  const std::vector<std::string> lines = study_table_lines(row);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("1.25 (1.36)"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("50 (98)"), std::string::npos) << lines[0];
  EXPECT_EQ(to_json(row, study)["published"]["requests_per_second"], 1.36);
  StudyRow other = row;
  other.point.x = 2;
  other.point.published.reset();
  const StudyRow rows[] = {row, other};
  const std::vector<LineChart> charts = charts_of(rows, study);
  ASSERT_EQ(charts.size(), 1u);
  ASSERT_EQ(charts[0].series.size(), 2u);
  EXPECT_EQ(charts[0].series[0].points.size(), 2u);
  EXPECT_EQ(charts[0].series[1].name, "published slora");
  EXPECT_EQ(charts[0].series[1].points.size(), 1u);
}

}  // namespace
}  // namespace slora::bench
