#include "bench/simulation/released_router.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

using Indices = std::vector<std::int32_t>;

struct Routed {
  Indices admitted, aborted;
};

Routed route(ReleasedRouter& router, double now) {
  Routed routed;
  router.route(now, routed.admitted, routed.aborted);
  return routed;
}

RoutedRequest make_routed(std::int32_t index, std::uint64_t adapter, double arrival = 0) {
  return {.index = index, .adapter = AdapterId{adapter}, .adapter_tokens = 8, .input_tokens = 10, .output_tokens = 6, .arrival = arrival};
}

TEST(ReleasedRouter, AdmitsOnlyWhatFitsAtFullLength) {
  // Alone a request comes to 11 + 5 tokens. Two of one adapter come to 2 x 16 + 8, which must stay below the pool.
  ReleasedRouter tight({.pool_tokens = 40, .admission_tokens_max = 100});
  ReleasedRouter wide({.pool_tokens = 41, .admission_tokens_max = 100});
  for (ReleasedRouter* const router : {&tight, &wide})
    for (const std::int32_t index : {0, 1}) router->add(make_routed(index, 1));
  EXPECT_EQ(route(tight, 0).admitted, Indices({0}));
  EXPECT_EQ(route(wide, 0).admitted, Indices({0, 1}));
}

TEST(ReleasedRouter, TriesAgainAfterTenStepsAndAtOnceWhenNothingRuns) {
  ReleasedRouter router({.pool_tokens = 1000, .admission_tokens_max = 100});
  router.add(make_routed(0, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({0}));
  router.add(make_routed(1, 1));
  router.count_step();  // of the prompt
  for (int step = 0; step < 10; ++step) {
    EXPECT_TRUE(route(router, 0).admitted.empty());
    router.count_step();
  }
  EXPECT_EQ(route(router, 0).admitted, Indices({1}));
  router.add(make_routed(2, 1));
  router.end(0);
  router.end(1);
  EXPECT_EQ(route(router, 0).admitted, Indices({2}));
}

TEST(ReleasedRouter, CountsStepsAndNotHowOftenItIsAsked) {
  ReleasedRouter router({.pool_tokens = 1000, .admission_tokens_max = 100});
  router.add(make_routed(0, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({0}));
  router.add(make_routed(1, 1));
  for (int event = 0; event < 100; ++event) EXPECT_TRUE(route(router, 0).admitted.empty());
  for (int step = 0; step < 11; ++step) router.count_step();
  EXPECT_EQ(route(router, 0).admitted, Indices({1}));
}

TEST(ReleasedRouter, TriesAgainBeforeTheNextStepWhenNothingFitted) {
  ReleasedRouter router({.pool_tokens = 41, .admission_tokens_max = 100});  // two at a time
  for (const std::int32_t index : {0, 1, 2}) router.add(make_routed(index, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({0, 1}));
  for (int step = 0; step < 11; ++step) router.count_step();
  EXPECT_TRUE(route(router, 0).admitted.empty());
  router.end(0);
  EXPECT_TRUE(route(router, 0).admitted.empty());
  router.count_step();
  EXPECT_EQ(route(router, 0).admitted, Indices({2}));
}

TEST(ReleasedRouter, TakesTheNewestFirstWhenLcfs) {
  ReleasedRouter router({.order = ReleasedOrder::lcfs, .pool_tokens = 41, .admission_tokens_max = 100});
  for (const std::int32_t index : {0, 1, 2}) router.add(make_routed(index, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({2, 1}));
}

TEST(ReleasedRouter, AbortsWhatIsTooLateAndTakesTheNewestFirstWhileMoreArriveThanAreAdmitted) {
  ReleasedRouter router({.order = ReleasedOrder::abort, .pool_tokens = 57, .admission_tokens_max = 100});  // three at a time
  for (const std::int32_t index : {0, 1, 2, 3, 4}) router.add(make_routed(index, 1, index));
  // At 6 s request 0 has waited for 6 s, and 5.5 s or more can't meet the SLO. R1 = int(0.7 x 5 + 0.3) = 3, R2 = 1: the newest first.
  const Routed first = route(router, 6);
  EXPECT_EQ(first.aborted, Indices({0}));
  EXPECT_EQ(first.admitted, Indices({4, 3, 2}));
  for (const std::int32_t index : first.admitted) router.end(index);
  // R2 = int(0.7 x 3 + 0.3) = 2, R1 = int(0.7 x 1 + 0.3 x 3) = 1: the oldest first.
  router.add(make_routed(5, 1, 6));
  const Routed second = route(router, 6.4);
  EXPECT_TRUE(second.aborted.empty());
  EXPECT_EQ(second.admitted, Indices({1, 5}));
}

TEST(ReleasedRouter, PrefersAdaptersOfTheBatchOnceItHasEnough) {
  ReleasedRouter router({.order = ReleasedOrder::clustered, .cluster_adapters = 1, .pool_tokens = 1000, .admission_tokens_max = 20});
  router.add(make_routed(0, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({0}));
  router.add(make_routed(1, 2));
  router.add(make_routed(2, 1));
  router.add(make_routed(3, 1));
  for (int step = 0; step < 11; ++step) router.count_step();
  EXPECT_EQ(route(router, 0).admitted, Indices({2, 3}));  // 20 prompt tokens in one admission
}

TEST(ReleasedRouter, KeepsAMergedBatchToOneAdapterUntilTooManyOthersWait) {
  ReleasedRouter router({.order = ReleasedOrder::merged, .pool_tokens = 10000, .admission_tokens_max = 10000});
  router.add(make_routed(0, 1));
  for (std::int32_t index = 1; index <= 30; ++index) router.add(make_routed(index, 2));
  router.add(make_routed(31, 1));
  EXPECT_EQ(route(router, 0).admitted, Indices({0, 31}));
  router.add(make_routed(32, 2));
  router.add(make_routed(33, 1));  // 31 others come before it
  for (int step = 0; step < 11; ++step) router.count_step();
  EXPECT_TRUE(route(router, 0).admitted.empty());
  router.end(0);
  router.end(31);
  EXPECT_EQ(route(router, 0).admitted.size(), 31u);
}

TEST(ReleasedRouter, DropsWhatNeverFits) {
  ReleasedRouter router({.pool_tokens = 20, .admission_tokens_max = 100});
  router.add(make_routed(0, 1));
  const Routed routed = route(router, 0);
  EXPECT_TRUE(routed.admitted.empty());
  EXPECT_EQ(routed.aborted, Indices({0}));
}

}  // namespace
}  // namespace slora::bench
