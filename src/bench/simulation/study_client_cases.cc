// Beyond the published studies: clients, and very many adapters.
#include <fmt/format.h>

#include <array>

#include "bench/simulation/study_cases.h"

namespace slora::bench {

// Client 0 sends half of all requests, 99 others the rest, alike. Load from below to above what the device can serve.
Result<std::vector<StudyCase>> fairness_cases(const StudyFilter& filter) {
  constexpr std::size_t kClientCount = 100;
  std::vector<StudyCase> cases;
  Offered offered{.device = "A10G", .setting = "S2", .adapter_count = 100};
  if (!filter.takes(offered.device, offered.setting)) return cases;
  for (const double rate : {1.0, 1.5, 2.0, 2.5}) {
    offered.rate = rate;
    for (const std::string_view policy : {"fcfs", "fair-share", "deadline"}) {
      cases.push_back(make_case(offered, fmt::format("{}, 100 clients", offered.name()), std::string(policy), rate));
      StudyCase& point = cases.back();
      point.workload.kind = WorkloadKind::uniform;
      point.workload.client_weights.assign(kClientCount, 1);
      point.workload.client_weights.front() = kClientCount - 1;
      point.setup.policy.name = policy;
    }
  }
  return cases;
}

// Every adapter is asked for alike, so that most are not in the pool: the worst that many adapters can do.
Result<std::vector<StudyCase>> scale_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (Offered offered : {Offered{.device = "A10G", .setting = "S1", .rate = 2}, Offered{.device = "A100-80", .setting = "S2", .rate = 8},
                          Offered{.device = "H200", .setting = "L3", .rate = 30}}) {
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = fmt::format("{}, R = {}", offered.name(), offered.rate);
    for (const std::int32_t count : {0, 1000, 10000, 100000}) {
      offered.adapter_count = count;
      cases.push_back(make_case(offered, table, "uniform", count));
      cases.back().workload.kind = WorkloadKind::uniform;
      if (count == 0) continue;
      cases.push_back(make_case(offered, table, "zipf", count));
      cases.back().workload.kind = WorkloadKind::zipf;
    }
  }
  return cases;
}

}  // namespace slora::bench
