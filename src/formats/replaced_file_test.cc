#include "formats/replaced_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>

#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

std::ptrdiff_t file_count(const TemporaryFolder& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator());
}

TEST(ReplacedFile, ReplacesWhatIsThereAsAWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.file("file");
  ASSERT_TRUE(replace_text_file(path, "first, and longer"));
  folder.write("file.unfinished", "of a run that was killed");
  ASSERT_TRUE(replace_text_file(path, "second"));
  EXPECT_EQ(read_text_file(path, 100).value(), "second");
  EXPECT_EQ(file_count(folder), 1);
}

TEST(ReplacedFile, LeavesWhatIsThereAfterAnError) {
  const TemporaryFolder folder;
  const std::string path = folder.write("file", "first");
  const Status failed = replace_file(path, [&](const std::string& unfinished) -> Status {
    EXPECT_TRUE(replace_text_file(unfinished, "half"));
    return error("E_WRITE", "the disk is full");
  });
  EXPECT_EQ(failed.error().message, "the disk is full");
  EXPECT_EQ(read_text_file(path, 100).value(), "first");
  EXPECT_EQ(file_count(folder), 1);
  EXPECT_EQ(replace_text_file(folder.file("none/file"), "x").error().code, "E_WRITE");
}

}  // namespace
}  // namespace slora
