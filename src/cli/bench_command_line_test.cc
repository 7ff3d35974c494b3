#include "cli/bench_command_line.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

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
