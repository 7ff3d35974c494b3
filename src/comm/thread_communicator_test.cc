#include "comm/thread_communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <functional>
#include <random>
#include <thread>

namespace slora {
namespace {

// Runs one thread per shard and waits for all.
void run_shards(int shard_count, const std::function<void(Communicator&)>& run) {
  std::vector<std::unique_ptr<Communicator>> group = ThreadCommunicator::make_group(shard_count);
  std::vector<std::jthread> threads;
  for (auto& communicator : group) threads.emplace_back([&run, &communicator] { run(*communicator); });
}

// Rows in memory that is wider than they are.
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t cols, std::int64_t stride)
      : values_(static_cast<std::size_t>(rows * stride), kUntouched), rows_(rows), cols_(cols), stride_(stride) {}

  [[nodiscard]] Tensor view() { return {reinterpret_cast<std::byte*>(values_.data()), DType::f32, rows_, cols_, stride_}; }
  [[nodiscard]] float& at(std::int64_t row, std::int64_t col) { return values_[static_cast<std::size_t>(row * stride_ + col)]; }
  [[nodiscard]] bool is_untouched_outside() {
    for (std::int64_t row = 0; row < rows_; ++row) {
      for (std::int64_t col = cols_; col < stride_; ++col) {
        if (at(row, col) != kUntouched) return false;
      }
    }
    return true;
  }

 private:
  static constexpr float kUntouched = 12345;
  std::vector<float> values_;
  std::int64_t rows_, cols_, stride_;
};

float value_of(int shard, std::int64_t row, std::int64_t col, int round) {
  std::minstd_rand random(static_cast<unsigned>(shard * 1000003 + row * 1009 + col * 31 + round + 1));
  return std::ldexp(static_cast<float>(random() % 1000) - 500, static_cast<int>(random() % 20) - 10);
}

struct Shape {
  std::int64_t rows, cols, stride;
};

TEST(ThreadCommunicator, GivesEveryShardTheSumInTheOrderOfTheShards) {
  for (const int shard_count : {1, 2, 3, 4, 7}) {
    for (const Shape shape : {Shape{1, 1, 1}, Shape{1, 64, 64}, Shape{3, 40, 50}, Shape{17, 333, 400}, Shape{2, 1030, 1030}}) {
      run_shards(shard_count, [&](Communicator& communicator) {
        Matrix x(shape.rows, shape.cols, shape.stride);
        for (std::int64_t row = 0; row < shape.rows; ++row) {
          for (std::int64_t col = 0; col < shape.cols; ++col) x.at(row, col) = value_of(communicator.shard_index(), row, col, 0);
        }
        communicator.all_reduce(x.view());
        for (std::int64_t row = 0; row < shape.rows; ++row) {
          for (std::int64_t col = 0; col < shape.cols; ++col) {
            float sum = value_of(0, row, col, 0);
            for (int shard = 1; shard < shard_count; ++shard) sum += value_of(shard, row, col, 0);
            ASSERT_EQ(x.at(row, col), sum) << shard_count << " shards, row " << row << ", column " << col;
          }
        }
        EXPECT_TRUE(x.is_untouched_outside());
      });
    }
  }
}

TEST(ThreadCommunicator, GivesEveryShardTheColumnsOfAll) {
  for (const int shard_count : {1, 2, 4, 5}) {
    const std::int64_t cols = 6 * shard_count;
    run_shards(shard_count, [&](Communicator& communicator) {
      Matrix x(9, cols, cols + 3);
      for (std::int64_t row = 0; row < 9; ++row) {
        for (std::int64_t col = 0; col < 6; ++col)
          x.at(row, 6 * communicator.shard_index() + col) = value_of(communicator.shard_index(), row, col, 0);
      }
      communicator.gather(x.view());
      for (std::int64_t row = 0; row < 9; ++row) {
        for (std::int64_t col = 0; col < cols; ++col) {
          ASSERT_EQ(x.at(row, col), value_of(static_cast<int>(col / 6), row, col % 6, 0));
        }
      }
      EXPECT_TRUE(x.is_untouched_outside());
    });
  }
}

