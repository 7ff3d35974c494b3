#include "formats/new_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "formats/new_file.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

TEST(NewFolder, AppearsWhenItIsPublished) {
  const TemporaryFolder parent;
  const std::string path = parent.file("new");
  {
    NewFolder folder = NewFolder::create(path).value();
    NewFile file = NewFile::create(folder.file("text")).value();
    ASSERT_TRUE(file.append("abc") && file.append("def") && file.finish());
    EXPECT_FALSE(fs::exists(path));
    ASSERT_TRUE(folder.publish());
  }
  EXPECT_EQ(fs::file_size(path + "/text"), 6u);
  EXPECT_EQ(std::distance(fs::directory_iterator(parent.path()), {}), 1);
}

TEST(NewFolder, LeavesNothingWhenItIsNotPublished) {
  const TemporaryFolder parent;
  {
    const NewFolder folder = NewFolder::create(parent.file("new/")).value();
    ASSERT_TRUE(NewFile::create(folder.file("text")));
    EXPECT_FALSE(fs::is_empty(parent.path()));
  }
  EXPECT_TRUE(fs::is_empty(parent.path()));
}

TEST(NewFolder, ReplacesNothingThatAppearsMeanwhile) {
  const TemporaryFolder parent;
  {
    NewFolder folder = NewFolder::create(parent.file("new")).value();
    fs::create_directory(parent.file("new"));
    EXPECT_EQ(folder.publish().error().code, "E_EXISTS");
  }
  EXPECT_TRUE(fs::is_empty(parent.file("new")));
  EXPECT_EQ(std::distance(fs::directory_iterator(parent.path()), {}), 1);
}

TEST(NewFolder, TakesFreeNamesForTwoOfOnePath) {
  const TemporaryFolder parent;
  NewFolder first = NewFolder::create(parent.file("new")).value(), second = NewFolder::create(parent.file("new")).value();
  ASSERT_TRUE(second.publish());
  EXPECT_EQ(first.publish().error().code, "E_EXISTS");
}

TEST(NewFile, ReplacesNothing) {
  const TemporaryFolder folder;
  folder.write("text", "abc");
  EXPECT_EQ(NewFile::create(folder.file("text")).error().code, "E_EXISTS");
  EXPECT_EQ(NewFile::create(folder.file("missing/text")).error().code, "E_WRITE");
}

}  // namespace
}  // namespace slora
