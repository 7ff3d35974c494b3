#include "adapters/adapter_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct AdapterWatcherTest : ::testing::Test {
  AdapterWatcherTest() {
    small_lora().write(root.file("first"));
    store.add_root(root.path()).value();
    watcher.emplace(store, root.path());
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const AdapterListing& adapter : store.list()) names.push_back(adapter.name);
    return names;
  }
  void scan(int count) {
    for (int i = 0; i < count; ++i) watcher->scan();
  }

  const TemporaryFolder root;
  AdapterStore store{test_base(), kLookAlways};
  std::optional<AdapterWatcher> watcher;
};

TEST_F(AdapterWatcherTest, AddsAFolderThatRestedFromOneLookToTheNext) {
  scan(2);
  EXPECT_THAT(names(), ElementsAre("first"));
  small_lora().write(root.file("second"));
  scan(1);
  EXPECT_THAT(names(), ElementsAre("first"));
  scan(1);
  EXPECT_THAT(names(), ElementsAre("first", "second"));
  EXPECT_TRUE(store.resolve("second"));
}

TEST_F(AdapterWatcherTest, WaitsForAFolderThatIsStillWritten) {
  const std::string weights = root.file("second/adapter_model.safetensors");
  small_lora().write(root.file("second"));
  const std::uintmax_t bytes = fs::file_size(weights);
  fs::rename(root.file("second/adapter_config.json"), root.file("config"));
  scan(3);
  EXPECT_THAT(names(), ElementsAre("first")) << "no config yet";
  fs::rename(root.file("config"), root.file("second/adapter_config.json"));
  fs::rename(weights, root.file("weights"));
  scan(3);
  EXPECT_THAT(names(), ElementsAre("first")) << "no weights yet";
  fs::rename(root.file("weights"), weights);
  for (const std::uintmax_t part : {bytes / 4, bytes / 2, bytes}) {
    fs::resize_file(weights, part);
    scan(1);
    EXPECT_THAT(names(), ElementsAre("first")) << part << " bytes";
  }
  scan(1);
  EXPECT_THAT(names(), ElementsAre("first", "second"));
}

TEST_F(AdapterWatcherTest, ListsAFolderThatRestsBrokenWithItsReason) {
  fs::create_directories(root.file("pickled"));
  write_text(root.file("pickled/adapter_config.json"), R"({"peft_type": "LORA", "r": 4, "lora_alpha": 4})");
  write_text(root.file("pickled/adapter_model.bin"), "x");
  scan(2);
  ASSERT_THAT(names(), ElementsAre("first", "pickled"));
  EXPECT_EQ(store.list()[1].refused->code, "E_PICKLE");
}

TEST_F(AdapterWatcherTest, TakesTheNamesOfMissingFoldersAway) {
  const auto version = store.resolve("first").value();
  fs::remove_all(root.file("first"));
  scan(1);
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_TRUE(version->is_retired());
  small_lora().write(root.file("first"));
  scan(2);
  EXPECT_THAT(names(), ElementsAre("first"));
}

TEST_F(AdapterWatcherTest, LeavesNamesAloneThatItDidNotGive) {
  const TemporaryFolder elsewhere;
  small_lora().write(elsewhere.file("given"));
  small_lora().write(root.file("other"));
  ASSERT_TRUE(store.add_folder("given", elsewhere.file("given")));
  ASSERT_TRUE(store.add_folder("other", elsewhere.file("given")));
  scan(3);
  EXPECT_THAT(names(), ElementsAre("first", "given", "other"));
  fs::remove_all(root.file("other"));
  fs::remove_all(elsewhere.file("given"));
  scan(1);
  EXPECT_THAT(names(), ElementsAre("first", "given", "other")) << "refused with their reason from now on";
}

TEST_F(AdapterWatcherTest, TakesAFolderWhoseNameWasTakenOnceItIsFree) {
  const TemporaryFolder elsewhere;
  small_lora().write(elsewhere.file("second"));
  small_lora().write(root.file("second"));
  ASSERT_TRUE(store.add_folder("second", elsewhere.file("second")));
  const auto folder_of_second = [&] { return store.find("second").value_or(AdapterListing()).folder; };
  scan(3);
  EXPECT_EQ(folder_of_second(), elsewhere.file("second"));
  EXPECT_TRUE(store.remove("second"));
  scan(1);
  EXPECT_EQ(folder_of_second(), root.file("second"));
  EXPECT_TRUE(store.remove("second"));
  scan(3);
  EXPECT_THAT(names(), ElementsAre("first")) << "it was served, and unloaded";
}

// As two folders of --adapters: the second begins to watch when the name is taken.
TEST_F(AdapterWatcherTest, TakesAFolderThatWasLeftOutAtTheStartOnceItsNameIsFree) {
  const TemporaryFolder other_root;
  small_lora().write(other_root.file("first"));
  EXPECT_EQ(store.add_root(other_root.path()).value(), 0);
  AdapterWatcher other(store, other_root.path());
  for (int i = 0; i < 3; ++i) other.scan();
  EXPECT_EQ(store.list()[0].folder, root.file("first"));
  fs::remove_all(root.file("first"));
  scan(1);
  EXPECT_THAT(names(), IsEmpty());
  other.scan();
  ASSERT_THAT(names(), ElementsAre("first"));
  EXPECT_EQ(store.list()[0].folder, other_root.file("first"));
}

TEST_F(AdapterWatcherTest, CountsFoldersWithoutANameAsLongAsTheyAreThere) {
  EXPECT_EQ(store.counts().refused, 0U);
  small_lora().write(root.file("_no name"));
  scan(2);
  EXPECT_EQ(store.counts().refused, 1U);
  fs::remove_all(root.file("_no name"));
  scan(1);
  EXPECT_EQ(store.counts().refused, 0U);

  const TemporaryFolder other_root;
  small_lora().write(other_root.file("first"));
  EXPECT_EQ(store.add_root(other_root.path()).value(), 0);
  EXPECT_EQ(store.counts().refused, 1U) << "its name is taken";
  AdapterWatcher other(store, other_root.path());
  for (int i = 0; i < 3; ++i) other.scan();
  EXPECT_EQ(store.counts().refused, 1U) << "it is one folder";
  ASSERT_TRUE(store.remove("first"));
  other.scan();
  EXPECT_EQ(store.counts().registered, 1U);
  EXPECT_EQ(store.counts().refused, 0U) << "it has a name now";
}

TEST_F(AdapterWatcherTest, LetsAnUnloadedNameStayAwayUntilItsFolderComesAgain) {
  EXPECT_TRUE(store.remove("first"));
  scan(3);
  EXPECT_THAT(names(), IsEmpty());
  fs::rename(root.file("first"), root.file(".first"));
  scan(1);
  fs::rename(root.file(".first"), root.file("first"));
  scan(2);
  EXPECT_THAT(names(), ElementsAre("first"));
}

TEST_F(AdapterWatcherTest, KeepsAllNamesWhileTheRootCannotBeListed) {
  fs::rename(root.path(), root.path() + ".away");
  scan(2);
  EXPECT_THAT(names(), ElementsAre("first"));
  fs::rename(root.path() + ".away", root.path());
  scan(2);
  EXPECT_THAT(names(), ElementsAre("first"));
}

}  // namespace
}  // namespace slora
