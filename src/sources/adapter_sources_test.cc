#include "sources/adapter_sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <new>

#include "adapters/testing/lora_fixture.h"
#include "base/testing/manual_clock.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class AdapterSourcesTest : public ::testing::Test {
 protected:
  AdapterSourcesTest() {
    small_lora().write(folder_.file("good"));
    make();
  }
  void make(std::uint64_t cache_bytes = 1 << 30) {
    sources_.reset();
    AdapterSourceOptions options;
    options.rules = {{"acme/", program_}, {"s3://", program_}};
    options.cache_folder = folder_.file("cache");
    options.cache_bytes_max = cache_bytes;
    options.clock = clock_;
    options.limits = {.time_max = std::chrono::seconds(60), .bytes_max = 1 << 20};
    options.environment = {"PATH=/usr/bin:/bin"};
    options.hub_folder = folder_.file("hub");
    std::filesystem::create_directories(options.hub_folder);
    const auto check_texts = [this](const FolderPath& folder, std::int32_t, Gate&) {
      if (on_examined_) on_examined_(folder);
      return texts_;
    };
    sources_ = AdapterSources::create(options, store_, 1000, check_texts, metrics_).value();
  }
  // Notes each call, and copies the folder `good` unless the name says something else.
  std::string write_program() const {
    const std::string path =
        folder_.write("program", "#!/bin/sh\necho \"$1 $2\" >> " + folder_.file("calls") +
                                     "\ncase $1 in\n*missing*) exit 3;;\n*failing*) exit 1;;\n"
                                     "*broken*) echo x > $3/adapter_config.json;;\n"
                                     "*large*) head -c 3000000 /dev/zero > $3/adapter_model.safetensors;;\n"
                                     "*link*) cp " +
                                     folder_.file("good/adapter_config.json") +
                                     " $3; ln -s /etc/passwd $3/adapter_model.safetensors;;\n"
                                     "*slow*) sleep 1; cp " +
                                     folder_.file("good") + "/* $3;;\n*) cp " + folder_.file("good") + "/* $3;;\nesac\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  std::ptrdiff_t calls() const {
    const std::string text = read_text_file(folder_.file("calls"), 1 << 20).value_or("");
    return std::ranges::count(text, '\n');
  }
  void fetch(const std::string& name) {
    std::promise<void> done;
    sources_->fetch(name, [&] { done.set_value(); });
    done.get_future().wait();
  }
  Result<ExaminedAdapter> load(const SourceRequest& request) { return sources_->get_and_keep(request, open_gate()); }

  const TemporaryFolder folder_;
  const std::string program_ = write_program();
  AdapterStore store_{test_base(), {.look_interval = Timestamp(0)}};
  MetricsRegistry metrics_;
  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  std::function<void(const FolderPath&)> on_examined_;  // on the thread that fetches
  Status texts_;                                        // what checking them gives
  std::unique_ptr<AdapterSources> sources_;
};

TEST_F(AdapterSourcesTest, ServeANameOnceItWasFetched) {
  EXPECT_TRUE(sources_->may_have("acme/sql"));
  EXPECT_FALSE(sources_->may_have("other-sql"));
  for (const char* name : {"acme/../sql", "acme/.", "acme/.hidden", "acme/-x", "acme/--flag", "acme/a/-x", "acme/a/", "acme//a"})
    EXPECT_FALSE(sources_->may_have(name)) << name;
  EXPECT_FALSE(sources_->may_have("s3://acme/sql")) << "no name of an adapter has a colon";
  fetch("acme/sql");
  const AdapterStore::Found version = store_.find_version("acme/sql");
  ASSERT_TRUE(version) << version.error().message;
  EXPECT_TRUE((*version)->identity());
  EXPECT_THAT((*version)->folder().path, HasSubstr("/cache/"));
  EXPECT_EQ(read_text_file(folder_.file("calls"), 100).value(), "acme/sql main\n");
}

TEST_F(AdapterSourcesTest, FetchOnceForAllWhoWait) {
  std::vector<std::promise<void>> done(100);
  for (std::promise<void>& each : done) sources_->fetch("acme/slow", [&each] { each.set_value(); });
  for (std::promise<void>& each : done) each.get_future().wait();
  EXPECT_EQ(calls(), 1);
  EXPECT_TRUE(store_.find("acme/slow"));
}

TEST_F(AdapterSourcesTest, DoNotLetOthersWaitForASlowFetch) {
  std::promise<void> slow;
  sources_->fetch("acme/slow", [&] { slow.set_value(); });
  fetch("acme/quick");
  EXPECT_TRUE(store_.find("acme/quick"));
  EXPECT_FALSE(store_.find("acme/slow"));
  slow.get_future().wait();
}

