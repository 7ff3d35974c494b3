#include "bench/workload/workload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/workload/distributions.h"

namespace slora::bench {
namespace {

Trace workload_of(const WorkloadOptions& options) {
  Result<Trace> trace = make_workload(options);
  EXPECT_TRUE(trace) << trace.error().message;
  return trace ? std::move(*trace) : Trace();
}

std::vector<double> counts_of(const Trace& trace) {
  std::vector<double> counts(static_cast<std::size_t>(trace.adapter_count));
  for (const TraceRequest& request : trace.requests) ++counts.at(static_cast<std::size_t>(request.adapter));
  return counts;
}

// How many standard deviations the chi-square statistic of the counts lies above its mean. For counts that follow the shares it is
// about normal.
double excess_over(const std::vector<double>& shares, const std::vector<double>& counts) {
  double sum = 0, total = 0;
  for (const double count : counts) total += count;
  for (std::size_t i = 0; i < counts.size(); ++i) sum += std::pow(counts[i] - total * shares[i], 2) / (total * shares[i]);
  const auto freedom = static_cast<double>(counts.size() - 1);
  return (sum - freedom) / std::sqrt(2 * freedom);
}

struct Intervals {
  double mean = 0, cv = 0;
  double count = 0;
};

Intervals intervals_of(const Trace& trace) {
  double sum = 0, squares = 0;
  const auto& requests = trace.requests;
  const auto count = static_cast<double>(requests.size() - 1);
  for (std::size_t i = 1; i < requests.size(); ++i) {
    const double interval = requests[i].arrival - requests[i - 1].arrival;
    sum += interval;
    squares += interval * interval;
  }
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean, count};
}

WorkloadOptions options_of(WorkloadKind kind, double rate, double seconds) {
  WorkloadOptions options;
  options.kind = kind;
  options.rate = rate;
  options.seconds = seconds;
  return options;
}

constexpr WorkloadKind kAllKinds[] = {WorkloadKind::per_adapter, WorkloadKind::zipf, WorkloadKind::uniform, WorkloadKind::slora_release};

// Standard errors of n intervals of a Gamma distribution: cv / sqrt(n) of the relative mean, cv sqrt((1 + cv^2) / (2 n)) of the cv.
TEST(Workload, ArrivesAtItsRateWithItsVariation) {
  for (const WorkloadKind kind : kAllKinds) {
    for (const double cv : {0.5, 1.0, 2.0, 4.0}) {
      WorkloadOptions options = options_of(kind, 5, 20000);
      options.cv = cv;
      options.adapter_count = kind == WorkloadKind::per_adapter ? 1 : 50;
      const Intervals found = intervals_of(workload_of(options));
      EXPECT_NEAR(found.mean * 5, 1, 5 * cv / std::sqrt(found.count)) << name_of(kind) << " " << cv;
      EXPECT_NEAR(found.cv, cv, 5 * cv * std::sqrt((1 + cv * cv) / (2 * found.count))) << name_of(kind) << " " << cv;
    }
  }
}

// Adapters that are asked for three times in a trace: a process that began with a whole interval would yield about ten.
TEST(Workload, KeepsTheRateOfAdaptersWithFewRequests) {
  WorkloadOptions options = options_of(WorkloadKind::per_adapter, 20, 300);
  options.adapter_count = 2000;
  options.alpha = 0;
  options.cv = 4;
  const std::vector<double> counts = counts_of(workload_of(options));
  double sum = 0, squares = 0;
  for (const double count : counts) {
    sum += count;
    squares += count * count;
  }
  const double mean = sum / 2000, deviation = std::sqrt(squares / 2000 - mean * mean);
  EXPECT_NEAR(mean, 3, 4 * deviation / std::sqrt(2000));
  EXPECT_LT(4 * deviation / std::sqrt(2000), 1) << "the bound means something";
}

TEST(Workload, MakesEachAdapterAProcessOfItsOwn) {
  WorkloadOptions options = options_of(WorkloadKind::per_adapter, 10, 20000);
  options.adapter_count = 4;
  options.cv = 3;
  const Trace trace = workload_of(options);
  const std::vector<double> shares = power_law_shares(4, 1);
  for (std::int32_t adapter = 0; adapter < 4; ++adapter) {
    Trace own;
    for (const TraceRequest& request : trace.requests) {
      if (request.adapter == adapter) own.requests.push_back(request);
    }
    const Intervals found = intervals_of(own);
    EXPECT_NEAR(found.mean * 10 * shares[static_cast<std::size_t>(adapter)], 1, 5 * 3 / std::sqrt(found.count));
    EXPECT_NEAR(found.cv, 3, 5 * 3 * std::sqrt(10 / (2 * found.count)));
  }
}

TEST(Workload, IsAsSkewedAsItsExponentSays) {
  for (const double alpha : {0.5, 1.0, 2.0}) {
    for (const WorkloadKind kind : {WorkloadKind::per_adapter, WorkloadKind::zipf}) {
      WorkloadOptions options = options_of(kind, 100, 1000);
      options.adapter_count = 20;
      options.alpha = alpha;
      const std::vector<double> counts = counts_of(workload_of(options));
      EXPECT_LT(excess_over(power_law_shares(20, alpha), counts), 4) << name_of(kind) << " " << alpha;
      EXPECT_GT(excess_over(power_law_shares(20, alpha + 0.1), counts), 8) << "the test can see a wrong exponent";
    }
  }
}

TEST(Workload, UniformUsesAllAdaptersAlike) {
  WorkloadOptions options = options_of(WorkloadKind::uniform, 100, 1000);
  options.adapter_count = 200;
  options.alpha = 3;
  EXPECT_LT(excess_over(std::vector<double>(200, 1.0 / 200), counts_of(workload_of(options))), 4);
}

// P(floor(n u) = i) = ((i + 1) / n)^alpha - (i / n)^alpha. With n = 200 the first adapter gets 59, 20, 4 and 0.5 percent.
TEST(Workload, HasTheSkewOfTheReleasedGenerator) {
  for (const auto& [alpha, first] : {std::pair{0.1, 0.59}, {0.3, 0.20}, {0.6, 0.04}, {1.0, 0.005}}) {
    WorkloadOptions options = options_of(WorkloadKind::slora_release, 100, 1000);
    options.adapter_count = 200;
    options.alpha = alpha;
    std::vector<double> shares;
    for (int i = 0; i < 200; ++i) shares.push_back(std::pow((i + 1) / 200.0, alpha) - std::pow(i / 200.0, alpha));
    EXPECT_NEAR(shares[0], first, 0.005);
    EXPECT_LT(excess_over(shares, counts_of(workload_of(options))), 4) << alpha;
  }
}

TEST(Workload, HasTheCountAndTheLengthsOfTheReleasedGenerator) {
  WorkloadOptions options = options_of(WorkloadKind::slora_release, 10.03, 120);
  options.cv = 8;
  const Trace trace = workload_of(options);
  EXPECT_EQ(trace.requests.size(), 1203u);
  EXPECT_GE(trace.seconds, trace.requests.back().arrival);
  options.seconds = 20000;
  std::map<std::int32_t, double> inputs, outputs;
  for (const TraceRequest& request : workload_of(options).requests) {
    ++inputs[request.input_tokens];
    ++outputs[request.output_tokens];
  }
  for (const auto& counts : {inputs, outputs}) {
    EXPECT_EQ(counts.begin()->first, 8);
    EXPECT_EQ(counts.rbegin()->first, 511) << "NumPy's randint excludes the upper end";
  }
}

TEST(Workload, DrawsLengthsOfTheWholeRange) {
  WorkloadOptions options = options_of(WorkloadKind::zipf, 100, 1000);
  options.input_tokens = {1, 10};
  options.output_tokens = {5, 5};
  std::vector<double> counts(10);
  for (const TraceRequest& request : workload_of(options).requests) {
    ++counts.at(static_cast<std::size_t>(request.input_tokens - 1));
    EXPECT_EQ(request.output_tokens, 5);
  }
  EXPECT_LT(excess_over(std::vector<double>(10, 0.1), counts), 4);
}

TEST(Workload, IsSortedAndWithinItsTime) {
  for (const WorkloadKind kind : kAllKinds) {
    const Trace trace = workload_of(options_of(kind, 5, 100));
    EXPECT_TRUE(std::ranges::is_sorted(trace.requests, {}, &TraceRequest::arrival));
    EXPECT_GE(trace.requests.front().arrival, 0);
    EXPECT_LE(trace.requests.back().arrival, trace.seconds);
    EXPECT_TRUE(trace.seconds == 100 || kind == WorkloadKind::slora_release);
  }
}

TEST(Workload, OfNoAdaptersNamesTheBase) {
  for (const WorkloadKind kind : kAllKinds) {
    WorkloadOptions options = options_of(kind, 5, 100);
    options.adapter_count = 0;
    const Trace trace = workload_of(options);
    EXPECT_GT(trace.requests.size(), 400u);
    for (const TraceRequest& request : trace.requests) EXPECT_EQ(request.adapter, -1);
  }
}

TEST(Workload, GivesClientsTheirShareOfTheRate) {
  for (const WorkloadKind kind : kAllKinds) {
    WorkloadOptions options = options_of(kind, 100, 1000);
    options.client_weights = {1, 3, 6};
    std::vector<double> counts(3);
    for (const TraceRequest& request : workload_of(options).requests) ++counts.at(static_cast<std::size_t>(request.client));
    for (std::size_t i = 0; i < 3; ++i) {
      const double expected = 1e4 * options.client_weights[i];
      EXPECT_NEAR(counts[i], expected, 5 * std::sqrt(expected)) << name_of(kind);
    }
  }
}

TEST(Workload, MakesTheSameDrawsAtEveryRate) {
  WorkloadOptions options = options_of(WorkloadKind::per_adapter, 2, 1000);
  const Trace slow = workload_of(options);
  options.rate = 4;
  options.seconds = 500;
  const Trace fast = workload_of(options);
  ASSERT_EQ(slow.requests.size(), fast.requests.size());
  for (std::size_t i = 0; i < slow.requests.size(); ++i) {
    EXPECT_NEAR(slow.requests[i].arrival, 2 * fast.requests[i].arrival, 1e-9);
    EXPECT_EQ(slow.requests[i].input_tokens, fast.requests[i].input_tokens);
    EXPECT_EQ(slow.requests[i].adapter, fast.requests[i].adapter);
  }
}

TEST(Workload, IsAnotherOneWithAnotherSeed) {
  WorkloadOptions options = options_of(WorkloadKind::zipf, 2, 100);
  const Trace one = workload_of(options), same = workload_of(options);
  options.seed = 43;
  const Trace other = workload_of(options);
  ASSERT_EQ(one.requests.size(), same.requests.size());
  for (std::size_t i = 0; i < one.requests.size(); ++i) EXPECT_EQ(one.requests[i].arrival, same.requests[i].arrival);
  EXPECT_NE(one.requests[0].arrival, other.requests[0].arrival);
}

TEST(Workload, SaysWhichParameterIsOutOfRange) {
  const auto refusal = [](const std::function<void(WorkloadOptions&)>& change) {
    WorkloadOptions options;
    change(options);
    const Result<Trace> trace = make_workload(options);
    return trace ? "none" : trace.error().message;
  };
  EXPECT_EQ(refusal([](auto&) {}), "none");
  EXPECT_EQ(refusal([](auto& o) { o.rate = -1; }), "rate: expected a number from 1e-06 to 1000000, found -1");
  EXPECT_EQ(refusal([](auto& o) { o.cv = 0; }), "cv: expected a number from 0.01 to 100, found 0");
  EXPECT_EQ(refusal([](auto& o) { o.cv = std::nan(""); }), "cv: expected a number from 0.01 to 100, found nan");
  EXPECT_TRUE(refusal([](auto& o) { o.alpha = -1; }).starts_with("alpha: "));
  EXPECT_TRUE(refusal([](auto& o) { o.seconds = 0; }).starts_with("seconds: "));
  EXPECT_TRUE(refusal([](auto& o) { o.adapter_count = -1; }).starts_with("adapters: "));
  EXPECT_TRUE(refusal([](auto& o) { o.client_weights = {1, 0}; }).starts_with("clients: "));
  EXPECT_EQ(refusal([](auto& o) { o.input_tokens = {0, 5}; }), "input tokens: expected 1 <= min <= max <= 16777216, found 0 and 5");
  EXPECT_TRUE(refusal([](auto& o) { o.output_tokens = {6, 5}; }).starts_with("output tokens: "));
  EXPECT_TRUE(refusal([](auto& o) { o.seconds = 1e7; }).starts_with("rate and seconds: ")) << "20 million requests";
  EXPECT_TRUE(refusal([](auto& o) {
                o.kind = WorkloadKind::slora_release;
                o.input_tokens = {5, 5};
              }).starts_with("input tokens: "))
      << "its upper end is excluded";
}

TEST(Workload, KindsHaveNames) {
  for (const WorkloadKind kind : kAllKinds) EXPECT_EQ(*workload_kind_of(name_of(kind)), kind);
  EXPECT_EQ(workload_kind_of("zip").error().message, "workload: expected per-adapter, zipf, uniform or slora-release, found zip");
}

}  // namespace
}  // namespace slora::bench
