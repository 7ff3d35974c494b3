#include "base/hang_watch.h"

#include <gtest/gtest.h>

#include <new>
#include <set>
#include <vector>

namespace slora {
namespace {

using std::chrono::seconds;

class HangWatchTest : public ::testing::Test {
 protected:
  std::shared_ptr<JobProgress> add(std::uint64_t id, std::uint64_t lane, Timestamp now = seconds(0)) {
    const auto progress = std::make_shared<JobProgress>();
    watch.add(id, lane, progress, now);
    return progress;
  }
  std::set<std::uint64_t> given_up(Timestamp now) {
    std::set<std::uint64_t> ids;
    watch.look(now, [&](std::uint64_t id, JobProgress& progress) {
      ids.insert(id);
      return progress.gate.close();
    });
    return ids;
  }

  HangWatch watch{seconds(10)};
};

TEST_F(HangWatchTest, GivesUpWhatRunsWithoutGoingOnAndWhatWaitsForIt) {
  const auto running = add(1, 7), waiting = add(2, 7);
  running->is_running = true;
  EXPECT_TRUE(given_up(seconds(1)).empty());
  EXPECT_TRUE(given_up(seconds(11)).empty());
  EXPECT_EQ(given_up(seconds(12)), (std::set<std::uint64_t>{1, 2}));
  EXPECT_FALSE(running->gate.pass([] {}));
  EXPECT_TRUE(given_up(seconds(60)).empty()) << "once";
}

TEST_F(HangWatchTest, LetsSlowJobsAndTheirLaneGoOn) {
  const auto slow = add(1, 7), waiting = add(2, 7), other = add(3, 8);
  for (int at = 1; at < 60; at += 9) {
    slow->is_running = true;
    EXPECT_TRUE(slow->gate.pass([] {}));
    EXPECT_EQ(given_up(seconds(at)), at == 19 ? std::set<std::uint64_t>{3} : std::set<std::uint64_t>()) << "the lane where nothing runs";
  }
  watch.remove(1, seconds(60));
  EXPECT_TRUE(given_up(seconds(69)).empty());
  EXPECT_EQ(given_up(seconds(71)), std::set<std::uint64_t>{2});
}

TEST_F(HangWatchTest, LetsSlowComputationsGoOn) {
  const auto slow = add(1, 7);
  slow->is_running = true;
  slow->gate.compute([&] {
    for (int at = 1; at < 60; at += 20) EXPECT_TRUE(given_up(seconds(at)).empty());
  });
  EXPECT_TRUE(given_up(seconds(50)).empty());
  EXPECT_EQ(given_up(seconds(61)), std::set<std::uint64_t>{1}) << "since it was last seen to compute, at 41 s";
}

TEST_F(HangWatchTest, LeavesThoseThatEndMeanwhileToThemselves) {
  const auto ended = add(1, 7);
  EXPECT_TRUE(ended->gate.close());
  EXPECT_EQ(given_up(seconds(11)), std::set<std::uint64_t>{1});
  EXPECT_EQ(given_up(seconds(12)), std::set<std::uint64_t>{1}) << "until it is removed";
  watch.remove(1, seconds(12));
  EXPECT_TRUE(given_up(seconds(30)).empty());
}

TEST_F(HangWatchTest, ForgetsWhatWasGivenUpBeforeACallThrew) {
  const std::vector<std::shared_ptr<JobProgress>> jobs = {add(1, 7), add(2, 7), add(3, 7)};
  const auto give_up_first = [](std::uint64_t id, JobProgress& progress) {
    if (id == 2) throw std::bad_alloc();
    return progress.gate.close();
  };
  EXPECT_THROW(watch.look(seconds(11), give_up_first), std::bad_alloc);
  EXPECT_FALSE(jobs[0]->gate.pass([] {}));
  EXPECT_EQ(given_up(seconds(12)), (std::set<std::uint64_t>{2, 3}));
  for (const std::shared_ptr<JobProgress>& job : jobs) EXPECT_FALSE(job->gate.pass([] {}));
  EXPECT_TRUE(given_up(seconds(30)).empty()) << "each once";
}

}  // namespace
}  // namespace slora
