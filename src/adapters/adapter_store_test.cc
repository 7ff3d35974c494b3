#include "adapters/adapter_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Memory for one version's image.
struct LoadedPages {
  LoadedPages(const AdapterStore& store, const AdapterVersion& version)
      : memory(version.page_count(), std::vector<std::byte>(store.base().page_bytes)) {
    for (std::vector<std::byte>& page : memory) addresses.push_back(page.data());
  }
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::byte*> addresses;
};

Result<ImageLayout> load(AdapterStore& store, const AdapterVersion& version) {
  const LoadedPages pages(store, version);
  const ImagePages addresses = pages.addresses;
  Gate gate;
  Result<std::vector<ImageLayout>> layouts = store.load(version, std::span(&addresses, 1), gate);
  if (!layouts) return forward_error(layouts);
  return std::move(layouts->front());
}

// Atomically replaces the adapter in `folder`.
void replace(const std::string& folder, const LoraFixture& fixture) {
  fixture.write(folder + ".new");
  for (const char* name : {"/adapter_config.json", "/adapter_model.safetensors"})
    std::filesystem::rename(folder + ".new" + name, folder + name);
}

TEST(AdapterStore, ResolvesANameToTheSameVersionAsLongAsNothingChanges) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto version = store.resolve("sql").value();
  EXPECT_EQ(version->name(), "sql");
  EXPECT_EQ(version->generation(), 1u);
  EXPECT_NE(version->id(), kNoAdapter);
  EXPECT_EQ(version->page_count(), 1u);
  EXPECT_FALSE(version->identity());
  EXPECT_EQ(store.resolve("sql").value(), version);

  const ImageLayout layout = load(store, *version).value();
  EXPECT_EQ(layout.records.size(), 1u);
  EXPECT_TRUE(version->identity());
  EXPECT_EQ(store.resolve("sql").value(), version);
  EXPECT_THAT(store.take_retired(), IsEmpty());
}

TEST(AdapterStore, AnswersUnknownNamesWithNotFound) {
  AdapterStore store(test_base(), kLookAlways);
  EXPECT_EQ(store.resolve("sql").error().code, "not_found");
  EXPECT_FALSE(store.remove("sql"));
  EXPECT_EQ(store.add_folder("../sql", std::string("/nowhere")).error().code, "bad_name");
}

TEST(AdapterStore, ListsABrokenAdapterWithItsReasonAndTriesAgainWhenItWasMended) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("good"));
  std::filesystem::create_directories(root.file("bad"));
  write_text(root.file("bad/adapter_config.json"), R"({"peft_type": "LOKR"})");
  AdapterStore store(test_base(), kLookAlways);
  EXPECT_EQ(store.add_root(root.path()).value(), 2);
  const std::vector<AdapterListing> listings = store.list();
  ASSERT_EQ(listings.size(), 2u);
  EXPECT_EQ(listings[0].name, "bad");
  ASSERT_TRUE(listings[0].refused);
  EXPECT_EQ(listings[0].refused->code, "E_PEFT_TYPE");
  EXPECT_EQ(listings[1].base_model_name, "a/base");
  EXPECT_EQ(listings[1].rank, 4);
  EXPECT_FALSE(listings[1].refused);

  const auto refused = store.resolve("bad");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_PEFT_TYPE");
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("\"bad\""), HasSubstr("LOKR"), Not(HasSubstr(root.path()))));

  lora_of_rank(2).write(root.file("bad"));
  EXPECT_TRUE(store.resolve("bad"));
  EXPECT_FALSE(store.list()[0].refused);
}

TEST(AdapterStore, StampsTheNamesThatAreServed) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("good"));
  std::filesystem::create_directories(root.file("empty"));
  AdapterStore store(test_base(), kLookAlways);
  const std::uint64_t none = store.served_stamp();
  ASSERT_TRUE(store.add_folder("a", root.file("good")));
  ASSERT_TRUE(store.add_folder("b", root.file("empty")));
  const AdapterStore::Served served = store.served();
  EXPECT_THAT(served.names, ElementsAre("a"));
  EXPECT_NE(served.stamp, none);
  EXPECT_EQ(store.served_stamp(), served.stamp);
  EXPECT_TRUE(store.resolve("a"));
  EXPECT_EQ(store.served_stamp(), served.stamp) << "a first use changes no names";
  EXPECT_TRUE(store.remove("a"));
  EXPECT_NE(store.served_stamp(), served.stamp);
}

