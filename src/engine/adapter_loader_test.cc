#include "engine/adapter_loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>

namespace slora {
namespace {

std::shared_ptr<const AdapterVersion> version(std::uint64_t id, const std::string& root = {}) {
  return std::make_shared<const AdapterVersion>(AdapterId{id}, AdapterVersion::Origin{"sql", FolderPath::beneath(root, "sql"), 1, {}}, 1);
}

Result<std::unique_ptr<const AdapterView>> some_view() { return std::make_unique<const AdapterView>(); }

constexpr AdapterLoaderOptions kOptions{.threads_per_lane = 2, .lanes_max = 4, .loads_max = 100};
constexpr Timestamp kLongAgo{0};

// Waits for as many outcomes and returns whose they are.
std::set<std::uint64_t> outcomes(Inbox& inbox, std::size_t count) {
  std::set<std::uint64_t> ids;
  for (Inbox::Contents received; ids.size() < count; inbox.drain_into(received)) {
    for (const LoadOutcome& outcome : received.outcomes) EXPECT_TRUE(ids.insert(outcome.adapter.value).second);
    if (ids.size() < count) inbox.wait_for(std::chrono::seconds(60));
  }
  return ids;
}

TEST(AdapterLoader, BringsAdaptersOfOtherRootsInWhileOneHangs) {
  std::latch released(1);
  Inbox inbox;
  AdapterLoader loader(kOptions, inbox, [&](const AdapterVersion& wanted, const LoadPages& pages, Gate&) {
    EXPECT_EQ(pages.own.size(), 1u);
    EXPECT_EQ(pages.own[0].value, wanted.id().value);
    if (wanted.folder().root == "/slow") released.wait();
    return some_view();
  });
  for (std::uint64_t id = 1; id <= 6; ++id) loader.start(version(id, "/slow"), {{PageIndex{static_cast<std::uint32_t>(id)}}}, kLongAgo);
  for (std::uint64_t id = 7; id <= 12; ++id) loader.start(version(id, "/fast"), {{PageIndex{static_cast<std::uint32_t>(id)}}}, kLongAgo);
  EXPECT_EQ(outcomes(inbox, 6), (std::set<std::uint64_t>{7, 8, 9, 10, 11, 12}));
  released.count_down();
  EXPECT_EQ(outcomes(inbox, 6), (std::set<std::uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(AdapterLoader, GivesLoadsUpThatReadNothingForTooLong) {
  std::latch begun(2), released(1);
  std::atomic<int> writes = 0;
  Inbox inbox;
  AdapterLoader loader(kOptions, inbox, [&](const AdapterVersion&, const LoadPages&, Gate& gate) {
    begun.count_down();
    released.wait();
    if (gate.pass([] {})) ++writes;
    return some_view();
  });
  for (std::uint64_t id = 1; id <= 3; ++id) loader.start(version(id), {{PageIndex{0}}}, kLongAgo);
  begun.wait();
  loader.give_up_hanging(std::chrono::seconds(1));  // sees that two run
  loader.give_up_hanging(std::chrono::seconds(10));
  Inbox::Contents received;
  inbox.drain_into(received);
  EXPECT_TRUE(received.outcomes.empty());
  loader.give_up_hanging(std::chrono::seconds(12));
  inbox.drain_into(received);
  ASSERT_EQ(received.outcomes.size(), 3u) << "the one that waits for them too";
  for (const LoadOutcome& outcome : received.outcomes) {
    ASSERT_FALSE(outcome.view);
    EXPECT_EQ(outcome.view.error().code, "adapter_unavailable");
    loader.forget(outcome.adapter, std::chrono::seconds(12));
  }
  loader.start(version(1), {{PageIndex{0}}}, std::chrono::seconds(12));  // the same adapter once more
  released.count_down();
  EXPECT_EQ(outcomes(inbox, 1), (std::set<std::uint64_t>{1})) << "of the second load alone";
  EXPECT_TRUE(loader.wait_until_idle(std::chrono::seconds(60)));
  EXPECT_EQ(writes, 1) << "the pages of the others are somebody else's";
}

TEST(AdapterLoader, LetsLoadsGoOnThatAreSlowButRead) {
  std::latch begun(1), released(1);
  std::atomic<Gate*> gate_of_load = nullptr;
  Inbox inbox;
  AdapterLoader loader({.threads_per_lane = 1, .lanes_max = 1, .loads_max = 10}, inbox,
                       [&](const AdapterVersion& wanted, const LoadPages&, Gate& gate) {
                         if (wanted.id().value == 1) {
                           gate_of_load = &gate;
                           begun.count_down();
                           released.wait();
                         }
                         return some_view();
                       });
  for (std::uint64_t id = 1; id <= 2; ++id) loader.start(version(id), {{PageIndex{0}}}, kLongAgo);
  begun.wait();
  for (int second = 1; second < 60; second += 9) {
    ASSERT_TRUE(gate_of_load.load()->pass([] {}));
    loader.give_up_hanging(std::chrono::seconds(second));
  }
  released.count_down();
  EXPECT_EQ(outcomes(inbox, 2), (std::set<std::uint64_t>{1, 2}));
}

TEST(AdapterLoader, WaitsInItsEndForLoadsUnderWayAndDropsTheOthers) {
  std::latch begun(2), released(1);
  Inbox inbox;
  auto loader = std::make_unique<AdapterLoader>(kOptions, inbox, [&](const AdapterVersion&, const LoadPages&, Gate&) {
    begun.count_down();
    released.wait();
    return some_view();
  });
  for (std::uint64_t id = 1; id <= 2; ++id) loader->start(version(id), {{PageIndex{0}}}, kLongAgo);
  begun.wait();
  std::shared_ptr<const AdapterVersion> last = version(3);
  const std::weak_ptr<const AdapterVersion> dropped = last;
  loader->start(std::move(last), {{PageIndex{0}}}, kLongAgo);
  EXPECT_FALSE(loader->wait_until_idle(std::chrono::milliseconds(1)));

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
