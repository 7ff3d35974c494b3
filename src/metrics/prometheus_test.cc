#include "metrics/prometheus.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace slora {
namespace {

TEST(PrometheusWriter, WritesHelpTypeAndSamples) {
  PrometheusWriter writer;
  writer.family("slora_tokens_total", "Tokens made", MetricKind::counter);
  writer.sample({}, std::uint64_t{3});
  writer.sample({{"model", "base"}, {"kind", "prompt"}}, std::uint64_t{18446744073709551615u});
  EXPECT_EQ(writer.text(),
            "# HELP slora_tokens_total Tokens made\n"
            "# TYPE slora_tokens_total counter\n"
            "slora_tokens_total 3\n"
            "slora_tokens_total{model=\"base\",kind=\"prompt\"} 18446744073709551615\n");
}

TEST(PrometheusWriter, EscapesWhatComesFromOutside) {
  PrometheusWriter writer;
  writer.family("vllm:info", "a \\ and\nb \"c\"", MetricKind::gauge);
  writer.sample({{"name", "q\"\\\n\xc3\xa9} 1"}}, 1.0);
  EXPECT_EQ(writer.text(),
            "# HELP vllm:info a \\\\ and\\nb \"c\"\n"
            "# TYPE vllm:info gauge\n"
            "vllm:info{name=\"q\\\"\\\\\\n\xc3\xa9} 1\"} 1\n");
}

TEST(PrometheusWriter, WritesNumbersThatReadBack) {
  PrometheusWriter writer;
  writer.family("x", "", MetricKind::gauge);
  for (const double value : {0.1, 1e300, -2.5, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    writer.sample({}, value);
  }
  EXPECT_EQ(writer.text(), "# HELP x \n# TYPE x gauge\nx 0.1\nx 1e+300\nx -2.5\nx +Inf\nx -Inf\nx NaN\n");
}

TEST(PrometheusWriter, WritesCumulativeHistograms) {
  PrometheusWriter writer;
  writer.family("h", "x", MetricKind::histogram);
  writer.histogram({{"m", "a"}}, std::array{0.5, 1.0}, std::array<std::uint64_t, 3>{2, 0, 1}, 4.25);
  EXPECT_EQ(writer.text(),
            "# HELP h x\n# TYPE h histogram\n"
            "h_bucket{m=\"a\",le=\"0.5\"} 2\n"
            "h_bucket{m=\"a\",le=\"1\"} 2\n"
            "h_bucket{m=\"a\",le=\"+Inf\"} 3\n"
            "h_sum{m=\"a\"} 4.25\n"
            "h_count{m=\"a\"} 3\n");
}

TEST(Prometheus, KnowsValidNames) {
  for (const char* name : {"a", "vllm:x_total", "_x9"}) EXPECT_TRUE(is_metric_name(name)) << name;
  for (const char* name : {"", "9a", "a-b", "a b", "\xc3\xa9"}) EXPECT_FALSE(is_metric_name(name)) << name;
  for (const char* name : {"a", "_x9"}) EXPECT_TRUE(is_label_name(name)) << name;
  for (const char* name : {"", "9a", "a:b", "__name__", "le"}) EXPECT_FALSE(is_label_name(name)) << name;
}

}  // namespace
}  // namespace slora