TEST(AdapterStore, FindsFaultsOfTheHeaderAtTheFirstUse) {
  const TemporaryFolder root;
  LoraFixture fixture = lora_of_rank(4);
  fixture.add("model.layers.0.self_attn.q_proj.lora_C.weight", {4, 4});
  fixture.write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  EXPECT_FALSE(store.list()[0].refused);
  EXPECT_EQ(store.resolve("sql").error().code, "E_UNKNOWN_TENSOR");
  ASSERT_TRUE(store.list()[0].refused);
  EXPECT_EQ(store.list()[0].refused->code, "E_UNKNOWN_TENSOR");
}

TEST(AdapterStore, MakesANewVersionWhenTheFolderChangesAndRetiresTheOld) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto old = store.resolve("sql").value();
  replace(root.file("sql"), lora_of_rank(40));
  const auto now = store.resolve("sql").value();
  EXPECT_NE(now->id(), old->id());
  EXPECT_EQ(now->generation(), 2u);
  EXPECT_GT(now->page_count(), old->page_count());
  EXPECT_THAT(store.take_retired(), ElementsAre(old->id()));
  EXPECT_THAT(store.take_retired(), IsEmpty());
  EXPECT_EQ(load(store, *old).error().code, "E_CHANGED");
  EXPECT_TRUE(load(store, *now));
}

TEST(AdapterStore, RefusesToLoadAFolderThatWasReplacedSinceItWasLoaded) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto version = store.resolve("sql").value();
  ASSERT_TRUE(load(store, *version));
  LoraFixture other = lora_of_rank(4);
  other.tensors[0].bytes[7] ^= std::byte{1};  // same sizes, another weight
  replace(root.file("sql"), other);
  const auto layout = load(store, *version);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, "E_CHANGED");
  EXPECT_THAT(layout.error().message, HasSubstr("\"sql\""));
  EXPECT_TRUE(load(store, *store.resolve("sql").value()));
}

TEST(AdapterStore, RefusesFromThenOnWhatOnlyLoadingFindsWrong) {
  const TemporaryFolder root;
  LoraFixture fixture = lora_of_rank(4);
  std::fill_n(fixture.tensors[1].bytes.begin() + 8, 4, std::byte{0xff});
  fixture.write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto version = store.resolve("sql").value();
  const auto layout = load(store, *version);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, "E_NONFINITE");
  EXPECT_THAT(layout.error().message, AllOf(HasSubstr("\"sql\""), HasSubstr("lora_B")));

  EXPECT_EQ(store.resolve("sql").error().message, layout.error().message) << "refused from now on";
  EXPECT_EQ(store.list()[0].refused->code, "E_NONFINITE");
  EXPECT_THAT(store.take_retired(), ElementsAre(version->id()));
  replace(root.file("sql"), lora_of_rank(4));
  EXPECT_TRUE(load(store, *store.resolve("sql").value()));
}

TEST(AdapterStore, SurvivesFilesThatVanishOrShrink) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto version = store.resolve("sql").value();
  const std::string weights = root.file("sql/adapter_model.safetensors");
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 1);
  EXPECT_EQ(load(store, *version).error().code, "E_CHANGED");
  EXPECT_EQ(store.resolve("sql").error().code, "E_SAFETENSORS");
  EXPECT_THAT(store.take_retired(), ElementsAre(version->id()));
  std::filesystem::remove(weights);
  EXPECT_EQ(load(store, *version).error().code, "adapter_unavailable");
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
  std::filesystem::remove_all(root.file("sql"));
  EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
  lora_of_rank(4).write(root.file("sql"));
  EXPECT_EQ(store.resolve("sql").value()->generation(), 2u);
}

