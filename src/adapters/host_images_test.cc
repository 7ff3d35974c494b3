#include "adapters/host_images.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <filesystem>
#include <thread>

#include "adapters/adapter_store.h"
#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

ImageLayout layout_of(std::uint32_t page_count) {
  ImageLayout layout;
  layout.page_bytes = 4096;
  layout.page_count = page_count;
  return layout;
}

const std::uint64_t kImageBytes = HostImage::bytes_of(std::vector{layout_of(2)});

AdapterVersion version_of(std::uint64_t id) { return {AdapterId{id}, {.name = "sql", .folder = {}, .generation = id, .stamp = {}}, 2}; }

void fill(HostImages& tier, const AdapterVersion& version) {
  const std::shared_ptr<HostImage> image = tier.try_make(std::vector{layout_of(2)});
  ASSERT_NE(image, nullptr);
  tier.put(version, image);
}

TEST(HostImages, KeepsThoseUsedLast) {
  HostImages tier(2 * kImageBytes);
  const AdapterVersion first = version_of(1), second = version_of(2), third = version_of(3);
  fill(tier, first);
  fill(tier, second);
  EXPECT_NE(tier.find(first.id()), nullptr);
  fill(tier, third);
  EXPECT_NE(tier.find(first.id()), nullptr);
  EXPECT_EQ(tier.find(second.id()), nullptr);
  EXPECT_NE(tier.find(third.id()), nullptr);
  const HostImages::Counts counts = tier.counts();
  EXPECT_EQ(counts.hits, 3u);
  EXPECT_EQ(counts.misses, 1u);
  EXPECT_EQ(counts.evictions, 1u);
  EXPECT_EQ(counts.bytes, 2 * kImageBytes);
}

TEST(HostImages, CountsWhatIsBeingWrittenAndEvictsNothingThatIsCopied) {
  HostImages tier(2 * kImageBytes);
  const AdapterVersion first = version_of(1);
  fill(tier, first);
  std::shared_ptr<const HostImage> copied = tier.find(first.id());
  std::shared_ptr<HostImage> written = tier.try_make(std::vector{layout_of(2)});
  ASSERT_NE(written, nullptr);
  EXPECT_EQ(tier.try_make(std::vector{layout_of(2)}), nullptr);
  tier.forget(first.id());
  EXPECT_EQ(tier.try_make(std::vector{layout_of(2)}), nullptr) << "it is still being copied";
  copied.reset();
  EXPECT_NE(tier.try_make(std::vector{layout_of(2)}), nullptr);
  written.reset();
  EXPECT_EQ(tier.counts().bytes, 0u);
  EXPECT_EQ(tier.try_make(std::vector{layout_of(100)}), nullptr) << "more than the tier";
}

TEST(HostImages, HoldsNothingWhenOff) {
  HostImages tier(0);
  EXPECT_EQ(tier.try_make(std::vector{layout_of(1)}), nullptr);
  EXPECT_EQ(tier.find(AdapterId{1}), nullptr);
  EXPECT_EQ(tier.counts().misses, 0u);
}

TEST(HostImages, StayWithinTheirBytesWhateverThreadsDo) {
  constexpr std::uint64_t kImagesMax = 5;
  HostImages tier(kImagesMax * kImageBytes);
  std::vector<AdapterVersion*> versions;
  std::deque<AdapterVersion> storage;
  for (std::uint64_t id = 1; id <= 12; ++id) versions.push_back(&storage.emplace_back(AdapterId{id}, AdapterVersion::Origin{}, 2));
  std::atomic<bool> is_exceeded{false}, is_wrong{false};
  std::vector<std::jthread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      std::vector<std::byte> memory(2 * 4096);
      const std::vector<std::byte*> addresses = {memory.data(), memory.data() + 4096};
      const ImagePages pages = addresses;
      for (std::uint64_t i = 0; i < 3000; ++i) {
        const AdapterVersion& version = *versions[(i * 7 + thread * 5) % versions.size()];
        const auto mark = static_cast<std::byte>(version.id().value);
        if (const std::shared_ptr<const HostImage> image = tier.find(version.id())) {
          Gate gate;
          if (!image->try_copy_to(std::span(&pages, 1), gate) || memory[4097] != mark) is_wrong = true;
        } else if (const std::shared_ptr<HostImage> made = tier.try_make(std::vector{layout_of(2)})) {
          const std::vector<ImagePages> written = made->pages();
          for (std::byte* const page : written.front()) std::memset(page, static_cast<int>(mark), 4096);
          tier.put(version, made);
        }
        if (i % 50 == 0) tier.forget(version.id());
        if (tier.counts().bytes > kImagesMax * kImageBytes) is_exceeded = true;
      }
    });
  }
  threads.clear();
  EXPECT_FALSE(is_exceeded);
  EXPECT_FALSE(is_wrong);
}

// One version's image in pages of its own.
struct Loaded {
  Loaded(AdapterStore& store, const AdapterVersion& version) : memory(version.page_count() * store.base().page_bytes) {
    std::vector<std::byte*> addresses;
    for (std::uint32_t page = 0; page < version.page_count(); ++page) addresses.push_back(memory.data() + page * store.base().page_bytes);
    const ImagePages pages = addresses;
    result = store.load(version, std::span(&pages, 1), gate);
  }
  Gate gate;
  std::vector<std::byte> memory;
  Result<std::vector<ImageLayout>> result;
};

