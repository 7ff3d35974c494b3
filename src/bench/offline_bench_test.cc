#include "bench/offline_bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <nlohmann/json.hpp>

#include "backend/forwarding_backend.h"
#include "bench/testing/tiny_config.h"
#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

// Notes the largest batch.
class BatchWatch final : public ForwardingBackend {
 public:
  BatchWatch(std::unique_ptr<Backend> watched, std::atomic<std::size_t>& most)
      : ForwardingBackend(std::move(watched)), ops_(inner().ops(), most) {}
  Ops& ops() override { return ops_; }

 private:
  class WatchedOps final : public ForwardingOps {
   public:
    WatchedOps(Ops& watched, std::atomic<std::size_t>& most) : ForwardingOps(watched), most_(most) {}
    void embed(Tensor out, StepArray<TokenId> ids, const TokenResult* previous, const LinearWeight& table, TokenId first) override {
      most_ = std::max(most_.load(), ids.size());
      ForwardingOps::embed(out, ids, previous, table, first);
    }

   private:
    std::atomic<std::size_t>& most_;
  };
  WatchedOps ops_;
};

class OfflineBenchTest : public ::testing::Test {
 protected:
  OfflineBenchTest() {
    setup_.model = *find_model(folder_.write("tiny/config.json", testing::kTinyConfig), folder_.path());
    setup_.threads = 1;
    setup_.scratch = folder_.path();
    options_.prompts = {20};
    options_.batches = {1, 3};
    options_.contexts = {40};
    options_.repeats = 3;
    options_.steps = 2;
  }

  std::vector<OfflineRow> run() {
    std::vector<OfflineRow> rows;
    Result<std::unique_ptr<OfflineBench>> bench = OfflineBench::create(setup_, options_);
    EXPECT_TRUE(bench) << bench.error().message;
    const std::atomic<bool> stop = false;
    const Status ran = (*bench)->run([&](const OfflineRow& row) { rows.push_back(row); }, stop);
    EXPECT_TRUE(ran) << ran.error().message;
    return rows;
  }

  TemporaryFolder folder_;
  OfflineSetup setup_;
  OfflineOptions options_;
};

TEST_F(OfflineBenchTest, MeasuresEveryRowOfThePlan) {
  options_.requests = 4;
  options_.registered = {5};
  const std::vector<OfflineRow> rows = run();
  ASSERT_EQ(rows.size(), plan_rows(options_).size());
  for (const OfflineRow& row : rows) {
    EXPECT_EQ(row.seconds.size(), 3u);
    EXPECT_GT(row.tokens_per_second, 0);
    EXPECT_GT(row.limits.bandwidth, 0);
    EXPECT_EQ(row.floor_seconds > 0, row.plan.kind != OfflineKind::requests);
    EXPECT_FALSE(to_json(row).dump().empty());
    EXPECT_FALSE(offline_table_line(row).empty());
  }
}

TEST_F(OfflineBenchTest, RunsABatchAtATimeWhileOthersWait) {
  options_.prompts = {};
  options_.contexts = {};
  options_.uses = {AdapterUse::distinct};
  options_.batches = {2};
  options_.requests = 8;
  options_.requests_waiting = 4;
  std::atomic<std::size_t> most = 0;
  setup_.wrap_backend = [&](std::unique_ptr<Backend> inner) { return std::make_unique<BatchWatch>(std::move(inner), most); };
  options_.request_prompt_tokens = 1;
  ASSERT_EQ(run().size(), 1u);
  EXPECT_EQ(most, 2u);
}

TEST_F(OfflineBenchTest, DecodesAtTheContextThatWasAskedFor) {
  options_.uses = {AdapterUse::none};
  options_.prompts = {};
  const std::vector<OfflineRow> rows = run();
  ASSERT_EQ(rows.size(), 2u);
  for (const OfflineRow& row : rows) EXPECT_NEAR(row.context, 40, 8);
}

