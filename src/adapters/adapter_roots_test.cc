#include "adapters/adapter_roots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "adapters/testing/lora_fixture.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

struct AdapterRootsTest : ::testing::Test {
  AdapterRootsTest() {
    small_lora().write(root.file("sql"));
    small_lora().write(root.file("team/poems"));
    small_lora().write(elsewhere.file("secret"));
  }
  std::string code_of(const std::string& path) const {
    const Result<FolderPath> found = find_adapter_folder(roots, path);
    return found ? "found" : found.error().code;
  }

  const TemporaryFolder root, elsewhere;
  const std::vector<std::string> roots = {root.path()};
};

TEST_F(AdapterRootsTest, FindsFoldersByRelativeAndAbsolutePaths) {
  const std::string sql = root.file("sql");
  for (const std::string& path : {std::string("sql"), std::string("./sql/"), std::string("team/../sql"), root.file("sql")}) {
    EXPECT_EQ(find_adapter_folder(roots, path)->path, sql) << path;
  }
  EXPECT_EQ(find_adapter_folder(roots, "team/poems").value(), FolderPath::beneath(root.path(), "team/poems"));
  const std::vector<std::string> both = {root.path(), elsewhere.path()};
  EXPECT_EQ(find_adapter_folder(both, "secret")->path, elsewhere.file("secret"));
  EXPECT_EQ(find_adapter_folder(both, elsewhere.file("secret"))->path, elsewhere.file("secret"));
}

TEST_F(AdapterRootsTest, TellsNothingOfWhatLiesElsewhere) {
  EXPECT_EQ(code_of("nowhere"), "not_found");
  EXPECT_EQ(code_of(root.file("nowhere")), "not_found");
  for (const std::string& path : {elsewhere.file("secret"), elsewhere.file("nowhere"), std::string("/etc"), std::string("/proc/self/root"),
                                  std::string("../"), std::string("sql/../../etc"), std::string(""), std::string("sql\0", 4)}) {
    EXPECT_EQ(code_of(path), "not_permitted") << path;
  }
  EXPECT_EQ(code_of(root.path() + "-and-more"), "not_permitted") << "no root, though it begins like one";
  EXPECT_EQ(find_adapter_folder({}, "sql").error().code, "not_permitted");
}

TEST_F(AdapterRootsTest, FollowsLinksThatStayAndNoneThatLeave) {
  fs::create_directory_symlink("sql", root.file("current"));
  fs::create_directory_symlink(root.file("team"), root.file("absolute"));
  EXPECT_EQ(find_adapter_folder(roots, "current")->path, root.file("current"));
  EXPECT_EQ(code_of("absolute/poems"), "found");

  fs::create_directory_symlink(elsewhere.file("secret"), root.file("leaving"));
  fs::create_directory_symlink(elsewhere.path(), root.file("farther"));
  EXPECT_EQ(code_of("leaving"), "not_permitted");
  EXPECT_EQ(code_of("farther/secret"), "not_permitted");
  fs::create_directory(root.file("file"));
  fs::create_symlink(elsewhere.file("secret/adapter_config.json"), root.file("file/adapter_config.json"));
  EXPECT_EQ(code_of("file"), "not_permitted");
}

TEST_F(AdapterRootsTest, FindsFoldersUnderARootThatIsALink) {
  fs::create_directory_symlink(root.path(), elsewhere.file("linked"));
  const std::vector<std::string> linked = {elsewhere.file("linked")};
  EXPECT_TRUE(find_adapter_folder(linked, "sql"));
  EXPECT_TRUE(find_adapter_folder(linked, elsewhere.file("linked/sql")));
  EXPECT_TRUE(find_adapter_folder(linked, root.file("sql")));
  EXPECT_EQ(find_adapter_folder(linked, elsewhere.file("secret")).error().code, "not_permitted");
}

TEST_F(AdapterRootsTest, ListsTheFoldersOfARoot) {
  EXPECT_THAT(adapter_folders_of(root.path() + "/").value(), ElementsAre(FolderPath::beneath(root.path(), "sql")));
  EXPECT_THAT(adapter_folders_of(root.file("sql/")).value(), ElementsAre(FolderPath(root.file("sql"))));
  fs::create_directory_symlink(elsewhere.file("secret"), root.file("leaving"));
  EXPECT_THAT(adapter_folders_of(root.path()).value(),
              ElementsAre(FolderPath::beneath(root.path(), "leaving"), FolderPath::beneath(root.path(), "sql")))
      << "to be refused by name";
  EXPECT_EQ(adapter_folders_of(root.file("nowhere")).error().code, "bad_folder");
}

TEST(AdapterRoots, TellPathsApartThatHangApart) {
  const std::vector<std::string> roots = {"/srv/adapters", "/mnt/other"};
  const std::string_view mounts =
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "40 22 0:35 / /srv/adapters/far rw - nfs4 host:/far rw\n"
      "41 22 0:36 / /srv/adapters/with\\040space rw - fuse x rw\n"
      "broken\n";
  const auto lane = [&](std::string_view path) { return lane_of_path(roots, path, mounts); };
  EXPECT_EQ(lane("one"), lane("/srv/adapters/two/three"));
  EXPECT_EQ(lane("far/one"), lane("/srv/adapters/far/two"));
  EXPECT_NE(lane("far/one"), lane("one"));
  EXPECT_NE(lane("farther/one"), lane("far/one"));
  EXPECT_NE(lane("with space/one"), lane("one"));
  EXPECT_NE(lane("/mnt/other/one"), lane("one")) << "another root";
  EXPECT_EQ(lane("../../etc"), lane("/etc")) << "beneath none";
  EXPECT_THAT(system_mounts(), ::testing::HasSubstr(" / "));
}

}  // namespace
}  // namespace slora
