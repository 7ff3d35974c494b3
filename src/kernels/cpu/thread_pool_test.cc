#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

namespace slora::cpu {
namespace {

TEST(ThreadPool, CallsEveryIndexOnceForEveryCount) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 3, 7, 100, 1001}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      pool.parallel_for(count, [&](std::int64_t index, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++calls[static_cast<std::size_t>(index)];
      });
      for (const std::atomic<int>& call : calls) EXPECT_EQ(call, 1);
    }
  }
}

TEST(ThreadPool, CutsEveryCountIntoRunsOfAtMostTheLongest) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t run_max : {1, 3, 4}) {
      for (const std::int64_t count : {0, 1, 2, 7, 100, 1001}) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
        pool.parallel_ranges(count, run_max, [&](std::int64_t begin, std::int64_t end, int) {
          EXPECT_LT(begin, end);
          EXPECT_LE(end - begin, run_max);
          for (std::int64_t index = begin; index < end; ++index) ++calls[static_cast<std::size_t>(index)];
        });
        for (const std::atomic<int>& call : calls) EXPECT_EQ(call, 1);
      }
    }
  }
}

TEST(ThreadPool, WhatOneLoopWroteTheNextReads) {
  ThreadPool pool(3);
  std::vector<int> values(64, 0);
  std::vector<int> mirrored(64, 0);
  for (int round = 1; round <= 2000; ++round) {
    pool.parallel_for(64, [&](std::int64_t index, int) { values[static_cast<std::size_t>(index)] = round; });
    pool.parallel_for(
        64, [&](std::int64_t index, int) { mirrored[static_cast<std::size_t>(index)] = values[static_cast<std::size_t>(63 - index)]; });
    for (const int value : mirrored) ASSERT_EQ(value, round);
  }
}

TEST(ThreadPool, GivesNoTwoCallsAtOnceTheSameWorker) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  pool.parallel_for(10000, [&](std::int64_t, int worker) {
    EXPECT_EQ(busy[static_cast<std::size_t>(worker)]++, 0);
    --busy[static_cast<std::size_t>(worker)];
  });
}

TEST(ThreadPool, ShowsWhileALoopRunsThatItGoesOn) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<std::uint64_t> seen(100);
    pool.parallel_for(100, [&](std::int64_t index, int) { seen[static_cast<std::size_t>(index)] = pool.progress(); });
    std::ranges::sort(seen);
    EXPECT_GE(std::ranges::unique(seen).begin() - seen.begin(), 10) << threads;
    const std::uint64_t after = pool.progress();
    EXPECT_EQ(pool.progress(), after) << "nothing runs";
    pool.parallel_for(100, [](std::int64_t, int) {});
    EXPECT_NE(pool.progress(), after);
  }
}

TEST(UsableCoreCount, IsAtLeastOne) { EXPECT_GE(usable_core_count(), 1); }

TEST(ThreadPool, AnExceptionReachesTheCallerWhenAllCallsHaveReturned) {
  ThreadPool pool(3);
  for (const int failing : {0, 40, 63}) {
    std::atomic<int> calls = 0;
    const auto call = [&](std::int64_t index, int) {
      ++calls;
      if (index >= failing) throw std::bad_alloc();
    };
    EXPECT_THROW(pool.parallel_for(64, call), std::bad_alloc);
    EXPECT_EQ(calls, 64);
  }
  std::atomic<int> calls = 0;
  pool.parallel_for(64, [&](std::int64_t, int) { ++calls; });
  EXPECT_EQ(calls, 64) << "it goes on";
}

}  // namespace
}  // namespace slora::cpu
