#include "train/line_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

class LineReaderTest : public ::testing::Test {
 protected:
  std::string write(const std::string& content) {
    folder_.write("data.jsonl", content);
    return folder_.file("data.jsonl");
  }
  // "1:first 3:third", with the line's numbers.
  std::string lines_of(const std::string& content) {
    Result<LineReader> reader = LineReader::open(write(content));
    std::string out;
    for (;;) {
      const Result<std::optional<std::string_view>> line = reader->next();
      if (!line) return out + line.error().code + " " + line.error().message;
      if (!*line) return out;
      out += fmt::format("{}{}:{}", out.empty() ? "" : " ", reader->number(), **line);
    }
  }

  const TemporaryFolder folder_;
};

TEST_F(LineReaderTest, GivesLinesWithTheirNumbers) {
  EXPECT_EQ(lines_of(""), "");
  EXPECT_EQ(lines_of("\n \t\r\n"), "");
  EXPECT_EQ(lines_of("a"), "1:a");
  EXPECT_EQ(lines_of("a\nb\n"), "1:a 2:b");
  EXPECT_EQ(lines_of("\na\n\n b\n"), "2:a 4: b");
  EXPECT_EQ(lines_of("\xEF\xBB\xBF{}\n"), "1:{}");
}

TEST_F(LineReaderTest, GivesLongLinesWhereverTheFileIsCut) {
  std::string content, expected;
  for (int i = 1; i <= 300; ++i) {
    const std::string line(static_cast<std::size_t>(i) * 97, static_cast<char>('a' + i % 26));
    content += line + "\n";
    expected += fmt::format("{}{}:{}", i == 1 ? "" : " ", i, line);
  }
  EXPECT_TRUE(lines_of(content) == expected);
}

TEST_F(LineReaderTest, RefusesALineThatIsTooLong) {
  EXPECT_THAT(lines_of("a\n" + std::string(LineReader::kLineBytesMax + (std::size_t{2} << 20), 'x') + "\nb"),
              HasSubstr("1:aE_TOO_LARGE line 2: expected at most 16777216 bytes, found more"));
}

TEST_F(LineReaderTest, RefusesAFileThatIsNotThere) { EXPECT_EQ(LineReader::open(folder_.file("none")).error().code, "E_NO_FILE"); }

}  // namespace
}  // namespace slora
