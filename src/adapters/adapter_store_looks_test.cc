#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <latch>

#include "adapters/adapter_store.h"
#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

const AdapterStoreOptions kPatient{.look_interval = std::chrono::hours(1), .look_time_max = std::chrono::seconds(60)};
const AdapterStoreOptions kImpatient{.look_interval = std::chrono::hours(1), .look_time_max = std::chrono::milliseconds(50)};

// Two roots of one adapter each, which hang and fail apart from each other.
struct AdapterLooksTest : ::testing::Test {
  AdapterLooksTest() {
    lora_of_rank(4).write(slow_root.file("slow"));
    lora_of_rank(4).write(root.file("sql"));
  }
  void add_to(AdapterStore& store) const {
    store.add_root(slow_root.path()).value();
    store.add_root(root.path()).value();
  }

  const TemporaryFolder slow_root, root;
  ScriptedFolders folders;
};

TEST_F(AdapterLooksTest, AnswersFromMemoryWhileAResidentAdaptersFolderHangs) {
  AdapterStore store(test_base(), kPatient, folders);
  add_to(store);
  const auto version = store.resolve("slow").value();
  version->mark_resident();
  folders.hang(slow_root.path());
  const int open_count = folders.open_count();
  EXPECT_EQ(store.resolve("slow").value(), version);
  EXPECT_EQ(store.resolve("none").error().code, "not_found");
  EXPECT_EQ(folders.open_count(), open_count);
  EXPECT_TRUE(store.is_known("slow"));
  EXPECT_TRUE(store.resolve("sql")) << "cold, of another root";
  folders.mend();
}

TEST_F(AdapterLooksTest, LooksAtAKnownAdapterWhenAskedTo) {
  AdapterStore store(test_base(), kImpatient, folders);
  std::atomic<int> read_count = 0;
  store.on_look([&](const AdapterVersion&) { ++read_count; });
  add_to(store);
  store.resolve("sql").value()->mark_resident();
  EXPECT_TRUE(store.is_known("sql"));
  const auto look = [&] {
    std::latch looked(1);
    store.await_look("sql", [&] { looked.count_down(); });
    looked.wait();
  };
  look();
  EXPECT_EQ(read_count, 2);
  folders.hang(root.path());
  look();  // ends with its time
  look();  // at once: it still hangs
  EXPECT_EQ(read_count, 2);
  EXPECT_TRUE(store.find_version("sql")) << "resident";
  std::latch known(1);
  store.await_look("nobody", [&] { known.count_down(); });
  EXPECT_TRUE(known.try_wait());
  folders.mend();
}

TEST_F(AdapterLooksTest, ResolvesAdaptersOfOtherRootsWhileOneHangs) {
  for (int i = 0; i < 10; ++i) lora_of_rank(4).write(slow_root.file("slow" + std::to_string(i)));
  AdapterStore store(test_base(), kPatient, folders);
  add_to(store);
  folders.hang(slow_root.path());
  std::latch answered(10);
  for (int i = 0; i < 10; ++i) store.await("slow" + std::to_string(i), [&] { answered.count_down(); });
  EXPECT_FALSE(answered.try_wait());
  EXPECT_FALSE(store.is_known("slow3"));
  EXPECT_TRUE(store.resolve("sql"));
  folders.mend();
  answered.wait();
  EXPECT_TRUE(store.find_version("slow3"));
}

TEST_F(AdapterLooksTest, AnswersUnavailableWhenAFolderHangsTooLongAndAtOnceFromThenOn) {
  AdapterStore store(test_base(), kImpatient, folders);
  add_to(store);
  folders.hang(slow_root.path());
  const auto refused = store.resolve("slow");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "adapter_unavailable");
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("\"slow\""), Not(HasSubstr(slow_root.path()))));
  EXPECT_TRUE(store.is_known("slow")) << "nobody else waits for it";
  EXPECT_EQ(store.counts().unavailable, 1u);
  folders.mend();
  ASSERT_TRUE(store.wait_for_looks(std::chrono::seconds(60)));
  EXPECT_TRUE(store.find_version("slow")) << "the look has ended after all";
  EXPECT_EQ(store.counts().unavailable, 0u);
}

TEST_F(AdapterLooksTest, KeepsAnAdapterWhoseStoreIsAway) {
  AdapterStore store(test_base(), kLookAlways, folders);
  add_to(store);
  const auto version = store.resolve("sql").value();
  version->mark_resident();
  fs::rename(root.file("sql"), root.file(".away"));
  ASSERT_TRUE(store.look_at_resident());
  EXPECT_EQ(store.resolve("sql").value(), version) << "resident";
  version->mark_evicted();
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
  EXPECT_FALSE(store.find("sql")->refused);
  fs::rename(root.file(".away"), root.file("sql"));
  folders.fail(root.path());
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
  folders.mend();
  EXPECT_EQ(store.resolve("sql").value(), version) << "the same content has come back";

  fs::remove(root.file("sql/adapter_config.json"));
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable") << "half of the files are gone";
  EXPECT_TRUE(store.take_retired().empty());
}

TEST_F(AdapterLooksTest, WaitsForFoldersThatWereNeverThere) {
  AdapterStore store(test_base(), kLookAlways, folders);
  ASSERT_TRUE(store.add_folder("later", root.file("later")));
  EXPECT_EQ(store.resolve("later").error().code, "adapter_unavailable");
  fs::create_directory(root.file("later"));
  EXPECT_EQ(store.resolve("later").error().code, "E_NO_CONFIG") << "a folder of something else";
  lora_of_rank(4).write(root.file("later"));
  EXPECT_TRUE(store.resolve("later"));
}

