#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What leaves the pool when the scheduler looks at this time.
std::vector<AdapterId> evicted_at(Play& play, Timestamp now) {
  StepPlan plan;
  play.scheduler.schedule(plan, now);
  play.expect_sound();
  std::vector<AdapterId> evicted;
  play.scheduler.take_evicted_adapters(evicted);
  return evicted;
}

TEST(KeptAdapters, LeaveAfterATimeOfTheirOwn) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 1, 7, 2));
  ASSERT_TRUE(play.add(2, 4, 1, 8, 2));
  play.run_dry();
  play.scheduler.set_adapter_idle_time(AdapterId{7}, 2s);
  EXPECT_THAT(evicted_at(play, 10s), IsEmpty()) << "its time begins";
  EXPECT_THAT(evicted_at(play, 11s), IsEmpty());
  EXPECT_THAT(evicted_at(play, 12100ms), ElementsAre(AdapterId{7}));
  EXPECT_THAT(evicted_at(play, 1h), IsEmpty()) << "the other one has none";
}

TEST(KeptAdapters, StayWhenTheirOwnTimeSaysSoOrTheyArePinned) {
  SchedulerOptions options = small_options();
  options.adapter_idle_time = 1s;
  Play play(options);
  for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(play.add(i, 4, 1, i, 2));
  play.run_dry();
  play.scheduler.set_adapter_idle_time(AdapterId{1}, 0s);
  play.scheduler.set_adapter_idle_time(AdapterId{2}, 1h);
  play.scheduler.set_adapter_idle_time(AdapterId{2}, std::nullopt);
  ASSERT_TRUE(play.scheduler.pin_adapter(AdapterId{3}, 2));
  EXPECT_THAT(evicted_at(play, 10s), IsEmpty());
  EXPECT_THAT(evicted_at(play, 20s), ElementsAre(AdapterId{2})) << "1 stays for ever, 3 is pinned";
}

}  // namespace
}  // namespace slora
