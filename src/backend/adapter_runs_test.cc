#include "backend/adapter_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace slora {
namespace {

using ::testing::ElementsAre;

AdapterSegment segment(std::int32_t row_begin, std::int32_t row_count) { return {row_begin, row_count, 0, 1.0f, nullptr}; }

std::vector<std::int32_t> segments_of(const AdapterRuns& runs, std::size_t run) {
  const AdapterRun& found = runs.runs()[run];
  const auto begin = runs.segments().begin() + found.segment_begin;
  return {begin, begin + found.segment_count};
}

TEST(AdapterRuns, AreTheRowsOfABlendWithAllOfItsSegments) {
  AdapterRuns runs;
  runs.cut(std::vector{segment(2, 3), segment(2, 3), segment(5, 1)});
  ASSERT_EQ(runs.runs().size(), 2u);
  EXPECT_EQ(runs.runs()[0].row_begin, 2);
  EXPECT_EQ(runs.runs()[0].row_count, 3);
  EXPECT_THAT(segments_of(runs, 0), ElementsAre(0, 1));
  EXPECT_THAT(segments_of(runs, 1), ElementsAre(2));
  runs.cut({});
  EXPECT_TRUE(runs.runs().empty());
}

// Every row is in one run at most, whose segments are those over the row, in their order.
TEST(AdapterRuns, CoverEveryRowOnceWhateverOverlaps) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned end) { return static_cast<std::int32_t>(random() % end); };
    std::vector<AdapterSegment> segments;
    for (std::int32_t i = below(8); i >= 0; --i) segments.push_back(segment(below(20), 1 + below(6)));
    AdapterRuns runs;
    runs.cut(segments);
    std::vector<std::vector<std::int32_t>> found(26);
    for (std::size_t i = 0; i < runs.runs().size(); ++i) {
      const AdapterRun& run = runs.runs()[i];
      for (std::int32_t row = run.row_begin; row < run.row_begin + run.row_count; ++row) {
        ASSERT_TRUE(found[static_cast<std::size_t>(row)].empty()) << "seed " << seed;
        found[static_cast<std::size_t>(row)] = segments_of(runs, i);
      }
    }
    for (std::int32_t row = 0; row < 26; ++row) {
      std::vector<std::int32_t> expected;
      for (std::size_t s = 0; s < segments.size(); ++s) {
        if (row >= segments[s].row_begin && row < segments[s].row_begin + segments[s].row_count)
          expected.push_back(static_cast<std::int32_t>(s));
      }
      ASSERT_EQ(found[static_cast<std::size_t>(row)], expected) << "seed " << seed << ", row " << row;
    }
  }
}

}  // namespace
}  // namespace slora