TEST_F(OfflineBenchTest, NamesItsOwnOptionsWhenTheModelTakesNoSuchSequences) {
  const auto refusal = [this] {
    const Result<std::unique_ptr<OfflineBench>> bench = OfflineBench::create(setup_, options_);
    return bench ? "none" : bench.error().message;
  };
  options_.contexts = {40, 512};
  std::string message = refusal();
  EXPECT_TRUE(message.starts_with("--context 512 with --repeats 3 and --steps 2: sequences of 527 tokens are needed; ")) << message;
  EXPECT_NE(message.find("512 positions"), std::string::npos) << message;
  options_.contexts = {40};
  options_.prompts = {512};
  message = refusal();
  EXPECT_TRUE(message.starts_with("--prompt 512: sequences of 513 tokens")) << message;
  options_.prompts = {20};
  setup_.pool_bytes = 1;
  message = refusal();
  EXPECT_EQ(message.find("--max-model-len"), std::string::npos) << message;
}

TEST_F(OfflineBenchTest, SumsOfFloorsAreNoLowerThanTheFloor) {
  for (const OfflineRow& row : run()) EXPECT_GE(row.by_op_seconds, row.floor_seconds * (1 - 1e-9));
}

TEST(OfflinePlan, LeavesOutWhatHoldsTooManyTokens) {
  OfflineOptions options;
  options.uses = {AdapterUse::none};
  options.prompts = {};
  options.batches = {1, 4};
  options.contexts = {100, 1000};
  options.context_tokens_max = 1000;
  const std::vector<PlannedRow> rows = plan_rows(options);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows.back().batch, 1);
  EXPECT_EQ(rows.back().tokens, 1000);
}

TEST(OfflinePlan, NamesWhatItLeavesOut) {
  OfflineOptions options;
  options.batches = {1, 4};
  options.contexts = {100, 1000};
  options.context_tokens_max = 1000;
  EXPECT_EQ(left_out_text(options), "left out: 3 rows that hold more than --context-tokens 1000: decode 4 x 1000");
  options.context_tokens_max = 4000;
  EXPECT_EQ(left_out_text(options), "");
}

TEST(OfflinePlan, LetsLargerBatchesTakeTurnsWithTheirAdapters) {
  OfflineOptions options;
  options.uses = {AdapterUse::distinct};
  options.prompts = {};
  options.batches = {4, 16};
  options.contexts = {100};
  options.registered = {8, 1000};
  const std::vector<PlannedRow> rows = plan_rows(options);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].adapters.count_in(16), 16);
  EXPECT_EQ(rows[2].adapters.count_in(16), 8);
  EXPECT_EQ(rows[2].adapters.adapter_of(9), rows[2].adapters.adapter_of(1));
}

TEST(OfflinePlan, CountsEverySequenceOfABatchUnderOneAdapter) {
  const AdapterSetting setting{AdapterUse::distinct, {}, 8};
  std::map<std::string, std::int32_t> counts;
  for (std::int32_t i = 0; i < 20; ++i) ++counts[setting.adapter_of(i)];
  ASSERT_EQ(setting.count_in(20), 8);
  for (std::int32_t i = 0; i < 8; ++i) EXPECT_EQ(setting.sequences_of(i, 20), counts[setting.adapter_of(i)]) << i;
}

TEST(ModelSource, NamesTheShapesWhenItFindsNothing) {
  const TemporaryFolder folder;
  const Result<ModelSource> model = find_model("nowhere", folder.path());
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("Qwen2.5-0.5B"), std::string::npos);
}

TEST(ModelSource, DrawsWeightsWhereThereIsAConfigAlone) {
  const TemporaryFolder folder;
  folder.write("shape/config.json", testing::kTinyConfig);
  EXPECT_EQ(find_model(folder.file("shape"), folder.path())->weights, WeightSource::random);
  folder.write("shape/model.safetensors", "");
  EXPECT_EQ(find_model(folder.file("shape"), folder.path())->weights, WeightSource::files);
  EXPECT_EQ(find_model("Qwen2.5-0.5B", folder.path())->weights, WeightSource::random);
}

}  // namespace
}  // namespace slora::bench
