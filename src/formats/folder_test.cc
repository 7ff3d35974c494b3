#include "formats/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct FolderTest : ::testing::Test {
  FolderTest() {
    root.write("sql/config", "sql");
    elsewhere.write("config", "secret");
  }

  // The text of the file `name` in the folder, or the code of the error.
  std::string text_in(const FolderPath& path, const std::string& name = "config") const {
    const Result<Folder> folder = Folder::open(path);
    if (!folder) return folder.error().code;
    const Result<std::string> text = read_text_file(*folder, name, 100);
    return text ? *text : text.error().code;
  }
  FolderPath beneath(const std::string& path) const { return FolderPath::beneath(root.path(), path); }

  const TemporaryFolder root, elsewhere;
};

TEST_F(FolderTest, ReadsFilesOfAFolder) {
  EXPECT_EQ(text_in(root.file("sql")), "sql");
  EXPECT_EQ(text_in(beneath("sql")), "sql");
  EXPECT_EQ(text_in(beneath("./sql/")), "sql");
  EXPECT_EQ(text_in(beneath("sql/../sql")), "sql");
  EXPECT_EQ(text_in(root.file("sql"), "other"), "E_NO_FILE");
  EXPECT_EQ(text_in(beneath("sql"), "other"), "E_NO_FILE");
  for (const FolderPath& path :
       {FolderPath(root.file("none")), beneath("none"), beneath("sql/config"), FolderPath(root.file("sql/config"))})
    EXPECT_EQ(text_in(path), "E_NO_FOLDER") << path.path;
  const Folder folder = Folder::open(beneath("sql")).value();
  EXPECT_TRUE(folder.exists("config"));
  EXPECT_FALSE(folder.exists("other"));
  EXPECT_EQ(folder.stamp("config")->bytes, 3u);
  EXPECT_EQ(folder.stamp("other").value(), FileStamp());
  EXPECT_THAT(Folder::open(root.path())->entries(10).value(), ElementsAre("sql"));
  EXPECT_EQ(Folder::open(root.path())->entries(0).error().code, "E_READ");
}

TEST_F(FolderTest, FollowsLinksThatStayBeneathTheRoot) {
  root.write("blobs/1234", "blob");
  fs::create_directories(root.file("models/hub/snapshots/a"));
  fs::create_symlink("../../../../blobs/1234", root.file("models/hub/snapshots/a/config"));
  EXPECT_EQ(text_in(beneath("models/hub/snapshots/a")), "blob");
  fs::create_directory_symlink("models/hub/snapshots/a", root.file("current"));
  EXPECT_EQ(text_in(beneath("current")), "blob");
  fs::create_directory_symlink(root.file("sql"), root.file("absolute"));
  EXPECT_EQ(text_in(beneath("absolute")), "sql");

  fs::create_directory_symlink(root.path(), elsewhere.file("linked"));
  fs::create_directory_symlink(elsewhere.file("linked/sql"), root.file("by_link"));
  EXPECT_EQ(text_in(FolderPath::beneath(elsewhere.file("linked"), "by_link")), "sql") << "absolute, by the name that the root was given";
  EXPECT_EQ(text_in(FolderPath::beneath(elsewhere.file("linked"), "absolute")), "sql") << "absolute, by the name that the root has";
  EXPECT_EQ(text_in(beneath("by_link")), "E_LINK") << "by no name of the root";
}

// Kubernetes swaps the link ..data to a new folder.
TEST_F(FolderTest, FollowsTheLinksOfMountedConfigMaps) {
  root.write("poems/..1/config", "one");
  root.write("poems/..2/config", "two");
  fs::create_directory_symlink("..1", root.file("poems/..data"));
  fs::create_symlink("..data/config", root.file("poems/config"));
  EXPECT_EQ(text_in(beneath("poems")), "one");
  const Folder folder = Folder::open(beneath("poems")).value();
  const FileStamp before = folder.stamp("config").value();
  fs::create_directory_symlink("..2", root.file("poems/..new"));
  fs::rename(root.file("poems/..new"), root.file("poems/..data"));
  EXPECT_NE(folder.stamp("config").value(), before);
  EXPECT_EQ(text_in(beneath("poems")), "two");
}

TEST_F(FolderTest, RefusesLinksThatLeadOutOfTheRoot) {
  fs::create_directory_symlink(elsewhere.path(), root.file("out"));
  fs::create_directory_symlink("../" + fs::path(elsewhere.path()).filename().string(), root.file("up"));
  fs::create_directory_symlink("/proc/self/root", root.file("magic"));
  for (const char* path : {"out", "up", "magic", "..", "sql/../..", "out/deeper"}) {
    EXPECT_EQ(text_in(beneath(path)), "E_LINK") << path;
  }
  EXPECT_EQ(text_in(FolderPath::beneath("/proc/self", "root")), "E_LINK");
  EXPECT_EQ(text_in(FolderPath::beneath("/proc/self", "cwd")), "E_LINK");

  const Folder folder = Folder::open(beneath("sql")).value();
  const FileStamp before = folder.stamp("config").value();
  fs::remove(root.file("sql/config"));
  fs::create_symlink(elsewhere.file("config"), root.file("sql/config"));
  const Result<ReadOnlyFile> file = folder.open_file("config");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, "E_LINK");
  EXPECT_THAT(file.error().message, AllOf(HasSubstr("config"), Not(HasSubstr("secret")), Not(HasSubstr(elsewhere.path()))));
  EXPECT_TRUE(folder.exists("config"));
  EXPECT_NE(folder.stamp("config").value(), before);
  EXPECT_NE(folder.stamp("config").value(), FileStamp());
}

TEST_F(FolderTest, FollowsAllLinksOfAPathThatTheOperatorNamed) {
  fs::create_directory_symlink(elsewhere.path(), root.file("out"));
  fs::create_symlink(elsewhere.file("config"), root.file("sql/linked"));
  EXPECT_EQ(text_in(root.file("out")), "secret");
  EXPECT_EQ(text_in(root.file("sql"), "linked"), "secret");
}

TEST_F(FolderTest, EndsLoopsOfLinks) {
  fs::create_symlink("b", root.file("a"));
  fs::create_symlink("a", root.file("b"));
  EXPECT_EQ(text_in(beneath("a")), "E_LINK");
  fs::create_symlink("self/self/self", root.file("self"));
  EXPECT_EQ(text_in(beneath("self")), "E_LINK");
  EXPECT_EQ(text_in(root.file("a")), "E_READ");
}

TEST_F(FolderTest, RefusesWhatIsNoRegularFileWithoutWaiting) {
  ASSERT_EQ(mkfifo(root.file("sql/pipe").c_str(), 0600), 0);
  fs::create_directory(root.file("sql/folder"));
  fs::create_symlink("pipe", root.file("sql/linked"));
  for (const char* name : {"pipe", "folder", "linked", "."}) {
    EXPECT_EQ(text_in(root.file("sql"), name), "E_FILE_TYPE") << name;
    EXPECT_EQ(text_in(beneath("sql"), name), "E_FILE_TYPE") << name;
  }
  EXPECT_EQ(text_in(std::string("/dev"), "null"), "E_FILE_TYPE");
}

}  // namespace
}  // namespace slora
