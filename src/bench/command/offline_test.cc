#include "bench/command/offline.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/command/adapters.h"

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

TEST(BenchOffline, RefusesSeveralAdaptersWhereOneIsMerged) {
  BenchOfflineArguments arguments;
  arguments.compute.compute = "merged";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_bench_offline(arguments, ""), 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("--compute merged: a batch has one adapter"), std::string::npos);
}

TEST(BenchOffline, LetsRequestsWaitForOneBatchOnly) {
  BenchOfflineArguments arguments;
  arguments.options.requests_waiting = 4;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_bench_offline(arguments, ""), 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("--requests-waiting: expected one --batch, found 6"), std::string::npos);
}

TEST(BenchAdapters, TakeARankOrAMixture) {
  EXPECT_EQ(parse_adapter_rank("64", "--rank").value(), 64);
  EXPECT_EQ(parse_adapter_rank("mixed", "--rank").value(), 0);
  for (const char* text : {"", "0", "513", "-1", "8,16", "16x", "1e2"}) {
    EXPECT_TRUE(parse_adapter_rank(text, "--rank").error().message.starts_with("--rank: expected numbers from 1 to 512, or mixed")) << text;
  }
}

TEST(MergeMeter, ReadsWhatCameSinceTheLastTime) {
  bench::MergeCounts counts;
  MergeMeter meter(counts);
  counts.switches = 3;
  counts.nanoseconds = 1'500'000'000;
  counts.weight_bytes = 1 << 20;
  EXPECT_EQ(merge_text(meter.read()), "3 switches in 1.50 s, 500.0 ms each; the second weights take 1.00 MiB");
  counts.switches += 1;
  EXPECT_EQ(meter.read().switches, 1u);
  EXPECT_EQ(to_json(meter.read())["seconds"], 0);
}

}  // namespace
}  // namespace slora