// While it lives, no file can be opened.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    check(getrlimit(RLIMIT_NOFILE, &before_) == 0, "expected to read the limit");
    const rlimit none{0, before_.rlim_max};
    check(setrlimit(RLIMIT_NOFILE, &none) == 0, "expected to lower the limit");
  }
  ~NoMoreFiles() { check(setrlimit(RLIMIT_NOFILE, &before_) == 0, "expected to restore the limit"); }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;

 private:
  rlimit before_{};
};

TEST(AdapterStore, ForgetsFaultsOfTheDiskThatPass) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  {
    const NoMoreFiles fault;
    ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
    EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
  }
  EXPECT_FALSE(store.list()[0].refused);
  const auto version = store.resolve("sql").value();
  {
    const NoMoreFiles fault;
    EXPECT_EQ(load(store, *version).error().code, "adapter_unavailable");
    EXPECT_EQ(store.resolve("sql").error().code, "adapter_unavailable");
    version->mark_resident();
    EXPECT_EQ(store.resolve("sql").value(), version);
    version->mark_evicted();
  }
  EXPECT_TRUE(load(store, *version));
  EXPECT_THAT(store.take_retired(), IsEmpty());
}

TEST(AdapterStore, MarksAVersionBeforeItTellsOfItsRetirement) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("sql")));
  const auto old = store.resolve("sql").value();
  EXPECT_FALSE(old->is_retired());
  replace(root.file("sql"), lora_of_rank(5));
  const auto now = store.resolve("sql").value();
  EXPECT_TRUE(old->is_retired());
  EXPECT_FALSE(now->is_retired());
  EXPECT_TRUE(store.remove("sql"));
  EXPECT_TRUE(now->is_retired());
}

TEST(AdapterStore, GivesANameToAnotherFolderAtOnce) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("one"));
  lora_of_rank(5).write(root.file("two"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("one")));
  const auto one = store.resolve("sql").value();
  ASSERT_TRUE(store.add_folder("sql", root.file("two")));
  const auto two = store.resolve("sql").value();
  EXPECT_EQ(two->generation(), 2u);
  EXPECT_THAT(store.take_retired(), ElementsAre(one->id()));
  EXPECT_TRUE(load(store, *one)) << "those who still run under it may bring it back";
  EXPECT_TRUE(store.remove("sql"));
  EXPECT_THAT(store.take_retired(), ElementsAre(two->id()));
  EXPECT_EQ(store.resolve("sql").error().code, "not_found");
}

TEST(AdapterStore, InstallsWhatWasExaminedAtOneStroke) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("one"));
  lora_of_rank(5).write(root.file("two"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.install("sql", store.examine(root.file("one"), 100).value(), TakenName::refuse));
  const auto one = store.resolve("sql").value();
  EXPECT_TRUE(one->identity()) << "the whole content was read";
  EXPECT_EQ(store.list()[0].rank, 4);
  EXPECT_TRUE(load(store, *one));

  const ExaminedAdapter two = store.examine(root.file("two"), 100).value();
  EXPECT_EQ(store.install("sql", two, TakenName::refuse).error().code, "name_taken");
  EXPECT_EQ(store.resolve("sql").value(), one);
  EXPECT_EQ(store.install("../sql", two, TakenName::replace).error().code, "bad_name");
  ASSERT_TRUE(store.install("sql", two, TakenName::replace));
  EXPECT_EQ(store.resolve("sql").value()->folder().path, root.file("two"));
  EXPECT_EQ(store.resolve("sql").value()->generation(), 2u);
  EXPECT_THAT(store.take_retired(), ElementsAre(one->id()));
  EXPECT_TRUE(load(store, *one)) << "those who still run under it may bring it back";
}

TEST(AdapterStore, KeepsAVersionThatIsInstalledAgain) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("one"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("one")));
  const auto version = store.resolve("sql").value();
  ASSERT_TRUE(store.install("sql", store.examine(root.file("one"), 100).value(), TakenName::replace));
  EXPECT_EQ(store.resolve("sql").value(), version);
  EXPECT_THAT(store.take_retired(), IsEmpty());
}

