// HostImages in an area of memory from which a device copies.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>

#include "adapters/host_images.h"

namespace slora {
namespace {

constexpr std::size_t kAreaPageBytes = 4096;

std::vector<ImageLayout> layouts_of(std::uint32_t page_count) {
  ImageLayout layout;
  layout.page_bytes = kAreaPageBytes;
  layout.page_count = page_count;
  return {layout};
}

AdapterVersion area_version(std::uint64_t id) { return {AdapterId{id}, {.name = "a", .folder = {}, .generation = id, .stamp = {}}, 1}; }

// An area of so many pages, whose allocations are counted.
class AreaFixture {
 public:
  explicit AreaFixture(std::size_t pages, HostImages::Keep keep = HostImages::Keep::none) : images(area_of(pages), keep) {}

  [[nodiscard]] std::shared_ptr<HostImage> make(std::uint32_t pages, Gate& gate) {
    return images.make_in_area(layouts_of(pages), gate).value();
  }
  void wait_until_waiting(std::size_t count) const {
    while (images.counts().waiting != count) std::this_thread::yield();
  }
  [[nodiscard]] std::uint64_t pages_in_use() const { return images.counts().bytes / kAreaPageBytes; }

  std::vector<std::size_t> allocations;  // in bytes
  bool refuses = false;
  HostImages images;

 private:
  HostArea area_of(std::size_t pages) {
    const auto allocate = [this](std::size_t bytes) {
      if (refuses) throw std::runtime_error("no page-locked memory is left");
      allocations.push_back(bytes);
      return Buffer(bytes);
    };
    return {allocate, pages * kAreaPageBytes - 1, kAreaPageBytes};
  }
};

TEST(HostArea, HasTheImagesOfAllLoadsAndIsTakenOnce) {
  AreaFixture area(4);
  Gate gate;
  for (int round = 0; round < 3; ++round) {
    const std::shared_ptr<HostImage> first = area.make(1, gate), second = area.make(3, gate);
    EXPECT_EQ(area.pages_in_use(), 4u);
    std::vector<std::byte*> pages(first->pages().front().begin(), first->pages().front().end());
    std::ranges::copy(second->pages().front(), std::back_inserter(pages));
    std::ranges::sort(pages);
    for (std::size_t i = 1; i < pages.size(); ++i) EXPECT_EQ(pages[i], pages[i - 1] + kAreaPageBytes);
  }
  EXPECT_EQ(area.pages_in_use(), 0u);
  EXPECT_EQ(area.allocations, std::vector<std::size_t>{4 * kAreaPageBytes});
}

TEST(HostArea, LoadsWaitForSpaceInTheirTurn) {
  AreaFixture area(3);
  Gate gate;
  std::shared_ptr<HostImage> first = area.make(2, gate);
  std::atomic<int> ended{0};
  int large_ended = -1, small_ended = -1;
  Gate large_gate, small_gate;
  std::jthread large([&] {
    const std::shared_ptr<HostImage> image = area.make(3, large_gate);
    large_ended = ended++;
  });
  area.wait_until_waiting(1);
  EXPECT_TRUE(large_gate.is_computing()) << "it is no load that hangs";
  std::jthread small([&] {
    const std::shared_ptr<HostImage> image = area.make(1, small_gate);
    small_ended = ended++;
  });
  area.wait_until_waiting(2);
  EXPECT_EQ(area.pages_in_use(), 2u) << "a small image does not overtake a large one";
  first.reset();
  large.join();
  small.join();
  EXPECT_EQ(large_ended, 0);
  EXPECT_EQ(small_ended, 1);
  EXPECT_EQ(area.pages_in_use(), 0u);
}

TEST(HostArea, ALoadThatIsGivenUpWaitsNoLonger) {
  AreaFixture area(2);
  Gate gate, waiting_gate, last_gate;
  std::shared_ptr<HostImage> first = area.make(2, gate);
  std::jthread waiting([&] {
    const Result<std::shared_ptr<HostImage>> refused = area.images.make_in_area(layouts_of(2), waiting_gate);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "E_READ");
    EXPECT_EQ(refused.error().message, "waiting for space in the host's memory took too long");
  });
  area.wait_until_waiting(1);
  std::jthread last([&] { EXPECT_NE(area.make(1, last_gate), nullptr); });
  area.wait_until_waiting(2);
  EXPECT_TRUE(waiting_gate.close());
  waiting.join();
  first.reset();
}

TEST(HostArea, HasTheSpaceOfALoadThatHangsOnceItIsGivenUp) {
  for (const std::uint32_t pages : {2u, 5u}) {  // in the area, and larger
    AreaFixture area(2, HostImages::Keep::used_last);
    Gate hanging_gate, gate;
    std::shared_ptr<HostImage> hanging = area.make(pages, hanging_gate);
    std::shared_ptr<HostImage> image;
    std::jthread waiting([&] { image = area.make(pages, gate); });
    area.wait_until_waiting(1);
    EXPECT_TRUE(hanging_gate.close());
    waiting.join();
    EXPECT_EQ(area.pages_in_use(), pages);
    // It comes back, and must not be taken for an image.
    const AdapterVersion version = area_version(1);
    area.images.put(version, hanging);
    EXPECT_EQ(area.images.keep(version.id()), nullptr);
    hanging.reset();
    EXPECT_EQ(area.pages_in_use(), pages) << "its memory is given back once";
  }
}

TEST(HostArea, KeepsImagesUntilALoadNeedsTheirSpace) {
  AreaFixture area(3, HostImages::Keep::used_last);
  std::vector<std::unique_ptr<AdapterVersion>> versions;
  Gate gate;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    versions.push_back(std::make_unique<AdapterVersion>(AdapterId{id}, AdapterVersion::Origin{}, 1));
    area.images.put(*versions.back(), area.make(1, gate));
  }
  EXPECT_NE(area.images.find(AdapterId{1}), nullptr);
  EXPECT_NE(area.make(2, gate), nullptr);
  EXPECT_NE(area.images.find(AdapterId{1}), nullptr);
  EXPECT_EQ(area.images.find(AdapterId{2}), nullptr);
  EXPECT_EQ(area.images.counts().evictions, 2u);
  EXPECT_EQ(area.pages_in_use(), 1u);
  // One that is copied stays: the load waits.
  std::shared_ptr<const HostImage> copied = area.images.find(AdapterId{1});
  Gate waiting_gate;
  std::jthread waiting([&] { EXPECT_NE(area.make(3, waiting_gate), nullptr); });
  area.wait_until_waiting(1);
  EXPECT_EQ(area.images.counts().images, 1u);
  copied.reset();
}

