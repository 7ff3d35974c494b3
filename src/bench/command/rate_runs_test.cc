#include "bench/command/rate_runs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

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
  ASSERT_TRUE(run_rates({}, 7, one.run()));
  EXPECT_EQ(one.rates, (std::vector<std::optional<double>>{std::nullopt}));
  EXPECT_EQ(first_rate_of({}, 7), std::nullopt);
  const Result<RatesOutcome> outcome = run_rates(rates_of({2, 0.5}), 7, several.run());
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->interrupted);
  EXPECT_FALSE(outcome->saturation);
  EXPECT_EQ(several.rates, (std::vector<std::optional<double>>{2, 0.5}));
  EXPECT_EQ(first_rate_of(rates_of({2, 0.5}), 7), 2);
}

TEST(RateRuns, StopWhenOneIsInterruptedOrFails) {
  RecordedRuns runs{.interrupted_at = 1};
  const Result<RatesOutcome> outcome = run_rates(rates_of({1, 2, 3}), 7, runs.run());
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->interrupted);
  EXPECT_EQ(runs.rates.size(), 2u);
  const auto failing = [](std::optional<double>) -> Result<std::optional<bench::ServingMetrics>> { return error("E_RUN", "no"); };
  EXPECT_EQ(run_rates(rates_of({1}), 7, failing).error().code, "E_RUN");
  EXPECT_EQ(run_rates(search_rates(), 7, failing).error().code, "E_RUN");
}

TEST(RateRuns, SearchForSaturationFromTheWorkloadsRate) {
  RecordedRuns runs{.limit = 20}, interrupted{.interrupted_at = 0};
  const RateArguments search = search_rates();
  EXPECT_EQ(first_rate_of(search, 7), 7);
  const Result<RatesOutcome> outcome = run_rates(search, 7, runs.run());
  ASSERT_TRUE(outcome && outcome->saturation);
  EXPECT_FALSE(outcome->interrupted);
  EXPECT_EQ(runs.rates.front(), 7);
  EXPECT_LT(*outcome->saturation->sustained_rate, 20);
  EXPECT_GE(*outcome->saturation->broken_rate, 20);
  EXPECT_TRUE(run_rates(search, 7, interrupted.run())->interrupted);
}

TEST(RateRuns, SayWhichRateWasSustained) {
  bench::Saturation found;
  found.sustained_rate = 1.5;
  EXPECT_EQ(saturation_line(found),
            "saturation    1.500 requests/s was sustained, no rate was not (the search ended before the limit was known)");
  found.broken_rate = 1.6;
  found.is_bracketed = true;
  EXPECT_EQ(saturation_line(found), "saturation    1.500 requests/s was sustained, 1.600 requests/s was not");
}

TEST(WriteSvg, WritesChartsAndSaysWhenItCannot) {
  const TemporaryFolder folder;
  const std::vector<bench::LineChart> charts(1);
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
