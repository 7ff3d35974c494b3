#include "bench/command/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "formats/temporary_folder.h"

namespace slora {
namespace {

TEST(BenchLog, WritesALineOfEachRecord) {
  const TemporaryFolder folder;
  BenchLog log;
  ASSERT_TRUE(log.open(folder.file("rows.jsonl")));
  log.write({{"row", 1}});
  log.write({{"row", 2}});
  EXPECT_TRUE(log.close());
  EXPECT_EQ(*read_text_file(folder.file("rows.jsonl"), 100), "{\"row\":1}\n{\"row\":2}\n");
}

TEST(BenchLog, DoesNothingWithoutAFile) {
  BenchLog log;
  ASSERT_TRUE(log.open(""));
  log.write({{"row", 1}});
  EXPECT_TRUE(log.close());
}

TEST(BenchLog, TellsWhereItCannotWrite) {
  const TemporaryFolder folder;
  BenchLog log;
  const Status opened = log.open(folder.file("nowhere/rows.jsonl"));
  ASSERT_FALSE(opened);
  EXPECT_TRUE(opened.error().message.starts_with("--json: "));
}

TEST(BenchLog, TellsOfAFullDisk) {
  BenchLog log;
  ASSERT_TRUE(log.open("/dev/full"));
  log.write({{"row", 1}});
  EXPECT_FALSE(log.close());
}

TEST(BenchCommandLine, KeepsWhatWasTyped) {
  const std::vector<const char*> words = {"slora", "bench", "traffic", "--seed=2", "--api-keys"};
  EXPECT_EQ(shown_command_line(words), "slora bench traffic --seed=2 --api-keys");
}

TEST(BenchCommandLine, BlanksKeys) {
  const std::vector<const char*> words = {"slora", "--api-key", "secret", "--api-key=secret", "--seed", "2", "--api-key"};
  EXPECT_EQ(shown_command_line(words), "slora --api-key *** --api-key=*** --seed 2 --api-key");
}

}  // namespace
}  // namespace slora
