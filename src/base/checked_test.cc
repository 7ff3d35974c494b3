#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace slora {
namespace {

TEST(Checked, GivesNothingInsteadOfAWrappedValue) {
  EXPECT_EQ(checked_add<std::uint64_t>(UINT64_MAX - 1, 1), UINT64_MAX);
  EXPECT_FALSE(checked_add<std::uint64_t>(UINT64_MAX, 1));
  EXPECT_FALSE(checked_add<std::int32_t>(INT32_MAX, 1));
  EXPECT_FALSE(checked_add<std::int32_t>(INT32_MIN, -1));
  EXPECT_EQ(checked_mul<std::uint64_t>(1ull << 32, (1ull << 32) - 1), 0xffffffff00000000u);
  EXPECT_FALSE(checked_mul<std::uint64_t>(1ull << 32, 1ull << 32));
  EXPECT_FALSE(checked_mul<std::int64_t>(INT64_MIN, -1));
}

TEST(Checked, CastsOnlyWhatFits) {
  EXPECT_EQ(checked_cast<std::int32_t>(std::uint64_t{INT32_MAX}), INT32_MAX);
  EXPECT_FALSE(checked_cast<std::int32_t>(std::uint64_t{1} << 31));
  EXPECT_FALSE(checked_cast<std::uint64_t>(-1));
  EXPECT_FALSE(checked_cast<std::int64_t>(UINT64_MAX));
  EXPECT_EQ(checked_cast<std::uint8_t>(255), 255);
  EXPECT_FALSE(checked_cast<std::uint8_t>(256));
}

}  // namespace
}  // namespace slora