TEST(ThreadCommunicator, GivesTheFirstShardTheColumnsOfAllAndLeavesTheOthersAsTheyAre) {
  constexpr std::int64_t kCols = 6;
  for (const int shard_count : {1, 2, 4, 5}) {
    run_shards(shard_count, [&](Communicator& communicator) {
      const int own = communicator.shard_index();
      const std::int64_t cols = own == 0 ? kCols * shard_count : kCols;
      Matrix x(9, cols, cols + 3);
      for (std::int64_t row = 0; row < 9; ++row) {
        for (std::int64_t col = 0; col < kCols; ++col) x.at(row, col) = value_of(own, row, col, 0);
      }
      communicator.gather_to_first(x.view());
      for (std::int64_t row = 0; row < 9; ++row) {
        for (std::int64_t col = 0; col < cols; ++col) {
          ASSERT_EQ(x.at(row, col), value_of(own + static_cast<int>(col / kCols), row, col % kCols, 0));
        }
      }
      EXPECT_TRUE(x.is_untouched_outside());
    });
  }
}

TEST(ThreadCommunicator, KeepsManyCollectivesInARowApart) {
  constexpr int kShards = 4, kRounds = 2000;
  run_shards(kShards, [&](Communicator& communicator) {
    Matrix x(2, 8, 8);
    for (int round = 0; round < kRounds; ++round) {
      const int shard = communicator.shard_index();
      for (std::int64_t row = 0; row < 2; ++row) {
        for (std::int64_t col = 0; col < 8; ++col) x.at(row, col) = static_cast<float>((shard + 1) * (round + 1)) + static_cast<float>(col);
      }
      if (round % 3 == 0) {
        communicator.gather(x.view());
        for (std::int64_t col = 0; col < 8; ++col) {
          ASSERT_EQ(x.at(1, col), static_cast<float>((col / 2 + 1) * (round + 1)) + static_cast<float>(col));
        }
      } else {
        communicator.all_reduce(x.view());
        ASSERT_EQ(x.at(1, 3), static_cast<float>(10 * (round + 1) + 12));
      }
      if (round % 7 == 0) communicator.expect_same(static_cast<std::uint64_t>(round));
    }
  });
}

TEST(ThreadCommunicator, CountsCollectivesAndTheirBytes) {
  run_shards(2, [](Communicator& communicator) {
    Matrix x(3, 10, 12);
    communicator.all_reduce(x.view());
    communicator.all_reduce(x.view().rows_from(0, 1));
    communicator.gather(x.view());
    communicator.gather_to_first(communicator.shard_index() == 0 ? x.view() : x.view().cols_from(0, 5));
    communicator.expect_same(1);
    const CollectiveCounts& counts = communicator.counts();
    EXPECT_EQ(counts.all_reduces, 2u);
    EXPECT_EQ(counts.all_reduce_bytes, 160u);
    EXPECT_EQ(counts.gathers, 1u);
    EXPECT_EQ(counts.gather_bytes, 120u);
    EXPECT_EQ(counts.gathers_to_first, 1u);
    EXPECT_EQ(counts.gather_to_first_bytes, 120u);
    EXPECT_EQ(counts.sent_bytes(2), 160 + 60 + 60);
  });
}

TEST(ThreadCommunicatorDeathTest, EndsTheProcessWhenShardsDisagree) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      run_shards(2, [](Communicator& communicator) { communicator.expect_same(static_cast<std::uint64_t>(communicator.shard_index())); }),
      "shard 1: expected the same collective as on shard 0, expect_same.*value 0x0; found .*value 0x1");
  EXPECT_DEATH(run_shards(2,
                          [](Communicator& communicator) {
                            Matrix x(2, 4, 4);
                            if (communicator.shard_index() == 0) communicator.all_reduce(x.view());
                            if (communicator.shard_index() == 1) communicator.gather(x.view());
                          }),
               "shard 1: expected the same collective as on shard 0, all_reduce");
}

// Far more rows on some shards than on others, so that a shard that went on would read outside of a tensor.
TEST(ThreadCommunicatorDeathTest, EndsTheProcessBeforeAnyShardReadsATensorOfAnotherShape) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const int odd : {1, 2}) {
    EXPECT_EXIT(
        run_shards(3,
                   [&](Communicator& communicator) {
                     Matrix x(communicator.shard_index() == odd ? 1 : 100000, 4, 4);
                     communicator.all_reduce(x.view());
                   }),
        ::testing::KilledBySignal(SIGABRT),
        "shard " + std::to_string(odd) + ": expected the same collective as on shard 0, all_reduce .100000, 4.*found all_reduce .1, 4");
  }
}

}  // namespace
}  // namespace slora
