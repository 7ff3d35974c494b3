#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slora {

enum class MetricKind : std::uint8_t { counter, gauge, histogram };

// Label names and values in the order in which they are printed.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Whether `name` may name a metric: [a-zA-Z_:][a-zA-Z0-9_:]*.
[[nodiscard]] bool is_metric_name(std::string_view name);
// Whether `name` may name a label: [a-zA-Z_][a-zA-Z0-9_]*, and not "__..." (reserved) or "le" (histograms').
[[nodiscard]] bool is_label_name(std::string_view name);

// Writes metrics in Prometheus' text format 0.0.4 (content type "text/plain; version=0.0.4; charset=utf-8"). One thread.
class PrometheusWriter {
 public:
  // Begins a family: its HELP and TYPE lines. The samples that follow belong to it. Requires: a valid name.
  void family(std::string_view name, std::string_view help, MetricKind kind);

  // One sample of the current family. Requires: a family of kind counter or gauge was begun; label names are valid.
  void sample(const MetricLabels& labels, double value);
  void sample(const MetricLabels& labels, std::uint64_t value);
  // One histogram of the current family: `counts` [upper_bounds + 1] are per range, not cumulative.
  void histogram(const MetricLabels& labels, std::span<const double> upper_bounds, std::span<const std::uint64_t> counts, double sum);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, const MetricLabels& labels, std::string_view upper_bound, std::string_view value);

  std::string name_;  // of the current family
  MetricKind kind_ = MetricKind::gauge;
  std::string text_;
};

}  // namespace slora
