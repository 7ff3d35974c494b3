#include "formats/temporary_folder.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(TemporaryFolder, IsGoneWithItsContentWhenItsLastOwnerIs) {
  const TemporaryFolder parent;
  std::string path;
  {
    Result<TemporaryFolder> made = TemporaryFolder::create_in(parent.path());
    ASSERT_TRUE(made) << made.error().message;
    const TemporaryFolder folder = std::move(*made);
    path = folder.path();
    folder.write("a/b.txt", "content");
    EXPECT_TRUE(std::filesystem::exists(path + "/a/b.txt"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TemporaryFolder, TellsWhereNoneCanBeMade) {
  const TemporaryFolder parent;
  const Result<TemporaryFolder> made = TemporaryFolder::create_in(parent.file("nowhere"));
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("nowhere"), std::string::npos);
}

}  // namespace
}  // namespace slora
