#include "engine/snapshot.h"

#include <gtest/gtest.h>

#include <thread>

namespace slora {
namespace {

struct Pair {
  std::uint64_t first = 0;
  std::array<std::uint32_t, 9> rest{};
};

TEST(Snapshot, BeginsWithZerosAndThenIsWhatWasPublishedLast) {
  Snapshot<Pair> snapshot;
  EXPECT_EQ(snapshot.read().first, 0u);
  snapshot.publish({7, {1, 2, 3}});
  snapshot.publish({8, {4, 5, 6}});
  EXPECT_EQ(snapshot.read().first, 8u);
  EXPECT_EQ(snapshot.read().rest[2], 6u);
}

TEST(Snapshot, IsReadWholeWhileItChanges) {
  constexpr std::uint32_t kCount = 20000;
  Snapshot<Pair> snapshot;
  std::jthread writer([&] {
    for (std::uint32_t i = 1; i <= kCount; ++i) {
      Pair value{i, {}};
      value.rest.fill(i);
      snapshot.publish(value);
    }
  });
  std::uint64_t last = 0;
  while (last < kCount) {
    const Pair value = snapshot.read();
    EXPECT_GE(value.first, last);
    for (const std::uint32_t one : value.rest) ASSERT_EQ(one, value.first);
    last = value.first;
  }
}

}  // namespace
}  // namespace slora
