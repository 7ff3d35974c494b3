// Policies: what is served when more is asked for than can be.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "bench/simulation/study_cases.h"

namespace slora::bench {
namespace {

const std::array kAbortSeries = {
    Offered{.device = "A10G", .setting = "S1", .adapter_count = 200, .rate = 2},
    Offered{.device = "A10G", .setting = "S2", .adapter_count = 200, .rate = 2},
    Offered{.device = "A100-80", .setting = "S4", .adapter_count = 400, .rate = 6},
};

constexpr std::pair<ReleasedOrder, std::string_view> kAbortOrders[] = {
    {ReleasedOrder::fcfs, "fcfs"}, {ReleasedOrder::lcfs, "lcfs"}, {ReleasedOrder::abort, "abort"}};

constexpr double kVariations[] = {1, 2, 4, 6, 8};  // coefficients of variation of arrivals
constexpr std::int32_t kClusterSizes[] = {1, 2, 4, 8, 32};

// Every size d for one workload: the released queue, and the policy of this project.
void add_cluster_sizes(std::vector<StudyCase>& cases, const Offered& offered, std::string_view source, const std::string& table, double y) {
  for (const std::int32_t size : kClusterSizes) {
    const std::string name = offered.name();
    const PublishedKey key{source, name, "slora", static_cast<double>(size), y};
    cases.push_back(make_released_case(offered, table, "released clustering", size, ReleasedOrder::clustered, size));
    set_published(cases.back(), key);
    cases.push_back(make_case(offered, table, "adapter-grouped", size));
    cases.back().setup.policy.name = "adapter-grouped";
    // S-LoRA's clustering bounds no wait. A bound below the length of the queue would make this policy first come, first served.
    cases.back().setup.policy.adapter_group = {.adapters_max = static_cast<std::size_t>(size), .wait_max = std::chrono::minutes(10)};
    set_published(cases.back(), key);
  }
}

}  // namespace

Result<std::vector<StudyCase>> abort_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (Offered offered : kAbortSeries) {
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = fmt::format("figure-10: {}, n = {}, R = {}", offered.name(), offered.adapter_count, offered.rate);
    const std::string name = offered.name();
    for (const double cv : kVariations) {
      offered.cv = cv;
      for (const auto& [order, system] : kAbortOrders) {
        cases.push_back(make_released_case(offered, table, fmt::format("released {}", system), cv, order));
        set_published(cases.back(), {"figure-10", name, system, cv});
      }
      for (const std::string_view policy : {"fcfs", "deadline"}) {
        cases.push_back(make_case(offered, table, fmt::format("slora {}", policy), cv));
        cases.back().setup.policy.name = policy;
      }
      cases.push_back(make_case(offered, table, "deadline for attainment", cv));
      cases.back().setup.policy.name = "deadline";
      cases.back().setup.policy.deadlines.reward = FirstTokenReward::attainment;
    }
  }
  return cases;
}

Result<std::vector<StudyCase>> clustering_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (const std::string_view setting : {"S2", "S4"}) {
    Offered offered{.device = "A100-40", .setting = setting, .adapter_count = 32, .rate = 2, .seconds = 120};
    if (!filter.takes(offered.device, offered.setting)) continue;
    for (const double alpha : {0.1, 0.3, 0.6, 1.0}) {
      offered.alpha = alpha;
      add_cluster_sizes(cases, offered, "figure-11", fmt::format("figure-11: {}, n = 32, R = 2, alpha = {}", offered.name(), alpha), alpha);
    }
    if (setting != "S2") continue;
    for (const double cv : kVariations) {
      offered.cv = cv;
      add_cluster_sizes(cases, offered, "figure-12", fmt::format("figure-12: {}, n = 32, R = 2, cv = {}", offered.name(), cv), cv);
    }
  }
  // Not published. The loads above do not saturate the A100-40 of device_model.cc, as they did the one that was measured; these do.
  for (Offered offered : {Offered{.device = "A10G", .setting = "S2", .adapter_count = 32, .rate = 2, .seconds = 120},
                          Offered{.device = "A100-40", .setting = "S4", .adapter_count = 32, .rate = 4, .seconds = 120}}) {
    if (!filter.takes(offered.device, offered.setting)) continue;
    for (const double alpha : {0.3, 1.0}) {
      offered.alpha = alpha;
      add_cluster_sizes(cases, offered, "saturated",
                        fmt::format("saturated: {}, n = 32, R = {}, alpha = {}", offered.name(), offered.rate, alpha), alpha);
    }
  }
  return cases;
}

}  // namespace slora::bench
