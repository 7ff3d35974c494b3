#include "bench/workload/serving_charts.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

TEST(ServingCharts, ShowRatesInOrder) {
  RateCurve curve{"fcfs", {}};
  for (const double rate : {4.0, 1.0, 2.0}) {
    ServingMetrics metrics;
    metrics.slo_attainment = 1 / rate;
    metrics.first_token.p50 = rate;
    metrics.first_token.p99 = 2 * rate;
    metrics.requests_per_second = rate / 2;
    curve.runs.push_back({rate, metrics});
  }
  const std::vector<LineChart> charts = rate_charts(std::vector{curve});
  ASSERT_EQ(charts.size(), 3u);
  ASSERT_EQ(charts[0].series.size(), 1u);
  ASSERT_EQ(charts[0].series[0].points.size(), 3u);
  EXPECT_EQ(charts[0].series[0].points[0].x, 1);
  EXPECT_EQ(charts[0].series[0].points[1].y, 50);
  ASSERT_EQ(charts[1].series.size(), 2u);
  EXPECT_EQ(charts[1].series[1].name, "fcfs p99");
  EXPECT_EQ(charts[1].series[1].points[2].y, 8);
  EXPECT_EQ(charts[2].series[0].points[2].y, 2);
}

TEST(ServingCharts, ShowSharesOfAllRequests) {
  Trace trace;
  trace.requests.resize(4000);
  std::vector<ServedRequest> served;
  for (std::int32_t i = 0; i < 3000; ++i) served.push_back({i, ServedEnd::completed, 1, 1 + 0.001 * i, 2 + 0.001 * i, 5});
  served.push_back({3000, ServedEnd::failed, 1, 2, 3, 1});
  const std::vector<LineChart> charts = latency_charts("run", trace, served);
  ASSERT_EQ(charts.size(), 1u);
  for (const PlotSeries& series : charts[0].series) {
    EXPECT_LE(series.points.size(), 501u);
    EXPECT_EQ(series.points.back().y, 75) << "1000 requests never got there";
  }
  EXPECT_NEAR(charts[0].series[0].points.back().x, 2.999, 1e-9);
  EXPECT_NEAR(charts[0].series[1].points.back().x, 3.999, 1e-9);
}

}  // namespace
}  // namespace slora::bench