TEST(HostArea, AnImageThatIsLargerHasMemoryOfItsOwnOneAtATime) {
  AreaFixture area(2, HostImages::Keep::used_last);
  Gate gate, waiting_gate;
  std::shared_ptr<HostImage> large = area.make(5, gate);
  EXPECT_EQ(area.pages_in_use(), 5u);
  EXPECT_EQ(area.allocations.back(), 5 * kAreaPageBytes);
  EXPECT_NE(area.make(2, gate), nullptr) << "next to it the area is free";
  std::jthread waiting([&] { EXPECT_NE(area.make(3, waiting_gate), nullptr); });
  area.wait_until_waiting(1);
  EXPECT_NE(area.make(2, gate), nullptr) << "and waits for no large one";
  const AdapterVersion version = area_version(1);
  area.images.put(version, large);
  EXPECT_EQ(area.images.keep(version.id()), nullptr);
  EXPECT_EQ(area.allocations.size(), 2u);
  large.reset();
  waiting.join();
  EXPECT_EQ(area.allocations.size(), 3u);
  EXPECT_EQ(area.pages_in_use(), 0u);

  area.refuses = true;
  const Result<std::shared_ptr<HostImage>> refused = area.images.make_in_area(layouts_of(3), gate);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_READ");
  EXPECT_EQ(refused.error().message,
            "there is no memory for its image of 12288 bytes; 8192 are kept for images: no page-locked memory is left");
  area.refuses = false;
  EXPECT_NE(area.make(3, gate), nullptr) << "it counts no longer";
}

// Loads of images of many sizes, of which some hang until they are given up. None finds another's bytes in its image.
TEST(HostArea, GivesEveryLoadPagesOfItsOwnWhateverThreadsDo) {
  constexpr std::uint32_t kPages = 6;
  AreaFixture area(kPages, HostImages::Keep::used_last);
  std::atomic<std::uint64_t> next_id{1};
  std::atomic<std::int32_t> wrong{0}, made{0};
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        std::minstd_rand random(thread + 1);
        for (int round = 0; round < 150; ++round) {
          Gate gate;
          const std::uint32_t pages = 1 + static_cast<std::uint32_t>(random()) % (kPages + 1);
          const std::shared_ptr<HostImage> image = area.make(pages, gate);
          const std::uint64_t id = next_id++;
          const auto mark = static_cast<int>(id % 251);
          bool is_mine = true;
          const std::vector<ImagePages> shards = image->pages();
          for (std::byte* const page : shards.front()) {
            if (!gate.pass([&] { std::memset(page, mark, kAreaPageBytes); })) ++wrong;
          }
          if (random() % 4 == 0) {  // it hangs, and another may have its pages now
            static_cast<void>(gate.close());
            if (gate.pass([] {})) ++wrong;
            continue;
          }
          std::this_thread::yield();
          for (const std::byte* const page : shards.front()) {
            is_mine = is_mine && page[0] == std::byte(mark) && page[kAreaPageBytes - 1] == std::byte(mark);
          }
          const AdapterVersion version = area_version(id);
          area.images.put(version, image);
          if (random() % 2 == 0) area.images.forget(version.id());
          wrong += is_mine ? 0 : 1;
          ++made;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(made, 300);
  EXPECT_LE(area.pages_in_use(), kPages);
}

}  // namespace
}  // namespace slora
