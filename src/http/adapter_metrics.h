#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/adapter_store.h"
#include "api/job_table.h"
#include "api/model_access.h"
#include "base/clock.h"
#include "metrics/prometheus.h"

namespace slora {

// The metrics that name adapters. However many adapters there are, their names are bounded: those that requests use and that were used
// last stand in the lists of residents, and the busiest have series of their own, while the others are summed as "_other". I/O thread.
class AdapterMetrics {
 public:
  // `named_max`: adapters with series of their own; 0: no series names an adapter but the one that routers read.
  explicit AdapterMetrics(std::size_t named_max) : named_max_(named_max) {}

  struct State {
    std::vector<AdapterStanding> standings;
    AdapterFigures total;  // read after them
    JobTable::AdapterUse use;
    std::size_t registered_count = 0;
    Timestamp now{};
    double unix_seconds = 0;
  };
  [[nodiscard]] static State read(const AdapterStore& store, const JobTable& jobs);

  // Only names that `access` allows are shown.
  void write(PrometheusWriter& writer, const State& state, const ModelAccess& access);

 private:
  // What was shown of an adapter. Counters only grow as long as they are shown: what was counted of an adapter while it had no series of
  // its own stays in the sum of the others.
  struct Shown {
    std::shared_ptr<const AdapterAccount> account;  // another one: the name was registered again
    AdapterFigures in_others;
    bool is_named = false;
  };
  // One adapter's series.
  struct Series {
    std::string name;
    AdapterFigures figures;
    std::uint32_t page_count = 0;  // in the pool
  };

  void choose_named(const State& state);
  [[nodiscard]] std::vector<Series> make_series(const State& state);

  const std::size_t named_max_;
  std::unordered_map<std::string, Shown> shown_;  // by name, of those that were used
};

}  // namespace slora
