#include "metrics/metrics.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <thread>

namespace slora {
namespace {

std::string text_of(const MetricsRegistry& registry) {
  PrometheusWriter writer;
  registry.write(writer);
  return writer.text();
}

TEST(MetricsRegistry, GivesTheSameMetricForTheSameLabels) {
  MetricsRegistry registry;
  Counter& first = registry.counter("requests_total", "Requests", {{"model", "a"}});
  Counter& other = registry.counter("requests_total", "Requests", {{"model", "b"}});
  EXPECT_EQ(&first, &registry.counter("requests_total", "Requests", {{"model", "a"}}));
  EXPECT_NE(&first, &other);
}

TEST(MetricsRegistry, KeepsReferencesWhileItGrows) {
  MetricsRegistry registry;
  Counter& first = registry.counter("c", "x", {{"n", "first"}});
  for (int i = 0; i < 1000; ++i) registry.counter("c", "x", {{"n", std::to_string(i)}}).add();
  first.add(7);
  EXPECT_NE(text_of(registry).find("c{n=\"first\"} 7\n"), std::string::npos);
}

TEST(MetricsRegistry, WritesFamiliesInOrderOfRegistration) {
  MetricsRegistry registry;
  registry.gauge("z", "last letter").set(2.5);
  registry.counter("a_total", "first letter").add(2);
  registry.histogram("h", "spread", std::array{1.0}).observe(0.5);
  EXPECT_EQ(text_of(registry),
            "# HELP z last letter\n# TYPE z gauge\nz 2.5\n"
            "# HELP a_total first letter\n# TYPE a_total counter\na_total 2\n"
            "# HELP h spread\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0.5\nh_count 1\n");
}

TEST(Gauge, GoesUpAndDown) {
  Gauge gauge;
  gauge.set(3);
  gauge.add(-4.5);
  EXPECT_EQ(gauge.value(), -1.5);
}

TEST(Histogram, CountsBoundsAsInsideAndTheRestAtTheEnd) {
  Histogram histogram(std::array{1.0, 2.0});
  for (const double value : {0.0, 1.0, 1.5, 2.0, 2.1, 1e9, -5.0}) histogram.observe(value);
  EXPECT_EQ(histogram.counts(), (std::vector<std::uint64_t>{3, 2, 2}));
  histogram.observe(std::numeric_limits<double>::infinity());
  EXPECT_EQ(histogram.counts().back(), 3u);
}

TEST(Histogram, WithoutBoundsOnlyCounts) {
  Histogram histogram({});
  histogram.observe(4);
  EXPECT_EQ(histogram.counts(), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(histogram.sum(), 4.0);
}

TEST(Metrics, LoseNothingBetweenThreads) {
  constexpr int kThreads = 4, kRounds = 20'000;
  MetricsRegistry registry;
  Counter& counter = registry.counter("c", "x");
  Histogram& histogram = registry.histogram("h", "x", std::array{0.5});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
          counter.add();
          histogram.observe(1.0);
          if (i % 1000 == 0) registry.gauge("g", "x", {{"i", std::to_string(i)}}).add(1);
          if (i % 5000 == 0) text_of(registry);
        }
      });
    }
  }
  EXPECT_EQ(counter.value(), kThreads * kRounds);
  EXPECT_EQ(histogram.counts()[1], kThreads * kRounds);
  EXPECT_EQ(histogram.sum(), kThreads * kRounds);
}

TEST(MetricsDeathTest, RefusesNamesThatBreakTheFormat) {
  MetricsRegistry registry;
  EXPECT_DEATH(registry.counter("a b", "x"), "a valid metric name");
  EXPECT_DEATH(registry.counter("a", "x", {{"le", "1"}}), "valid label names");
  registry.counter("a", "x", {{"l", "1"}});
  EXPECT_DEATH(registry.gauge("a", "x", {{"l", "1"}}), "one kind per metric name");
  EXPECT_DEATH(registry.counter("a", "x"), "one set of label names");
  EXPECT_DEATH(Histogram(std::array{2.0, 1.0}), "bounds that increase");
}

}  // namespace
}  // namespace slora