TEST(AdapterStore, ExaminesEverythingThatServingWouldFindWrong) {
  const TemporaryFolder root;
  LoraFixture infinite = lora_of_rank(4);
  std::fill_n(infinite.tensors[1].bytes.begin() + 8, 4, std::byte{0xff});
  infinite.write(root.file("infinite"));
  LoraFixture wide = lora_of_rank(4);
  wide.tensors.clear();
  wide.add_pair("model.layers.0.self_attn.q_proj", 4, 64, 64).write(root.file("wide"));
  lora_of_rank(4).write(root.file("good"));
  const AdapterStore store(test_base(), kLookAlways);
  EXPECT_EQ(store.examine(root.file("infinite"), 100).error().code, "E_NONFINITE");
  EXPECT_EQ(store.examine(root.file("wide"), 100).error().code, "E_WRONG_BASE");
  EXPECT_EQ(store.examine(root.file("nowhere"), 100).error().code, "E_NO_FOLDER");
  const std::uint32_t page_count = store.examine(root.file("good"), 100).value().size.page_count;
  EXPECT_EQ(store.examine(root.file("good"), page_count - 1).error().code, "E_TOO_LARGE");
  EXPECT_THAT(store.list(), IsEmpty());
}

TEST(AdapterStore, RemovesANameOnlyWithItsFolder) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("one"));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("sql", root.file("one")));
  EXPECT_FALSE(store.remove_folder("sql", root.file("two")));
  EXPECT_FALSE(store.remove_folder("lqs", root.file("one")));
  EXPECT_TRUE(store.remove_folder("sql", root.file("one")));
  EXPECT_EQ(store.resolve("sql").error().code, "not_found");
}

TEST(AdapterStore, KeepsItsWordWhileManyThreadsResolveLoadAndReplace) {
  const TemporaryFolder root;
  for (const char* name : {"a", "b", "c"}) lora_of_rank(3).write(root.file(name));
  AdapterStore store(test_base({DType::bf16, 2}, 1024), kLookAlways);
  ASSERT_EQ(store.add_root(root.path()).value(), 3);
  std::atomic<bool> stop = false;
  std::atomic<int> loaded = 0;
  const auto use = [&](unsigned seed) {
    std::mt19937 random(seed);
    while (!stop) {
      const std::string name(1, static_cast<char>('a' + random() % 3));
      const auto version = store.resolve(name);
      if (!version) {
        EXPECT_THAT(version.error().code,
                    testing::AnyOf("not_found", "E_CHANGED", "E_RANK", "E_SHAPE", "E_SAFETENSORS", "adapter_unavailable"))
            << version.error().message;
        continue;
      }
      const auto layout = load(store, **version);
      if (layout) {
        ++loaded;
        EXPECT_EQ(layout->page_count, (*version)->page_count());
      } else {
        EXPECT_THAT(layout.error().code, testing::AnyOf("E_CHANGED", "adapter_unavailable")) << layout.error().message;
      }
    }
  };
  std::vector<AdapterId> retired;
  {
    std::vector<std::jthread> users;
    for (unsigned seed = 1; seed <= 3; ++seed) users.emplace_back(use, seed);
    std::mt19937 random(0);
    while (loaded < 200) {
      const std::string name(1, static_cast<char>('a' + random() % 3));
      replace(root.file(name), lora_of_rank(1 + static_cast<int>(random() % 40)));
      const bool is_removed = random() % 16 == 0 && store.remove(name);
      if (is_removed || random() % 4 == 0) {
        EXPECT_TRUE(store.add_folder(name, root.file(name)));
      }
      for (const AdapterId id : store.take_retired()) retired.push_back(id);
      EXPECT_EQ(store.list().size(), 3u);
      const int seen = loaded;
      for (int i = 0; i < 1000 && loaded < seen + 2; ++i) std::this_thread::yield();  // lets some finish between replacements
    }
    stop = true;
  }
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(store.remove(name));
  for (const AdapterId id : store.take_retired()) retired.push_back(id);
  std::ranges::sort(retired);
  for (std::size_t i = 0; i < retired.size(); ++i) ASSERT_EQ(retired[i], AdapterId{i + 1}) << "every version retires once";
}

}  // namespace
}  // namespace slora
