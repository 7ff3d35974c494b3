#include "bench/command/rate_runs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "bench/workload/trace_file.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

// A workload at this rate.
TraceSource source_of(double rate) {
  WorkloadArguments arguments;
  arguments.options.rate = rate;
  return TraceSource::create(arguments).value();
}

// Records the rates; sustains those below `limit`, and is interrupted at the run with the number `interrupted_at`.
struct RecordedRuns {
  double limit = 1e9;
  std::size_t interrupted_at = 1000;
  std::vector<std::optional<double>> rates = {};

  RateRun run() {
    return [this](std::optional<double> rate) -> Result<std::optional<bench::ServingMetrics>> {
      rates.push_back(rate);
      if (rates.size() > interrupted_at) return std::nullopt;
      bench::ServingMetrics metrics;
      metrics.slo_attainment = rate.value_or(0) < limit ? 1 : 0;
      return metrics;
    };
  }
};

RateArguments rates_of(std::vector<double> rates) {
  RateArguments arguments;
  arguments.rates = std::move(rates);
  return arguments;
}

RateArguments search_rates() {
  RateArguments arguments;
  arguments.find_saturation = true;
  return arguments;
}

TEST(RateRuns, RunOnceAtTheWorkloadsRateOrAtEachGivenOne) {
  RecordedRuns one, several;
  ASSERT_TRUE(run_rates({}, source_of(7), one.run()));
  EXPECT_EQ(one.rates, (std::vector<std::optional<double>>{std::nullopt}));
  EXPECT_EQ(first_rate_of({}, 7), std::nullopt);
  const Result<RatesOutcome> outcome = run_rates(rates_of({2, 0.5}), source_of(7), several.run());
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->interrupted);
  EXPECT_FALSE(outcome->saturation);
  EXPECT_EQ(several.rates, (std::vector<std::optional<double>>{2, 0.5}));
  EXPECT_EQ(first_rate_of(rates_of({2, 0.5}), 7), 2);
}

TEST(RateRuns, StopWhenOneIsInterruptedOrFails) {
  RecordedRuns runs{.interrupted_at = 1};
  const Result<RatesOutcome> outcome = run_rates(rates_of({1, 2, 3}), source_of(7), runs.run());
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->interrupted);
  EXPECT_EQ(runs.rates.size(), 2u);
  const auto failing = [](std::optional<double>) -> Result<std::optional<bench::ServingMetrics>> { return error("E_RUN", "no"); };
  EXPECT_EQ(run_rates(rates_of({1}), source_of(7), failing).error().code, "E_RUN");
  EXPECT_EQ(run_rates(search_rates(), source_of(7), failing).error().code, "E_RUN");
}

TEST(RateRuns, SearchForSaturationFromTheWorkloadsRate) {
  RecordedRuns runs{.limit = 20}, interrupted{.interrupted_at = 0};
  const RateArguments search = search_rates();
  EXPECT_EQ(first_rate_of(search, 7), 7);
  const Result<RatesOutcome> outcome = run_rates(search, source_of(7), runs.run());
  ASSERT_TRUE(outcome && outcome->saturation);
  EXPECT_FALSE(outcome->interrupted);
  EXPECT_EQ(runs.rates.front(), 7);
  EXPECT_LT(*outcome->saturation->sustained_rate, 20);
  EXPECT_GE(*outcome->saturation->broken_rate, 20);
  EXPECT_TRUE(run_rates(search, source_of(7), interrupted.run())->interrupted);
}

// Three requests that arrive within two seconds: with an SLO of 6 s all of them may wait for the last, at this rate and any higher one.
TEST(RateRuns, RefuseToSearchWithATraceThatShowsNoLimit) {
  const TemporaryFolder folder;
  WorkloadArguments workload;
  workload.trace = folder.file("trace.jsonl");
  const auto write = [&](double seconds) {
    bench::Trace trace{.requests = {}, .seconds = seconds};
    for (const double part : {0.0, 0.5, 1.0})
      trace.requests.push_back({.arrival = part * seconds, .adapter = -1, .input_tokens = 8, .output_tokens = 8});
    EXPECT_TRUE(bench::write_trace(workload.trace, trace));
    return TraceSource::create(workload).value();
  };
  RateArguments search = search_rates();
  const TraceSource source = write(2);
  EXPECT_EQ(source.rate(), 1.5);
  const Status refused = check_search(search, source);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "bad_option");
  EXPECT_EQ(
      refused.error().message,
      "--find-saturation: expected a trace that lasts as long as the SLO of 6 s at least, found one of 2 s: its requests may all wait for "
      "one another");
  EXPECT_FALSE(check_search(search, write(0)));
  EXPECT_TRUE(check_search({}, source)) << "no search";
  EXPECT_TRUE(check_search(search, source_of(1e6))) << "a workload lasts as long as its options say";
  EXPECT_TRUE(check_search(search, write(6)));

  search.serving.slo_seconds = 0.5;
  ASSERT_TRUE(check_search(search, source));
  RecordedRuns runs;
  const Result<RatesOutcome> outcome = run_rates(search, source, runs.run());
  ASSERT_TRUE(outcome && outcome->saturation);
  EXPECT_EQ(runs.rates, (std::vector<std::optional<double>>{1.5, 3, 6})) << "at 6 requests/s they arrive within the SLO";
  EXPECT_TRUE(outcome->saturation->sustains_rate_max);
}

TEST(RateRuns, SayWhichRateWasSustained) {
  bench::Saturation found;
  found.sustained_rate = 1.5;
  EXPECT_EQ(saturation_line(found),
            "saturation    1.500 requests/s was sustained, no rate was not (the search ended before the limit was known)");
  found.sustains_rate_max = true;
  EXPECT_EQ(saturation_line(found),
            "saturation    1.500 requests/s was sustained, no rate was not (the trace is too short to show the limit)");
  found.sustains_rate_max = false;
  found.broken_rate = 1.6;
  found.is_bracketed = true;
  EXPECT_EQ(saturation_line(found), "saturation    1.500 requests/s was sustained, 1.600 requests/s was not");
}

TEST(WriteSvg, WritesChartsAndSaysWhenItCannot) {
  const TemporaryFolder folder;
  const std::vector<LineChart> charts(1);
  const std::string path = folder.file("chart.svg");
  ASSERT_TRUE(write_svg(path, charts));
  const auto svg_bytes = std::filesystem::file_size(path);
  EXPECT_GT(svg_bytes, 0u);
  std::string word;
  std::ifstream(path) >> word;
  EXPECT_EQ(word, "<svg");
  EXPECT_TRUE(write_svg("", charts));
  EXPECT_TRUE(write_svg(folder.file("none.svg"), {}));
  EXPECT_FALSE(std::ifstream(folder.file("none.svg")));
  ASSERT_TRUE(check_svg(path));
  EXPECT_EQ(std::filesystem::file_size(path), svg_bytes) << "checking leaves it as it is";
  EXPECT_TRUE(check_svg(folder.file("none.svg")));
  EXPECT_FALSE(std::ifstream(folder.file("none.svg"))) << "checking leaves nothing there";
  EXPECT_TRUE(check_svg(""));
  const std::string missing = folder.file("no/folder/chart.svg");
  EXPECT_EQ(check_svg(missing).error().message, "--svg: " + missing + " can't be written");
  EXPECT_EQ(write_svg(missing, charts).error().message, "--svg: " + missing + " can't be written");
}

}  // namespace
}  // namespace slora
