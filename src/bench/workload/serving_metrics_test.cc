#include "bench/workload/serving_metrics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace slora::bench {
namespace {

// Requests that arrive every second, each of 10 tokens in and 5 out.
Trace trace_of(std::size_t count, double seconds) {
  Trace trace;
  for (std::size_t i = 0; i < count; ++i) trace.requests.push_back({static_cast<double>(i), 0, 0, 10, 5});
  trace.adapter_count = 1;
  trace.seconds = seconds;
  return trace;
}

ServedRequest completed(std::int32_t request, double first_after, double last_after) {
  return {request, ServedEnd::completed, static_cast<double>(request), request + first_after, request + last_after, 5};
}

TEST(ServingMetrics, DividesCompletedRequestsByTheTimeToTheEndOfTheLast) {
  const std::vector<ServedRequest> served = {
      completed(0, 1, 2), completed(1, 3, 19), {2, ServedEnd::aborted, 2, -1, -1, 0}, {3, ServedEnd::failed, 3, 4, 90, 2}};
  const ServingMetrics metrics = serving_metrics_of(trace_of(5, 5), served, {});
  EXPECT_EQ(metrics.requests, 5u);
  EXPECT_EQ(metrics.completed, 2u);
  EXPECT_EQ(metrics.aborted, 1u);
  EXPECT_EQ(metrics.failed, 1u);
  EXPECT_EQ(metrics.abandoned, 1u) << "the trace's fifth request has no outcome";
  EXPECT_DOUBLE_EQ(metrics.seconds, 20);
  EXPECT_DOUBLE_EQ(metrics.requests_per_second, 0.1);
  EXPECT_DOUBLE_EQ(metrics.output_tokens_per_second, 0.5);
  EXPECT_DOUBLE_EQ(metrics.offered_per_second, 1);
  EXPECT_EQ(metrics.input_tokens, 20);
  EXPECT_DOUBLE_EQ(metrics.latency.mean, 10.5);
  EXPECT_DOUBLE_EQ(metrics.first_token.mean, 2);
  EXPECT_DOUBLE_EQ(metrics.output_token.p50, 0.25) << "four intervals in a second";
  EXPECT_DOUBLE_EQ(metrics.output_token.max, 4);
}

TEST(ServingMetrics, CountsAttainmentAndSatisfactionOverAllRequests) {
  const std::vector<ServedRequest> served = {completed(0, 0, 1),
                                             completed(1, 3, 4),
                                             completed(2, 6, 7),
                                             completed(3, 5.999, 9),
                                             {4, ServedEnd::aborted, 4, -1, -1, 0},
                                             {5, ServedEnd::failed, 5, 5.5, 6, 1}};
  const ServingMetrics metrics = serving_metrics_of(trace_of(8, 8), served, {});
  EXPECT_DOUBLE_EQ(metrics.slo_attainment, 3.0 / 8) << "6 s is no attainment, nor is a first token before a failure";
  EXPECT_NEAR(metrics.satisfaction, (1 + 0.75 + 1 - 5.999 * 5.999 / 36) / 8, 1e-12);
  const ServingMetrics strict = serving_metrics_of(trace_of(8, 8), served, {.slo_seconds = 2});
  EXPECT_DOUBLE_EQ(strict.slo_attainment, 1.0 / 8);
  EXPECT_DOUBLE_EQ(strict.satisfaction, 1.0 / 8);
}

TEST(ServingMetrics, CountsTheFirstTokenOfARequestThatStillRan) {
  const std::vector<ServedRequest> served = {{0, ServedEnd::abandoned, 0, 1, -1, 3}};
  EXPECT_DOUBLE_EQ(serving_metrics_of(trace_of(1, 1), served, {}).slo_attainment, 1);
}

// S-LoRA's: (completed - 2 int(10 R)) / (seconds - 2 x 10).
TEST(ServingMetrics, LeavesOutBothEndsForTheStripThroughput) {
  std::vector<ServedRequest> served;
  for (std::int32_t i = 0; i < 100; ++i) served.push_back(completed(i, 1, 21));
  const ServingMetrics metrics = serving_metrics_of(trace_of(100, 100), served, {});
  EXPECT_DOUBLE_EQ(metrics.requests_per_second, 100.0 / 120);
  EXPECT_DOUBLE_EQ(metrics.strip_requests_per_second, 80.0 / 100);
  served.resize(1);
  EXPECT_EQ(serving_metrics_of(trace_of(1, 1), served, {}).strip_requests_per_second, 0);
}

TEST(ServingMetrics, AreZeroWithoutRequests) {
  const ServingMetrics metrics = serving_metrics_of({}, {}, {});
  EXPECT_EQ(metrics.requests_per_second, 0);
  EXPECT_EQ(metrics.slo_attainment, 0);
  EXPECT_EQ(metrics.latency.count, 0u);
}

TEST(ServingMetrics, SplitsByClient) {
  Trace trace = trace_of(4, 4);
  trace.requests[1].client = 2;
  const std::vector<ServedRequest> served = {completed(0, 1, 2), completed(1, 7, 8), completed(2, 1, 2)};
  const std::vector<ServingMetrics> clients = metrics_by_client(trace, served, {});
  ASSERT_EQ(clients.size(), 3u);
  EXPECT_EQ(clients[0].requests, 3u);
  EXPECT_EQ(clients[0].completed, 2u);
  EXPECT_DOUBLE_EQ(clients[0].slo_attainment, 2.0 / 3);
  EXPECT_EQ(clients[1].requests, 0u);
  EXPECT_EQ(clients[2].completed, 1u);
  EXPECT_DOUBLE_EQ(clients[2].slo_attainment, 0);
  EXPECT_DOUBLE_EQ(clients[2].offered_per_second, 0.25);
}

TEST(TimeStats, PercentilesAreValuesThatOccur) {
  std::vector<double> values;
  for (int i = 200; i >= 1; --i) values.push_back(i);
  const TimeStats stats = time_stats_of(values);
  EXPECT_EQ(stats.count, 200u);
  EXPECT_DOUBLE_EQ(stats.mean, 100.5);
  EXPECT_EQ(stats.p50, 100);
  EXPECT_EQ(stats.p90, 180);
  EXPECT_EQ(stats.p99, 198);
  EXPECT_EQ(stats.max, 200);
  EXPECT_EQ(time_stats_of({3}).p50, 3);
  EXPECT_EQ(time_stats_of({3, 4}).p99, 4);
}

TEST(ServingMetrics, WritesEveryFigure) {
  const std::vector<ServedRequest> served = {completed(0, 1, 2)};
  const ServingMetrics metrics = serving_metrics_of(trace_of(1, 1), served, {});
  const Json json = to_json(metrics);
  EXPECT_EQ(json["completed"], 1);
  EXPECT_EQ(json["first_token_seconds"]["p99"], 1.0);
  EXPECT_EQ(json["slo_attainment"], 1.0);
  EXPECT_EQ(to_json(served[0])["end"], "completed");
  EXPECT_EQ(lines_of(metrics).back(), "SLO of 6 s   100.0 % attained, satisfaction 0.972");
}

}  // namespace
}  // namespace slora::bench
