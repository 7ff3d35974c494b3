#include "bench/simulation/released_trace.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

WorkloadOptions make_released_options(double cv) {
  WorkloadOptions options;
  options.kind = WorkloadKind::slora_release;
  options.adapter_count = 200;
  options.cv = cv;
  return options;
}

// Of generate_requests(200, 1, 2, cv, 300, [8, 512], [8, 512], ...) in benchmarks/trace.py, with NumPy's default seed of that file.
TEST(ReleasedTrace, HasTheRequestsOfThePublishedRuns) {
  for (const auto& [cv, second_arrival, last_arrival] :
       {std::tuple{1.0, 3.0856099621076933, 301.00485344611263}, std::tuple{8.0, 6.297832006247127e-23, 432.53975101707624}}) {
    SCOPED_TRACE(cv);
    const Trace trace = *make_released_trace(make_released_options(cv));
    ASSERT_EQ(trace.requests.size(), 600u);
    const TraceRequest &first = trace.requests[0], &second = trace.requests[1], &last = trace.requests.back();
    EXPECT_EQ(first.adapter, 74);
    EXPECT_EQ(first.input_tokens, 12);
    EXPECT_EQ(first.output_tokens, 410);
    EXPECT_EQ(second.adapter, 190);
    EXPECT_EQ(second.input_tokens, 473);
    EXPECT_EQ(second.output_tokens, 43);
    EXPECT_NEAR(second.arrival, second_arrival, 1e-9);
    EXPECT_NEAR(last.arrival, last_arrival, 1e-9);
    EXPECT_EQ(last.output_tokens, 489);
  }
}

TEST(ReleasedTrace, NamesTheBaseModelWhenThereAreNoAdapters) {
  WorkloadOptions options = make_released_options(1);
  options.adapter_count = 0;
  const Trace trace = *make_released_trace(options);
  for (const TraceRequest& request : trace.requests) EXPECT_EQ(request.adapter, -1);
  options.seconds = -1;
  EXPECT_EQ(make_released_trace(options).error().code, "E_WORKLOAD");
}

}  // namespace
}  // namespace slora::bench
