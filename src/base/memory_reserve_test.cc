#include "base/memory_reserve.h"

#include <gtest/gtest.h>

#include <new>

namespace slora {
namespace {

// As operator new does when it finds no memory: calls the handler until that throws. Returns how often it did not.
std::size_t count_retries() {
  std::size_t count = 0;
  try {
    for (;; ++count) std::get_new_handler()();
  } catch (const std::bad_alloc&) {
    return count;
  }
}

TEST(MemoryReserve, LetsAllocationsBeTriedAgainUntilItIsUsedUp) {
  MemoryReserve reserve;
  const std::size_t retries = count_retries();
  EXPECT_GE(retries, 40u);
  EXPECT_EQ(count_retries(), 0u);
  EXPECT_TRUE(reserve.try_refill());
  EXPECT_EQ(count_retries(), retries);
}

TEST(MemoryReserve, IsGoneWithItsObject) {
  { const MemoryReserve reserve; }
  EXPECT_EQ(std::get_new_handler(), nullptr);
}

TEST(MemoryReserveDeathTest, IsOneAtATime) {
  const MemoryReserve reserve;
  EXPECT_DEATH({ const MemoryReserve another; }, "one MemoryReserve at a time");
}

}  // namespace
}  // namespace slora
