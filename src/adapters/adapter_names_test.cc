#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "adapters/adapter_store.h"
#include "adapters/testing/lora_fixture.h"
#include "adapters/testing/scripted_folders.h"

namespace slora {
namespace {

using ::testing::ElementsAre;

TEST(AdapterNames, KnowsNamesFromPaths) {
  for (const char* name : {"a", "sql", "org/sql-v1.2_b", "0"}) EXPECT_TRUE(AdapterStore::is_name(name)) << name;
  for (const char* name :
       {"", ".", "..", "a/../b", "/etc", "-x", "_x", "a b", "a\n", "\xc3\xa4", "a:b", "acme/.", "acme/.a", "acme/-x", "acme/--flag"})
    EXPECT_FALSE(AdapterStore::is_name(name)) << name;
  EXPECT_TRUE(AdapterStore::is_name(std::string(128, 'a')));
  EXPECT_FALSE(AdapterStore::is_name(std::string(129, 'a')));
}

TEST(AdapterNames, KnowsAnAdapterByItsNameOrByTheEndOfItsFolder) {
  const TemporaryFolder root;
  for (const char* folder : {"a/sql", "b/sql", "b/poems"}) lora_of_rank(4).write(root.file(folder));
  AdapterStore store(test_base(), kLookAlways);
  ASSERT_TRUE(store.add_folder("first", root.file("a/sql")));
  ASSERT_TRUE(store.add_folder("second", root.file("b/sql")));
  ASSERT_TRUE(store.add_folder("third", root.file("b/poems")));
  EXPECT_EQ(store.name_of_folder("first"), "first");
  EXPECT_EQ(store.name_of_folder(root.file("a/sql")), "first");
  EXPECT_EQ(store.name_of_folder("./b/sql/"), "second");
  EXPECT_EQ(store.name_of_folder("poems"), "third");
  EXPECT_EQ(store.name_of_folder("sql"), std::nullopt) << "two of them";
  for (const char* none : {"", ".", "/", "ems", "/poems", "../b/poems", "/b/sql"})
    EXPECT_EQ(store.name_of_folder(none), std::nullopt) << none;
}

TEST(AdapterNames, AreAllListedHoweverManyThereAre) {
  const TemporaryFolder root;
  AdapterStore store(test_base(), kLookAlways);
  lora_of_rank(4).write(root.file("one"));
  std::vector<std::string> names;
  for (int i = 1000; i < 1200; ++i) names.push_back("a" + std::to_string(i));
  for (const std::string& name : names) ASSERT_TRUE(store.add_folder(name, root.file("one")));
  EXPECT_EQ(store.served().names, names);
  EXPECT_EQ(store.served().stamp, store.served_stamp());
  EXPECT_EQ(store.counts().registered, names.size());
  std::vector<std::string> listed, odd;
  for (const AdapterListing& each : store.list()) listed.push_back(each.name);
  EXPECT_EQ(listed, names);
  const auto is_odd = [&](const std::string& name) { return (name.back() - '0') % 2 == 1; };
  for (const AdapterListing& each : store.list_after("a1001", 70, is_odd)) odd.push_back(each.name);
  ASSERT_EQ(odd.size(), 70U);
  EXPECT_EQ(odd.front(), "a1003");
  EXPECT_EQ(odd.back(), "a1141");
}

TEST(AdapterNames, AreListedInPartsInTheirOrder) {
  const TemporaryFolder root;
  AdapterStore store(test_base(), kLookAlways);
  lora_of_rank(4).write(root.file("one"));
  for (const char* name : {"a", "b", "b/1", "c", "d"}) ASSERT_TRUE(store.add_folder(name, root.file("one")));
  const auto names_after = [&](const char* begin, std::size_t count_max, const std::function<bool(const std::string&)>& wanted) {
    std::vector<std::string> names;
    for (const AdapterListing& each : store.list_after(begin, count_max, wanted)) names.push_back(each.name);
    return names;
  };
  const auto all = [](const std::string&) { return true; };
  EXPECT_THAT(names_after("", 9, all), ElementsAre("a", "b", "b/1", "c", "d"));
  EXPECT_THAT(names_after("b", 2, all), ElementsAre("b/1", "c"));
  EXPECT_THAT(names_after("bb", 9, all), ElementsAre("c", "d")) << "the name need not be there";
  EXPECT_THAT(names_after("", 2, [](const std::string& name) { return name != "b"; }), ElementsAre("a", "b/1"));
  EXPECT_THAT(names_after("d", 9, all), ElementsAre());
}

TEST(AdapterNames, AddsARootThatIsAnAdapterItself) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  AdapterStore store(test_base(), kLookAlways);
  EXPECT_EQ(store.add_root(root.file("sql/")).value(), 1);
  EXPECT_TRUE(store.resolve("sql"));
}

TEST(AdapterNames, KnowsWhetherAFolderHasAName) {
  const TemporaryFolder root;
  lora_of_rank(4).write(root.file("sql"));
  lora_of_rank(4).write(root.file("other"));
  const FolderPath folder = root.file("sql");
  AdapterStore store(test_base(), kLookAlways);
  EXPECT_FALSE(store.has_folder(folder.path));
  for (const char* name : {"a", "a", "b"}) ASSERT_TRUE(store.add_folder(name, folder));
  EXPECT_TRUE(store.remove("a"));
  EXPECT_TRUE(store.has_folder(folder.path)) << "b means it";
  ASSERT_TRUE(store.add_folder("b", root.file("other")));
  EXPECT_FALSE(store.has_folder(folder.path));
  for (const char* name : {"c", "d"}) ASSERT_TRUE(store.add_folder(name, folder));
  store.remove_names_of(folder.path);
  EXPECT_FALSE(store.has_folder(folder.path));
  EXPECT_FALSE(store.find("c") || store.find("d"));
  EXPECT_TRUE(store.find("b"));
}

TEST(AdapterNames, SkipsFoldersThatAreNoAdaptersAndNamesThatAreTaken) {
  const TemporaryFolder root, other;
  lora_of_rank(4).write(root.file("sql"));
  lora_of_rank(2).write(root.file("bad name"));
  lora_of_rank(2).write(other.file("sql"));
  std::filesystem::create_directories(root.file("notes"));
  write_text(root.file("readme.md"), "adapters");
  std::filesystem::create_directory_symlink(other.file("sql"), root.file("linked"));
  AdapterStore store(test_base(), kLookAlways);
  EXPECT_EQ(store.add_root(root.path()).value(), 2);
  EXPECT_EQ(store.add_root(other.path()).value(), 0);
  EXPECT_EQ(store.list()[1].rank, 4);
  EXPECT_EQ(store.list()[0].name, "linked");
  EXPECT_EQ(store.resolve("linked").error().code, "E_LINK");
  EXPECT_EQ(store.counts().registered, 2u);
  EXPECT_EQ(store.counts().refused, 3u) << "the link, a bad name, and a name that was taken";
  EXPECT_EQ(store.add_root(root.file("nowhere")).error().code, "bad_folder");
}

}  // namespace
}  // namespace slora
