#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/prometheus.h"

namespace slora {

// A number that only grows. Any thread; an increment is one atomic addition.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A number that goes up and down. Any thread.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

// How observed values are distributed over fixed ranges. Any thread; an observation is two atomic additions.
class Histogram {
 public:
  // `upper_bounds` are the inclusive upper ends of the ranges; a last one without end is added. Requires: finite, strictly increasing.
  explicit Histogram(std::span<const double> upper_bounds);

  void observe(double value);

  [[nodiscard]] std::span<const double> upper_bounds() const { return upper_bounds_; }
  // Observations per range, not cumulative: [upper_bounds + 1].
  [[nodiscard]] std::vector<std::uint64_t> counts() const;
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> upper_bounds_;                // [ranges - 1]
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;  // [ranges]
  std::atomic<double> sum_{0.0};
};

// Every metric of one process, for one exposition. Owned by the entry point and passed to those that count; metrics live as
// long as their registry. Registering takes a lock and is for start-up or rare events; counting takes none. Any thread.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  // The metric of this name and these labels, made at the first call. Requires: the name and the label names are valid, and
  // one name always comes with one kind and one set of label names.
  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::span<const double> upper_bounds, const MetricLabels& labels = {});

  // Writes every metric, families in the order of their first registration.
  void write(PrometheusWriter& writer) const;

 private:
  struct Family;
  struct Series;
  Series& series(std::string_view name, std::string_view help, MetricKind kind, const MetricLabels& labels,
                 std::span<const double> upper_bounds);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;  // guarded by mutex_; what they hold never moves
};

}  // namespace slora
