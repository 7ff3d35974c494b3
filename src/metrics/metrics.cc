#include "metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <variant>

#include "base/check.h"

namespace slora {

Histogram::Histogram(std::span<const double> upper_bounds)
    : upper_bounds_(upper_bounds.begin(), upper_bounds.end()),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(upper_bounds.size() + 1)) {
  for (std::size_t i = 0; i < upper_bounds_.size(); ++i) {
    check(std::isfinite(upper_bounds_[i]) && (i == 0 || upper_bounds_[i - 1] < upper_bounds_[i]), "expected finite bounds that increase");
  }
}

void Histogram::observe(double value) {
  const auto range = std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value) - upper_bounds_.begin();
  counts_[static_cast<std::size_t>(range)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::counts() const {
  std::vector<std::uint64_t> counts(upper_bounds_.size() + 1);
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

struct MetricsRegistry::Series {
  MetricLabels labels;
  std::variant<Counter, Gauge, Histogram> metric;

  Series(const MetricLabels& with, MetricKind kind, std::span<const double> upper_bounds) : labels(with) {
    if (kind == MetricKind::gauge) metric.emplace<Gauge>();
    if (kind == MetricKind::histogram) metric.emplace<Histogram>(upper_bounds);
  }
};

struct MetricsRegistry::Family {
  std::string name;
  std::string help;
  MetricKind kind;
  std::deque<Series> series;  // a deque, because counters are held by reference
};

MetricsRegistry::MetricsRegistry() = default;
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return std::get<Counter>(series(name, help, MetricKind::counter, labels, {}).metric);
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return std::get<Gauge>(series(name, help, MetricKind::gauge, labels, {}).metric);
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help, std::span<const double> upper_bounds,
                                      const MetricLabels& labels) {
  auto& found = std::get<Histogram>(series(name, help, MetricKind::histogram, labels, upper_bounds).metric);
  check(std::equal(upper_bounds.begin(), upper_bounds.end(), found.upper_bounds().begin(), found.upper_bounds().end()),
        "expected one set of bounds per histogram");
  return found;
}

MetricsRegistry::Series& MetricsRegistry::series(std::string_view name, std::string_view help, MetricKind kind, const MetricLabels& labels,
                                                 std::span<const double> upper_bounds) {
  check(is_metric_name(name), "expected a valid metric name");
  check(std::all_of(labels.begin(), labels.end(), [](const auto& label) { return is_label_name(label.first); }),
        "expected valid label names");
  const std::lock_guard lock(mutex_);
  auto family = std::find_if(families_.begin(), families_.end(), [&](const auto& known) { return known->name == name; });
  if (family == families_.end()) {
    families_.push_back(std::make_unique<Family>(Family{std::string(name), std::string(help), kind, {}}));
    family = families_.end() - 1;
  }
  std::deque<Series>& known = (*family)->series;
  check((*family)->kind == kind, "expected one kind per metric name");
  check(known.empty() || std::equal(labels.begin(), labels.end(), known.front().labels.begin(), known.front().labels.end(),
                                    [](const auto& a, const auto& b) { return a.first == b.first; }),
        "expected one set of label names per metric name");
  const auto same = std::find_if(known.begin(), known.end(), [&](const Series& one) { return one.labels == labels; });
  return same != known.end() ? *same : known.emplace_back(labels, kind, upper_bounds);
}

void MetricsRegistry::write(PrometheusWriter& writer) const {
  const std::lock_guard lock(mutex_);
  for (const auto& family : families_) {
    writer.family(family->name, family->help, family->kind);
    for (const Series& one : family->series) {
      if (const auto* counter = std::get_if<Counter>(&one.metric)) writer.sample(one.labels, counter->value());
      if (const auto* gauge = std::get_if<Gauge>(&one.metric)) writer.sample(one.labels, gauge->value());
      if (const auto* histogram = std::get_if<Histogram>(&one.metric)) {
        writer.histogram(one.labels, histogram->upper_bounds(), histogram->counts(), histogram->sum());
      }
    }
  }
}

}  // namespace slora
