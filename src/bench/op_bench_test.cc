#include "bench/op_bench.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "bench/testing/tiny_config.h"
#include "formats/json.h"

namespace slora::bench {
namespace {

class OpBenchTest : public ::testing::TestWithParam<WeightStorage> {};

TEST_P(OpBenchTest, MeasuresOpsOfEveryGroup) {
  OpOptions options;
  options.rows = {1, 3};
  options.ranks = {4, 7};
  options.contexts = {40};
  options.repeats = 2;
  options.cold_bytes = std::size_t{1} << 20;
  options.backend_options = {.threads = 1, .weights = GetParam()};
  const Result<std::unique_ptr<OpBench>> bench = OpBench::create(*parse_model_config(*parse_json(testing::kTinyConfig)), options);
  ASSERT_TRUE(bench) << bench.error().message;
  std::set<std::string> ops;
  const std::atomic<bool> stop = false;
  (*bench)->run(
      [&](const OpRow& row) {
        ops.insert(row.op);
        EXPECT_EQ(row.seconds.size(), 2u);
        EXPECT_GT(median(row.seconds), 0);
        EXPECT_FALSE(op_table_line(row).empty());
        EXPECT_EQ(to_json(row)["op"], row.op);
      },
      stop);
  for (const char* op :
       {"linear qkv", "linear_gated gate_up", "linear head", "shrink gate_up", "attend decode", "add_rms_norm", "sample greedy"}) {
    EXPECT_TRUE(ops.contains(op)) << op;
  }
}

INSTANTIATE_TEST_SUITE_P(Storages, OpBenchTest, ::testing::Values(WeightStorage::bf16, WeightStorage::int8));

}  // namespace
}  // namespace slora::bench