class StoreWithHostImages : public testing::Test {
 protected:
  void SetUp() override { lora_of_rank(4).write(folder); }

  const TemporaryFolder root;
  const std::string folder = root.file("sql");
};

TEST_F(StoreWithHostImages, LoadsTheSameBytesWithoutTouchingTheDiskAgain) {
  AdapterStore plain(test_base(), {.look_interval = Timestamp(0)});
  AdapterStore store(test_base(), {.look_interval = Timestamp(0), .host_bytes_max = kMiB});
  ASSERT_TRUE(plain.add_folder("sql", folder));
  ASSERT_TRUE(store.add_folder("sql", folder));
  const auto version = store.resolve("sql").value();
  const Loaded direct(plain, *plain.resolve("sql").value());
  const Loaded first(store, *version);
  std::filesystem::remove_all(folder);
  const Loaded second(store, *version);
  ASSERT_TRUE(direct.result && first.result && second.result);
  EXPECT_EQ(first.memory, direct.memory);
  EXPECT_EQ(second.memory, direct.memory);
  EXPECT_EQ(second.result->front().tiles.size(), direct.result->front().tiles.size());
  EXPECT_EQ(store.host_counts().hits, 1u);
  EXPECT_EQ(store.host_counts().misses, 1u);
  EXPECT_EQ(store.host_counts().images, 1u);
  EXPECT_EQ(plain.host_counts().bytes, 0u);
}

TEST_F(StoreWithHostImages, NeverLoadsAReplacedContentFromAnOldImage) {
  AdapterStore store(test_base(), {.look_interval = Timestamp(0), .host_bytes_max = kMiB});
  ASSERT_TRUE(store.add_folder("sql", folder));
  const auto old = store.resolve("sql").value();
  const Loaded before(store, *old);
  LoraFixture other = lora_of_rank(2);
  other.write(folder + ".new");
  for (const char* name : {"/adapter_config.json", "/adapter_model.safetensors"})
    std::filesystem::rename(folder + ".new" + name, folder + name);
  const auto now = store.resolve("sql").value();
  ASSERT_NE(now->id(), old->id());
  EXPECT_EQ(store.host_counts().images, 0u) << "a retired version has no image";
  const Loaded after(store, *now);
  ASSERT_TRUE(after.result);
  EXPECT_EQ(after.result->front().records.front().rank, 2);
  EXPECT_FALSE(Loaded(store, *old).result) << "its files are gone";
  store.remove("sql");
  EXPECT_EQ(store.host_counts().bytes, 0u);
}

TEST_F(StoreWithHostImages, LoadsThroughMemoryOfADeviceThatIsTakenOnce) {
  AdapterStore plain(test_base(), kLookAlways);
  ASSERT_TRUE(plain.add_folder("sql", folder));
  const Loaded direct(plain, *plain.resolve("sql").value());
  for (const std::uint64_t tier_bytes : {std::uint64_t{0}, kMiB}) {
    int allocated = 0;
    const auto allocate = [&](std::size_t bytes) {
      ++allocated;
      Buffer memory(bytes);
      std::memset(memory.data(), 0xff, bytes);  // of no particular content
      return memory;
    };
    AdapterStore store(test_base(), {.look_interval = Timestamp(0), .host_bytes_max = tier_bytes, .allocate_host = allocate});
    ASSERT_TRUE(store.add_folder("sql", folder));
    const auto version = store.resolve("sql").value();
    for (int round = 0; round < 3; ++round) {
      Gate gate;
      const Result<std::shared_ptr<const HostImage>> image = store.load_image(*version, gate);
      ASSERT_TRUE(image) << image.error().message;
      std::vector<std::byte> memory;
      const std::vector<ImagePages> shards = (*image)->pages();
      for (const std::byte* const page : shards.front()) memory.insert(memory.end(), page, page + store.base().page_bytes);
      EXPECT_EQ(memory, direct.memory);
      EXPECT_EQ(store.host_counts().bytes, memory.size());
    }
    EXPECT_EQ(allocated, 1);
    EXPECT_EQ(store.host_counts().hits, tier_bytes == 0 ? 0u : 2u);
    EXPECT_EQ(store.host_counts().bytes, tier_bytes == 0 ? 0u : direct.memory.size());
    store.remove("sql");
    EXPECT_EQ(store.host_counts().bytes, 0u);
  }
}

TEST_F(StoreWithHostImages, WritesNothingIntoPagesOfALoadThatWasGivenUp) {
  AdapterStore store(test_base(), {.look_interval = Timestamp(0), .host_bytes_max = kMiB});
  ASSERT_TRUE(store.add_folder("sql", folder));
  const auto version = store.resolve("sql").value();
  ASSERT_TRUE(Loaded(store, *version).result);
  std::vector<std::byte> memory(store.base().page_bytes, std::byte{7});
  const std::vector<std::byte*> addresses(version->page_count(), memory.data());
  const ImagePages pages = addresses;
  Gate gate;
  ASSERT_TRUE(gate.close());
  const Result<std::vector<ImageLayout>> loaded = store.load(*version, std::span(&pages, 1), gate);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, "adapter_unavailable");
  EXPECT_EQ(memory, std::vector<std::byte>(store.base().page_bytes, std::byte{7}));
}

}  // namespace
}  // namespace slora
