#include "bench/command/bench_command.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

bool is_taken(const std::string& words) {
  CLI::App app;
  const BenchCommand bench(app);
  try {
    app.parse(words);
  } catch (const CLI::ParseError&) {
    return false;
  }
  return true;
}

TEST(BenchCommand, TakesThreadsInTheSameRangeEverywhere) {
  for (const std::string command : {"offline", "kernels", "traffic", "machine"}) {
    for (const std::string threads : {"0", "1", "1024"}) EXPECT_TRUE(is_taken(command + " --threads " + threads)) << command;
    for (const std::string threads : {"-1", "1025", "100000"}) EXPECT_FALSE(is_taken(command + " --threads " + threads)) << command;
  }
}

TEST(BenchCommand, AppliesAdaptersOtherwiseInItsOwnEngineOnly) {
  for (const std::string command : {"offline", "traffic"}) {
    for (const std::string compute : {"gathered", "padded", "merged"}) EXPECT_TRUE(is_taken(command + " --compute " + compute)) << command;
    EXPECT_FALSE(is_taken(command + " --compute none")) << command;
  }
  EXPECT_FALSE(is_taken("traffic --url http://127.0.0.1:1 --compute padded"));
}

}  // namespace
}  // namespace slora