TEST_F(AdapterSourcesTest, RememberWhatCouldNotBeHad) {
  for (const char* name : {"acme/missing", "acme/failing", "acme/broken", "acme/large", "acme/link"}) {
    EXPECT_TRUE(sources_->may_have(name)) << name;
    fetch(name);
    EXPECT_FALSE(store_.find(name)) << name;
    EXPECT_FALSE(sources_->may_have(name)) << name;
  }
  EXPECT_EQ(calls(), 5);
  EXPECT_EQ(sources_->failure_of("acme/missing")->code, "not_found");
  EXPECT_EQ(sources_->failure_of("acme/failing")->code, "adapter_unavailable");
  EXPECT_EQ(sources_->failure_of("acme/broken")->code, "E_BAD_JSON");
  EXPECT_EQ(sources_->failure_of("acme/large")->code, "E_TOO_LARGE");
  EXPECT_EQ(sources_->failure_of("acme/link")->code, "E_LINK");
  EXPECT_FALSE(sources_->failure_of("acme/sql"));
  std::size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.file("cache"))) left += entry.is_directory() ? 1 : 0;
  EXPECT_EQ(left, 0U) << "nothing of them stays";
}

// Failures that are final are known for a minute.
TEST_F(AdapterSourcesTest, TryAgainSoonAfterMemoryRanOut) {
  on_examined_ = [](const FolderPath&) { throw std::bad_alloc(); };
  fetch("acme/sql");
  ASSERT_TRUE(sources_->failure_of("acme/sql")) << "those who waited learn why";
  EXPECT_EQ(sources_->failure_of("acme/sql")->code, "out_of_memory");
  on_examined_ = nullptr;
  EXPECT_FALSE(sources_->may_have("acme/sql"));
  clock_->time += std::chrono::seconds(1);
  ASSERT_TRUE(sources_->may_have("acme/sql"));
  fetch("acme/sql");
  EXPECT_TRUE(store_.resolve("acme/sql"));
}

TEST_F(AdapterSourcesTest, NeedNoFetchAfterARestartUnlessTheContentIsAnother) {
  fetch("acme/sql");
  ASSERT_TRUE(store_.remove("acme/sql"));
  make();
  fetch("acme/sql");
  EXPECT_EQ(calls(), 1);
  const std::string folder = store_.find("acme/sql")->folder;
  ASSERT_TRUE(store_.remove("acme/sql"));
  lora_of_rank(2).write(folder);
  fetch("acme/sql");
  EXPECT_EQ(calls(), 2) << "somebody has changed what was fetched";
}

TEST_F(AdapterSourcesTest, KeepAFolderThatCannotBeReadAtThisMoment) {
  const Result<ExaminedAdapter> adapter = load({.name = "s3://bucket/a"});
  ASSERT_TRUE(adapter);
  ASSERT_TRUE(store_.install("sql", *adapter, TakenName::refuse));
  texts_ = error("E_READ", "of this test");
  const Result<ExaminedAdapter> failing = load({.name = "s3://bucket/a"});
  ASSERT_FALSE(failing);
  EXPECT_EQ(failing.error().code, "adapter_unavailable");
  EXPECT_THAT(failing.error().message, HasSubstr("of this test"));
  EXPECT_TRUE(store_.resolve("sql")) << "its folder is still there";
  texts_ = {};
  EXPECT_TRUE(load({.name = "s3://bucket/a"}));
  EXPECT_EQ(calls(), 1);
}

TEST_F(AdapterSourcesTest, FetchNothingOverAFolderThatANameMeans) {
  Result<ExaminedAdapter> adapter = load({.name = "s3://bucket/a"});
  ASSERT_TRUE(adapter);
  ASSERT_TRUE(store_.install("sql", *adapter, TakenName::refuse));
  adapter->pin.reset();
  lora_of_rank(2).write(adapter->folder.path);
  const Result<ExaminedAdapter> changed = load({.name = "s3://bucket/a"});
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error().message, HasSubstr("is not what was fetched"));
  EXPECT_EQ(calls(), 1);
  ASSERT_TRUE(store_.remove("sql"));
  EXPECT_TRUE(load({.name = "s3://bucket/a"}));
  EXPECT_EQ(calls(), 2);
}

