#pragma once
#include <string>

#include "metrics/metrics.h"
#include "scheduler/scheduler.h"

namespace slora {

// The engine's own metrics; the API adds those of requests. Made once; updated by the engine thread after each step.
class EngineMetrics {
 public:
  EngineMetrics(MetricsRegistry& registry, const std::string& model_name);

  // The scheduler begins anew, and counts from zero.
  void begin_anew() { last_ = {}; }
  void update(const SchedulerStats& now, std::size_t step_tokens, double step_seconds);
  void adapter_landed(double load_seconds) { adapter_load_seconds_.observe(load_seconds); }
  void adapter_failed() { adapter_load_failures_.add(); }
  void row_was_suspended() { suspended_rows_.add(); }
  // Observed by threads of their own.
  [[nodiscard]] Histogram& mask_seconds() { return mask_seconds_; }

 private:
  SchedulerStats last_;  // the scheduler's counters at the latest update: their increase since is added to ours
  Gauge &running_, &waiting_, &kv_usage_;
  Gauge &pages_free_, &pages_sequence_, &pages_prefix_, &pages_adapter_;
  Counter &preemptions_, &given_up_, &prefix_queries_, &prefix_hits_, &adapter_loads_, &adapter_load_failures_, &adapter_evictions_,
      &prefix_evictions_, &adapter_queries_, &adapter_hits_, &suspended_rows_;
  Histogram &step_tokens_, &step_seconds_, &adapter_load_seconds_, &mask_seconds_;
};

}  // namespace slora
