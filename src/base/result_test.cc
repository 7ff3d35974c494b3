#include "base/result.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

Result<int> halved(int value) {
  if (value % 2 != 0) return error("E_ODD", "expected an even number, found {}", value);
  return value / 2;
}

Result<std::string> halved_text(int value) {
  Result<int> half = halved(value);
  if (!half) return forward_error(half);
  return std::to_string(*half);
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(*halved(4), 2);
  const Result<int> failed = halved(3);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "E_ODD");
  EXPECT_EQ(failed.error().message, "expected an even number, found 3");
}

TEST(Result, ForwardsErrorsToOtherTypes) {
  EXPECT_EQ(*halved_text(8), "4");
  EXPECT_EQ(halved_text(5).error().code, "E_ODD");
  const Status status = forward_error(halved(7));
  EXPECT_EQ(status.error().message, "expected an even number, found 7");
}

}  // namespace
}  // namespace slora
