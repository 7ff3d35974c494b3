#include "kernels/cuda/linear.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace slora::cuda {
namespace {

struct Shape {
  std::int64_t out, in;
};
// Products of Llama-3-8B, Llama-2-7B and Qwen2.5-0.5B, and narrow ones.
constexpr Shape kShapes[] = {{6144, 4096},  {4096, 4096}, {28672, 4096}, {4096, 14336},  {128256, 4096}, {12288, 4096}, {22016, 4096},
                             {4096, 11008}, {1152, 896},  {896, 896},    {9728, 896},    {896, 4864},    {151936, 896}, {1, 131072},
                             {64, 32768},   {60, 12},     {97, 1100},    {24576, 65536}, {1, 1}};

std::int64_t in_parts(std::int64_t count, std::int64_t part) { return (count + part - 1) / part; }

TEST(LinearRanges, GiveFewRowsManyBlocksUnlessTheyWouldBeShort) {
  for (const auto& [out, in] : kShapes) {
    const std::int32_t range = linear_range_columns(out, in);
    EXPECT_EQ(range % 64, 0);
    EXPECT_GE(range, 512);
    const std::int64_t tiles = in_parts(out, 64), blocks = tiles * in_parts(in, range);
    const bool is_short = range == 512;
    EXPECT_TRUE(blocks >= 264 || is_short) << out << " x " << in << ": " << blocks << " blocks, ranges of " << range;
    EXPECT_LE(blocks, std::max<std::int64_t>(tiles, 768)) << out << " x " << in;
  }
  EXPECT_EQ(linear_range_columns(4096, 4096), 704);    // 6 ranges, 384 blocks
  EXPECT_EQ(linear_range_columns(28672, 4096), 4096);  // one
}

TEST(LinearRanges, NeedNoMoreScratchThanThereIs) {
  for (const auto& [out, in] : kShapes) {
    const std::int32_t range = linear_range_columns(out, in);
    for (std::int64_t rows = 1; rows <= 4096; rows += rows < 300 ? 1 : 97) {
      const std::int64_t sums = linear_sums_count(rows, out, in, range);
      ASSERT_LE(sums, LinearScratch::kSumsMax) << out << " x " << in << ", " << rows << " rows";
      if (sums == 0) continue;
      const std::int64_t tiles = in_parts(rows, rows <= 16 ? 16 : 64) * in_parts(out, 64);
      ASSERT_LE(tiles, LinearScratch::kTilesMax) << out << " x " << in << ", " << rows << " rows";
    }
    const bool has_ranges = in > range;
    EXPECT_EQ(linear_sums_count(1, out, in, range) > 0, has_ranges) << out << " x " << in;
    if (out >= 896) {
      EXPECT_EQ(linear_sums_count(4096, out, in, range), 0) << out << " x " << in;
    }
  }
}

}  // namespace
}  // namespace slora::cuda
