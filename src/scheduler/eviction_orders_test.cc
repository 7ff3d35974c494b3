// Which eviction order loads least: one trace of requests for 1,000 adapters through the scheduler, on a simulated device. The tokens of
// every request must be the same under all orders.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "scheduler/policies/fcfs.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/simulated_device.h"

namespace slora {
namespace {

constexpr std::uint64_t kAdapters = 1000, kRequests = 10'000;
constexpr std::int32_t kPageTokens = 16, kSystemPromptTokens = 64;
constexpr std::int64_t kLoadSteps = 3;
constexpr double kRequestsPerStep = 0.05;  // so that one or two run at a time

struct Trace {
  std::vector<SequenceRequest> requests;  // arrival: the step in which it comes
  std::uint32_t adapter_pages = 0;        // of all adapters together
};

// Every adapter has its own system prompt, which its requests begin with: four pages that may be cached. Ranks 8 to 64 have 1 to 8 pages.
Trace make_trace(double skew) {
  SimulatedRandom random(7);
  Trace trace;
  std::vector<double> popularity;  // [kAdapters] cumulative
  std::vector<std::uint32_t> page_counts;
  for (std::uint64_t i = 0; i < kAdapters; ++i) {
    popularity.push_back((i > 0 ? popularity.back() : 0) + std::pow(static_cast<double>(i + 1), -skew));
    page_counts.push_back(1u << random.below(4));
    trace.adapter_pages += page_counts.back();
  }
  const auto draw_tokens = [](SimulatedRandom& from, std::int64_t count, std::vector<TokenId>& into) {
    for (; count > 0; --count) into.push_back(static_cast<TokenId>(from.below(4)));
  };
  double at = 0;
  for (std::uint64_t i = 0; i < kRequests; ++i) {
    const auto found = std::ranges::upper_bound(popularity, random.unit() * popularity.back()) - popularity.begin();
    const std::uint64_t adapter = std::min(static_cast<std::uint64_t>(found), kAdapters - 1);
    at += -std::log(1 - random.unit()) / kRequestsPerStep;
    SequenceRequest request{.id = SequenceId{i + 1}, .tenant = {}, .client = {}, .prompt = {}, .output_tokens_max = 0};
    request.adapter = AdapterId{adapter + 1};
    request.adapter_page_count = page_counts[adapter];
    request.arrival = Timestamp{static_cast<std::int64_t>(at)};
    SimulatedRandom system_prompt(adapter + 1000);
    draw_tokens(system_prompt, kSystemPromptTokens, request.prompt);
    draw_tokens(random, random.between(8, 64), request.prompt);
    request.output_tokens_max = static_cast<std::int32_t>(random.between(4, 40));
    trace.requests.push_back(std::move(request));
  }
  return trace;
}

struct Figures {
  SchedulerStats stats;
  std::int64_t steps = 0;
  std::unordered_map<SequenceId, std::uint64_t> answers;  // a hash of the tokens of each request
};

Figures play(const Trace& trace, EvictionPolicy eviction, std::uint32_t page_count) {
  SchedulerOptions options;
  options.page_count = page_count;
  options.page_tokens = kPageTokens;
  options.running_max = 32;
  options.waiting_max = kRequests;
  options.eviction = eviction;
  options.preempted_every = 0;
  Scheduler scheduler(options, std::make_unique<FcfsPolicy>());
  SimulatedDevice device({.stop_period = 1u << 30}, page_count, kPageTokens);
  Figures figures;
  std::deque<std::pair<std::int64_t, AdapterId>> loads;  // by the step in which they land
  std::size_t arrived = 0, ended = 0;
  StepPlan plan;
  StepResult result, previous;
  std::vector<SequenceEnd> ends;
  std::vector<AdapterId> evicted;
  std::vector<std::uint64_t> digests;
  for (; ended < trace.requests.size(); ++figures.steps) {
    for (; arrived < trace.requests.size() && trace.requests[arrived].arrival <= Timestamp{figures.steps}; ++arrived)
      EXPECT_TRUE(scheduler.add(trace.requests[arrived]));
    for (; !loads.empty() && loads.front().first <= figures.steps; loads.pop_front()) {
      device.land(loads.front().second);
      scheduler.adapter_landed(loads.front().second);
    }
    scheduler.schedule(plan, Timestamp{figures.steps});
    evicted.clear();
    scheduler.take_evicted_adapters(evicted);
    for (const AdapterId adapter : evicted) device.evict(adapter);
    for (const AdapterLoad& load : plan.loads) {
      device.begin_load(load);
      loads.emplace_back(figures.steps + kLoadSteps, load.adapter);
    }
    if (plan.empty()) continue;
    const std::vector<TenantId> tenants(plan.spans.size());
    EXPECT_EQ(device.run(plan, tenants, previous, result, digests), "");
    for (const PlannedSpan& span : plan.spans) {
      if (span.output_row < 0) continue;
      std::uint64_t& answer = figures.answers[span.sequence];
      answer = answer * 31 + static_cast<std::uint64_t>(result.rows[static_cast<std::size_t>(span.output_row)].token) + 1;
    }
    ends.clear();
    scheduler.commit(plan, result, ends);
    ended += ends.size();
    previous = result;
  }
  figures.stats = scheduler.stats();
  return figures;
}

double share(std::uint64_t part, std::uint64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// Of what was not found in the pool, in units of copying a page.
double cost_of(const SchedulerStats& stats) {
  const CacheCosts costs;
  const double prefix_pages = static_cast<double>(stats.prefix_query_tokens - stats.prefix_hit_tokens) / kPageTokens;
  return costs.adapter_load * static_cast<double>(stats.adapter_loads) +
         costs.adapter_page * static_cast<double>(stats.adapter_pages_loaded) + costs.prefix_page * prefix_pages;
}

struct Order {
  EvictionPolicy policy;
  const char* name;
};
constexpr std::array kOrders = {Order{EvictionPolicy::evict_when_idle, "evict_when_idle"}, Order{EvictionPolicy::lru, "lru"},
                                Order{EvictionPolicy::greedy_dual_size, "greedy_dual_size"},
                                Order{EvictionPolicy::cost_aware, "cost_aware"}};
using AllFigures = std::array<Figures, kOrders.size()>;

// Prints a row of the table in docs/memory.md for each order.
AllFigures compare(double skew, double pool_share) {
  const Trace trace = make_trace(skew);
  const auto page_count = static_cast<std::uint32_t>(pool_share * trace.adapter_pages);
  AllFigures all;
  for (std::size_t i = 0; i < kOrders.size(); ++i) {
    all[i] = play(trace, kOrders[i].policy, page_count);
    const SchedulerStats &stats = all[i].stats, &first = all[0].stats;
    std::printf("| %.1f | %.0f %% | `%s` | %llu (%+.0f %%) | %.0f %% | %.0f %% | %.2f |\n", skew, 100 * pool_share, kOrders[i].name,
                static_cast<unsigned long long>(stats.adapter_pages_loaded),
                100 * (share(stats.adapter_pages_loaded, first.adapter_pages_loaded) - 1),
                100 * share(stats.adapter_hits, stats.adapter_queries), 100 * share(stats.prefix_hit_tokens, stats.prefix_query_tokens),
                cost_of(stats) / cost_of(first));
    EXPECT_EQ(all[i].answers.size(), kRequests);
    EXPECT_EQ(all[i].answers, all[0].answers) << kOrders[i].name;
  }
  return all;
}

TEST(EvictionOrders, CostLeastWhenTheyWeighCosts) {
  for (const double skew : {0.8, 1.0, 1.2}) {
    const AllFigures all = compare(skew, 0.1);
    for (const Figures& other : all) EXPECT_LE(cost_of(all.back().stats), cost_of(other.stats));
  }
}

TEST(EvictionOrders, LoadAFifthOfWhatEvictingIdleAdaptersDoes) {
  const AllFigures all = compare(1.5, 0.2);
  EXPECT_LE(5 * all.back().stats.adapter_pages_loaded, all.front().stats.adapter_pages_loaded);
}

}  // namespace
}  // namespace slora