TEST_F(AdapterSourcesTest, ForgetNamesWhoseFoldersGiveWay) {
  fetch("acme/a");
  const std::uint64_t bytes = folder_bytes(store_.find("acme/a")->folder, 1 << 20);
  ASSERT_TRUE(store_.remove("acme/a"));
  std::filesystem::remove_all(folder_.file("cache"));
  make(2 * bytes);
  fetch("acme/a");
  fetch("acme/b");
  fetch("acme/c");
  EXPECT_FALSE(store_.find("acme/a"));
  EXPECT_TRUE(store_.find("acme/b"));
  EXPECT_TRUE(sources_->may_have("acme/a")) << "it is fetched again";
}

TEST_F(AdapterSourcesTest, LeaveTheFolderOfWhatIsAboutToHaveAName) {
  fetch("acme/a");
  const std::string path = store_.find("acme/a")->folder;
  const std::uint64_t bytes = folder_bytes(path, 1 << 20);
  ASSERT_TRUE(store_.remove("acme/a"));
  make(bytes);  // there is space for one of them
  // Another adapter wants its space after it was found and read, and before the name means it.
  on_examined_ = [&](const FolderPath& folder) {
    if (folder.path == path) fetch("acme/b");
  };
  fetch("acme/a");
  on_examined_ = nullptr;
  EXPECT_TRUE(store_.resolve("acme/a")) << store_.resolve("acme/a").error().message;
  ASSERT_TRUE(sources_->failure_of("acme/b"));
  EXPECT_EQ(sources_->failure_of("acme/b")->code, "adapter_unavailable") << "it may pass";
  fetch("acme/c");
  EXPECT_TRUE(store_.resolve("acme/c")) << "what has a name gives way again";
  EXPECT_TRUE(sources_->may_have("acme/a"));
}

TEST_F(AdapterSourcesTest, LeaveTheFolderOfAnAddressUntilItHasAName) {
  const Result<ExaminedAdapter> adapter = load({.name = "s3://bucket/a"});
  ASSERT_TRUE(adapter);
  make(folder_bytes(adapter->folder.path, 1 << 20));
  const Result<ExaminedAdapter> again = load({.name = "s3://bucket/a"});
  ASSERT_TRUE(again);
  fetch("acme/b");
  ASSERT_TRUE(store_.install("sql", *again, TakenName::refuse));
  EXPECT_TRUE(store_.resolve("sql")) << store_.resolve("sql").error().message;
}

TEST_F(AdapterSourcesTest, AnAddressIsFetchedByItsRevision) {
  const Result<ExaminedAdapter> adapter = load({.name = "s3://bucket/sql", .revision = "v2"});
  ASSERT_TRUE(adapter) << adapter.error().message;
  EXPECT_EQ(read_text_file(folder_.file("calls"), 100).value(), "s3://bucket/sql v2\n");
  EXPECT_EQ(load({.name = "gs://bucket/sql"}).error().code, "not_permitted");
  for (const char* name : {"s3://bucket/../sql", "s3://bucket/-x", "s3://bucket/.", "s3://bucket/"})
    EXPECT_EQ(load({.name = name}).error().code, "not_permitted") << name;
  EXPECT_EQ(load({.name = "s3://bucket/sql", .revision = "--help"}).error().code, "not_permitted");
  EXPECT_EQ(calls(), 1);
}

TEST_F(AdapterSourcesTest, FindFoldersOfTheHubsCache) {
  const std::string model = folder_.file("hub/models--org--sql");
  small_lora().write(model + "/blobs-of-this-test");
  std::filesystem::create_directories(model + "/snapshots/abc123");
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
    std::filesystem::create_symlink(std::string("../../blobs-of-this-test/") + file, model + "/snapshots/abc123/" + file);
  std::filesystem::create_directories(model + "/refs");
  write_text(model + "/refs/main", "abc123");
  fetch("org/sql");
  ASSERT_TRUE(store_.find("org/sql"));
  EXPECT_THAT(store_.find("org/sql")->folder, HasSubstr("models--org--sql/snapshots/abc123"));
  EXPECT_TRUE(load({.name = "hf://org/sql", .revision = "abc123"}));
  EXPECT_EQ(load({.name = "hf://org/sql", .revision = "other"}).error().code, "not_found");
  EXPECT_EQ(load({.name = "hf://org/nothing"}).error().code, "not_found");
  EXPECT_EQ(calls(), 0);
  write_text(model + "/refs/main", "../../..");
  EXPECT_EQ(load({.name = "hf://org/sql"}).error().code, "not_found") << "a reference names a snapshot";
}

}  // namespace
}  // namespace slora
