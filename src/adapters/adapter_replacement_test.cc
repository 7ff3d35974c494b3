// Adapters whose folders are replaced, again and again, between being looked at and being loaded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "adapters/adapter_store.h"
#include "adapters/testing/lora_fixture.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// Opens the system's folders, and replaces one of them by rename when it has been opened as often as given in `replaced_after`.
class ReplacingFolders final : public FolderSource {
 public:
  Result<Folder> open(const FolderPath& path) const override {
    Result<Folder> folder = Folder::open(path);
    if (replaced_after.contains(++open_count)) replace(path.path);
    return folder;
  }
  // By an adapter of `rank` whose first weight is another each time.
  void replace(const std::string& path) const {
    LoraFixture next = lora_of_rank(rank);
    const float weight = 1 + static_cast<float>(++replaced_count);
    std::memcpy(next.tensors.front().bytes.data(), &weight, sizeof weight);
    next.write(path + ".new");
    fs::rename(path, path + ".old" + std::to_string(replaced_count));
    fs::rename(path + ".new", path);
  }

  int rank = 4;
  mutable int open_count = 0, replaced_count = 0;
  mutable std::set<int> replaced_after;
};

struct AdapterReplacementTest : ::testing::Test {
  AdapterReplacementTest() {
    lora_of_rank(4).write(folder);
    EXPECT_TRUE(store.add_folder("sql", folder));
  }
  // The first page of its image, or the code of the error.
  std::string load(const AdapterVersion& version) {
    std::vector<std::vector<std::byte>> memory(version.page_count(), std::vector<std::byte>(store.base().page_bytes));
    std::vector<std::byte*> pages;
    for (std::vector<std::byte>& page : memory) pages.push_back(page.data());
    const ImagePages addresses = pages;
    Gate gate;
    const Result<std::vector<ImageLayout>> layouts = store.load(version, std::span(&addresses, 1), gate);
    if (!layouts) return layouts.error().code;
    return {reinterpret_cast<const char*>(memory.front().data()), memory.front().size()};
  }

  const TemporaryFolder root;
  const std::string folder = root.file("sql");
  ReplacingFolders folders;
  AdapterStore store{test_base(), {.look_interval = std::chrono::hours(1)}, folders};
};

TEST_F(AdapterReplacementTest, LoadsTheContentThatIsThereNowIfNoneWasRead) {
  const auto version = store.resolve("sql").value();
  folders.replace(folder);
  const std::string image = load(*version);
  ASSERT_GT(image.size(), 20u) << image;
  EXPECT_TRUE(version->identity());
  version->mark_resident();
  EXPECT_TRUE(store.look_at_resident());
  EXPECT_EQ(store.resolve("sql").value(), version) << "nothing changed since it was read";
  version->mark_evicted();
  EXPECT_EQ(load(*version), image) << "after its image was evicted";
  folders.replace(folder);
  EXPECT_EQ(load(*version), "E_CHANGED") << "now the version is the content that was read";
  const auto next = store.resolve("sql").value();
  EXPECT_NE(next, version);
  EXPECT_NE(load(*next), image);
}

TEST_F(AdapterReplacementTest, ReadsAgainWhatIsReplacedMeanwhile) {
  const auto version = store.resolve("sql").value();
  folders.replaced_after = {folders.open_count + 1, folders.open_count + 3};  // each attempt opens the folder twice
  const std::string image = load(*version);
  EXPECT_GT(image.size(), 20u) << image;
  EXPECT_EQ(folders.replaced_count, 2);
}

TEST_F(AdapterReplacementTest, EndsWhenItIsReplacedAgainAndAgain) {
  const auto version = store.resolve("sql").value();
  const int opened = folders.open_count;
  for (int i = 1; i < 100; ++i) folders.replaced_after.insert(opened + i);
  EXPECT_EQ(load(*version), "E_CHANGED");
  EXPECT_LT(folders.open_count, opened + 10);
}

TEST_F(AdapterReplacementTest, LoadsNothingThatWouldNotFitTheVersion) {
  const auto version = store.resolve("sql").value();
  folders.rank = 40;
  folders.replace(folder);
  EXPECT_EQ(load(*version), "E_CHANGED") << "more pages";
  folders.rank = 4;
  const auto next = store.resolve("sql").value();
  folders.replace(folder);
  write_text(folder + "/chat_template.jinja", "{{ messages }}");
  EXPECT_EQ(load(*next), "E_CHANGED") << "requests were read without this template";
}

// While the two files are renamed one after the other.
TEST_F(AdapterReplacementTest, LoadsNothingOfWhichOneFileWasReplaced) {
  const auto version = store.resolve("sql").value();
  lora_of_rank(4).write(folder + ".new");
  fs::rename(folder + ".new/adapter_config.json", folder + "/adapter_config.json");
  EXPECT_EQ(load(*version), "E_CHANGED");
}

}  // namespace
}  // namespace slora