TEST_F(AdapterLooksTest, FindsChangesOfResidentAdaptersWithoutARequest) {
  AdapterStore store(test_base(), {.look_interval = std::chrono::milliseconds(10)}, folders);
  add_to(store);
  const auto old = store.resolve("sql").value();
  old->mark_resident();
  fs::remove_all(root.file("sql"));
  lora_of_rank(5).write(root.file("sql"));
  while (!old->is_retired()) std::this_thread::yield();
  const auto now = store.find_version("sql");
  EXPECT_TRUE(now && *now != old);
}

TEST_F(AdapterLooksTest, LooksAtManyResidentAdaptersInTurnAndNotAllAtOnce) {
  constexpr int kCount = 300;
  for (int i = 0; i < kCount; ++i) lora_of_rank(1).write(root.file("many" + std::to_string(i)));
  const SteadyClock clock;
  AdapterStore store(test_base(), {.look_interval = std::chrono::milliseconds(10)}, folders);
  add_to(store);
  std::vector<std::shared_ptr<const AdapterVersion>> versions;
  for (int i = 0; i < kCount; ++i) {
    versions.push_back(store.resolve("many" + std::to_string(i)).value());
    versions.back()->mark_resident();
  }
  const Timestamp begun = clock.now();
  const int open_count = folders.open_count();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  // A look opens an unchanged folder once, at most 100 in a tenth of a second.
  EXPECT_LE(folders.open_count() - open_count, 1000 * seconds(clock.now() - begun) + 200);
  for (int i = 0; i < kCount; ++i) {
    fs::remove_all(root.file("many" + std::to_string(i)));
    lora_of_rank(2).write(root.file("many" + std::to_string(i)));
  }
  for (const auto& version : versions) {
    while (!version->is_retired()) std::this_thread::yield();
  }
}

TEST_F(AdapterLooksTest, LetsOthersReadAFolderBeforeItsAdapterIsKnown) {
  AdapterStore store(test_base(), kImpatient, folders);
  std::latch released(1);
  std::atomic<std::uint64_t> read = 0;
  store.on_look([&](const AdapterVersion& version) {
    released.wait();
    read = version.id().value;
  });
  add_to(store);
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable") << "what they read hangs";
  released.count_down();
  ASSERT_TRUE(store.wait_for_looks(std::chrono::seconds(60)));
  const auto version = store.find_version("sql");
  ASSERT_TRUE(version);
  EXPECT_EQ((*version)->id().value, read);
}

TEST_F(AdapterLooksTest, MakesANewVersionWhenATextFileChanges) {
  AdapterStore store(test_base(), kLookAlways, folders);
  add_to(store);
  const auto old = store.resolve("sql").value();
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                           "chat_template.json", "generation_config.json", "vocab.json"}) {
    const auto before = store.resolve("sql").value();
    write_text(root.file("sql/") + name, "{}");
    EXPECT_NE(store.resolve("sql").value(), before) << name;
  }
  const auto before = store.resolve("sql").value();
  write_text(root.file("sql/README.md"), "x");
  EXPECT_EQ(store.resolve("sql").value(), before);
}

TEST_F(AdapterLooksTest, RefusesFilesThatAreReplacedByLinksOutOfTheRoot) {
  AdapterStore store(test_base(), kLookAlways, folders);
  add_to(store);
  const auto version = store.resolve("sql").value();
  write_text(slow_root.file("secret"), "top secret");
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const std::string file = root.file("sql/") + name;
    fs::rename(file, root.file("kept"));
    fs::create_symlink(slow_root.file("secret"), file);
    const auto refused = store.resolve("sql");
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, "E_LINK");
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr(name), Not(HasSubstr("secret")), Not(HasSubstr(slow_root.path()))));
    fs::rename(root.file("kept"), file);
    EXPECT_TRUE(store.resolve("sql"));
  }
  fs::remove_all(root.file("sql"));
  fs::create_directory_symlink(slow_root.file("slow"), root.file("sql"));
  EXPECT_EQ(store.resolve("sql").error().code, "E_LINK");
  ASSERT_TRUE(store.add_folder("named", root.file("sql")));
  EXPECT_TRUE(store.resolve("named")) << "the operator named this path";
}

TEST_F(AdapterLooksTest, RefusesWeightsThatAreNoRegularFileUntilTheyChange) {
  const std::string weights = root.file("sql/adapter_model.safetensors");
  fs::rename(weights, root.file("kept"));
  ASSERT_EQ(mkfifo(weights.c_str(), 0600), 0);
  AdapterStore store(test_base(), kLookAlways, folders);
  add_to(store);
  EXPECT_EQ(store.counts().refused, 1u);
  EXPECT_EQ(store.resolve("sql").error().code, "E_FILE_TYPE");
  fs::remove(weights);
  fs::create_directory(weights);
  EXPECT_EQ(store.resolve("sql").error().code, "E_FILE_TYPE");
  fs::remove(weights);
  fs::rename(root.file("kept"), weights);
  EXPECT_TRUE(store.resolve("sql"));
}

TEST_F(AdapterLooksTest, LetsWaitersGoOnWhenTheirNameIsRemoved) {
  AdapterStore store(test_base(), kPatient, folders);
  add_to(store);
  folders.hang(slow_root.path());
  std::latch answered(1);
  store.await("slow", [&] { answered.count_down(); });
  EXPECT_TRUE(store.remove("slow"));
  answered.wait();
  EXPECT_EQ(store.find_version("slow").error().code, "not_found");
  folders.mend();
}

}  // namespace
}  // namespace slora
