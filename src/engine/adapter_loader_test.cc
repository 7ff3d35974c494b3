#include "engine/adapter_loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>

namespace slora {
namespace {

std::shared_ptr<const AdapterVersion> version(std::uint64_t id) {
  return std::make_shared<const AdapterVersion>(AdapterId{id}, AdapterVersion::Origin{}, 1);
}

// Waits for as many outcomes and returns whose they are.
std::set<std::uint64_t> outcomes(Inbox& inbox, std::size_t count) {
  std::set<std::uint64_t> ids;
  for (Inbox::Contents told; ids.size() < count; inbox.drain_into(told)) {
    for (const LoadOutcome& outcome : told.outcomes) EXPECT_TRUE(ids.insert(outcome.adapter.value).second);
    if (ids.size() < count) inbox.wait_for(std::chrono::seconds(60));
  }
  return ids;
}

TEST(AdapterLoader, BringsOthersInWhileDisksHang) {
  std::latch released(1);
  Inbox inbox;
  AdapterLoader loader(4, 100, inbox, [&](const AdapterVersion& wanted, std::span<const PageIndex> pages) {
    EXPECT_EQ(pages.size(), 1u);
    EXPECT_EQ(pages[0].value, wanted.id().value);
    if (wanted.id().value <= 3) released.wait();
    return Result<std::unique_ptr<const AdapterView>>(std::make_unique<const AdapterView>());
  });
  for (std::uint64_t id = 1; id <= 10; ++id) loader.start(version(id), {PageIndex{static_cast<std::uint32_t>(id)}});
  EXPECT_EQ(outcomes(inbox, 7), (std::set<std::uint64_t>{4, 5, 6, 7, 8, 9, 10}));
  released.count_down();
  EXPECT_EQ(outcomes(inbox, 3), (std::set<std::uint64_t>{1, 2, 3}));
}

TEST(AdapterLoader, WaitsInItsEndForLoadsUnderWayAndDropsTheOthers) {
  std::latch begun(2), released(1);
  Inbox inbox;
  auto loader = std::make_unique<AdapterLoader>(2, 100, inbox, [&](const AdapterVersion&, std::span<const PageIndex>) {
    begun.count_down();
    released.wait();
    return Result<std::unique_ptr<const AdapterView>>(std::make_unique<const AdapterView>());
  });
  for (std::uint64_t id = 1; id <= 2; ++id) loader->start(version(id), {PageIndex{0}});
  begun.wait();
  std::shared_ptr<const AdapterVersion> last = version(3);
  const std::weak_ptr<const AdapterVersion> dropped = last;
  loader->start(std::move(last), {PageIndex{0}});

  std::atomic<bool> is_gone = false;
  std::thread end([&] {
    loader.reset();
    is_gone = true;
  });
  while (!dropped.expired()) std::this_thread::yield();
  EXPECT_FALSE(is_gone) << "two loads still write into their pages";
  released.count_down();
  end.join();
  EXPECT_EQ(outcomes(inbox, 2), (std::set<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace slora
