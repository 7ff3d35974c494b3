#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/simulation/setting.h"
#include "bench/simulation/study.h"

namespace slora::bench {

// The cases of each study: which devices, settings, workloads and series. Workloads have S-LoRA's released semantics and its default
// parameters (arXiv 2311.03285, Table 2) where nothing else is said.
[[nodiscard]] Result<std::vector<StudyCase>> adapter_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> rate_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> trace_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> merge_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> abort_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> clustering_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> memory_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> eviction_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> fairness_cases(const StudyFilter& filter);
[[nodiscard]] Result<std::vector<StudyCase>> scale_cases(const StudyFilter& filter);

// What the studies have in common: a device with a setting, and the workload that is offered to it.
struct Offered {
  std::string_view device, setting;
  std::int32_t adapter_count = 200;
  double rate = 2, cv = 1, alpha = 1, seconds = 300;

  [[nodiscard]] std::string name() const { return std::string(device).append(" ").append(setting); }
};

// A case of this workload, before its setup is changed. Requires: device and setting exist.
[[nodiscard]] StudyCase make_case(const Offered& offered, std::string table, std::string series, double x);
// The same for the released S-LoRA.
[[nodiscard]] StudyCase make_released_case(const Offered& offered, std::string table, std::string series, double x, ReleasedOrder order,
                                           std::int32_t cluster_adapters = 8);

// What was published for this case, if anything was.
void set_published(StudyCase& point, const PublishedKey& key);

// Under the separate memory of the ablation: splits of the pool from an eighth to a half for adapters, none below the largest adapter.
void separate_memory(StudyCase& point);

}  // namespace slora::bench
