#include "http/engine_watch.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

struct EngineWatchTest : ::testing::Test {
  // Looks every 50 ms for a while, in which the engine does something every `pause`, or nothing.
  void pass(std::chrono::milliseconds time, std::optional<std::chrono::milliseconds> pause) {
    for (std::chrono::milliseconds at{0}; at < time; at += kTick) {
      now += kTick;
      if (pause && at.count() % pause->count() == 0) ++progress;
      watch.look(now);
    }
  }

  static constexpr std::chrono::milliseconds kTick{50};
  std::uint64_t progress = 7;
  EngineWatch::TimePoint now{std::chrono::hours(5)};
  EngineWatch watch{[this] { return progress; }, std::chrono::seconds(10)};
};

TEST_F(EngineWatchTest, FindsAnEngineThatIsSilentForTooLong) {
  pass(std::chrono::seconds(20), std::chrono::milliseconds(100));
  EXPECT_FALSE(watch.is_stalled());
  pass(std::chrono::milliseconds(9900), std::nullopt);
  EXPECT_FALSE(watch.is_stalled());
  pass(std::chrono::milliseconds(200), std::nullopt);
  EXPECT_TRUE(watch.is_stalled());
}

TEST_F(EngineWatchTest, TakesALongStepThatGivesSignsOfLifeForWork) {
  pass(std::chrono::seconds(120), std::chrono::seconds(9));
  EXPECT_FALSE(watch.is_stalled());
}

TEST_F(EngineWatchTest, SeesThatAnEngineGoesOn) {
  pass(std::chrono::seconds(30), std::nullopt);
  EXPECT_TRUE(watch.is_stalled());
  pass(std::chrono::milliseconds(100), std::chrono::milliseconds(100));
  EXPECT_FALSE(watch.is_stalled());
}

TEST_F(EngineWatchTest, DoesNotTakeItsOwnSilenceForTheEngines) {
  pass(std::chrono::seconds(1), std::chrono::milliseconds(100));
  now += std::chrono::hours(1);  // the process was stopped
  watch.look(now);
  EXPECT_FALSE(watch.is_stalled());
}

}  // namespace
}  // namespace slora
