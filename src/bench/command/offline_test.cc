#include "bench/command/offline.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

bench::OfflineOptions parsed(const std::string& words) {
  CLI::App app;
  BenchOfflineArguments arguments;
  add_bench_offline(app, arguments);
  app.parse("offline " + words);
  return arguments.options;
}

TEST(BenchOffline, IsQuickInWhatIsNotGiven) {
  const bench::OfflineOptions options = parsed("--context 64,96 --quick --steps 8");
  EXPECT_EQ(options.contexts, (std::vector<std::int32_t>{64, 96}));
  EXPECT_EQ(options.steps, 8);
  EXPECT_EQ(options.prompts, std::vector<std::int32_t>{16});
  EXPECT_EQ(options.batches, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(options.repeats, 2);
}

TEST(BenchOffline, KeepsItsDefaultsWithoutQuick) {
  const bench::OfflineOptions options = parsed("--context 64"), defaults;
  EXPECT_EQ(options.contexts, std::vector<std::int32_t>{64});
  EXPECT_EQ(options.prompts, defaults.prompts);
  EXPECT_EQ(options.steps, defaults.steps);
}

}  // namespace
}  // namespace slora
