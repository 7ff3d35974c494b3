// Memory: who may have which pages, and what is evicted.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "bench/simulation/study_cases.h"

namespace slora::bench {
namespace {

struct MemorySeries {
  std::string_view source;
  Offered offered;
  std::vector<std::int32_t> counts;
};

// "saturated": not published. The published load does not saturate the A100-40 of device_model.cc, as it did the one that was measured.
const std::array kMemorySeries = {
    MemorySeries{"figure-5", {.device = "A10G", .setting = "S1", .rate = 2}, {1, 20, 50, 100, 200}},
    MemorySeries{"figure-5", {.device = "A10G", .setting = "S2", .rate = 2}, {1, 20, 50, 100, 200}},
    MemorySeries{"memory-ablation", {.device = "A10G", .setting = "S2", .rate = 2.5}, {1, 10, 25, 50, 100, 200}},
    MemorySeries{"figure-5", {.device = "A100-40", .setting = "S4", .rate = 2}, {1, 20, 50, 100, 200}},
    MemorySeries{"saturated", {.device = "A100-40", .setting = "S4", .rate = 4}, {1, 20, 50, 200}},
    MemorySeries{"figure-5", {.device = "A100-80", .setting = "S2", .rate = 10}, {1, 50, 200}},
    MemorySeries{"figure-5", {.device = "A100-80", .setting = "S4", .rate = 6}, {1, 100, 400}},
};

constexpr std::pair<EvictionPolicy, std::string_view> kEvictionPolicies[] = {
    {EvictionPolicy::cost_aware, "cost-aware"},
    {EvictionPolicy::greedy_dual_size, "greedy-dual-size"},
    {EvictionPolicy::lru, "lru"},
    {EvictionPolicy::evict_when_idle, "when-idle"},
};

}  // namespace

void separate_memory(StudyCase& point) {
  const std::int32_t rank_max = *std::ranges::max_element(point.setup.ranks);
  const std::uint32_t least = point.setup.model.adapter_pages(rank_max);
  for (const std::uint32_t part : {8u, 4u, 3u, 2u}) {
    const std::uint32_t pages = std::max(point.setup.scheduler.page_count / part, least);
    if (point.splits.empty() || point.splits.back() != pages) point.splits.push_back(pages);
  }
}

Result<std::vector<StudyCase>> memory_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (const MemorySeries& series : kMemorySeries) {
    Offered offered = series.offered;
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = fmt::format("{}: {}, R = {}", series.source, offered.name(), offered.rate);
    const std::string name = offered.name();
    for (const std::int32_t count : series.counts) {
      offered.adapter_count = count;
      const auto add = [&](StudyCase point, std::string_view system) {
        set_published(point, {series.source, name, system, static_cast<double>(count)});
        cases.push_back(std::move(point));
      };
      add(make_case(offered, table, "one pool", count), "slora");
      StudyCase separate = make_case(offered, table, "separate memory", count);
      separate_memory(separate);
      add(std::move(separate), "no-unify-mem");
      StudyCase half = make_case(offered, table, "separate, half each", count);
      half.setup.scheduler.adapter_pages_separate = half.setup.scheduler.page_count / 2;
      add(std::move(half), "no-unify-mem");
      StudyCase padded = make_case(offered, table, "padded products", count);
      padded.setup.compute = AdapterCompute::padded;
      add(std::move(padded), "bmm");
    }
  }
  return cases;
}

// alpha = 1 is no skew, and less is more. Rates at which the pool is full and the first token still comes in time. No prompt begins as
// another does, so what the pool keeps of prompts is of no use: "prefixes at no cost" shows what that costs the adapters.
Result<std::vector<StudyCase>> eviction_cases(const StudyFilter& filter) {
  std::vector<StudyCase> cases;
  for (Offered offered :
       {Offered{.device = "A10G", .setting = "S2", .rate = 1.5}, Offered{.device = "A100-80", .setting = "S2", .rate = 5}}) {
    if (!filter.takes(offered.device, offered.setting)) continue;
    const std::string table = fmt::format("{}, n = 200, R = {}", offered.name(), offered.rate);
    for (const double alpha : {0.1, 0.3, 0.6, 1.0}) {
      offered.alpha = alpha;
      for (const auto& [eviction, name] : kEvictionPolicies) {
        cases.push_back(make_case(offered, table, std::string(name), alpha));
        cases.back().setup.scheduler.eviction = eviction;
      }
      cases.push_back(make_case(offered, table, "cost-aware, no prefetch", alpha));
      cases.back().setup.scheduler.prefetched_sequences = 0;
      cases.push_back(make_case(offered, table, "prefixes at no cost", alpha));
      cases.back().setup.scheduler.costs.prefix_page = 0;
    }
  }
  return cases;
}

}  // namespace slora::bench
