#include "engine/model_shards.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

#include "backend/forwarding_backend.h"
#include "comm/thread_communicator.h"
#include "model/random_weights.h"

namespace slora {
namespace {

constexpr std::int32_t kPageTokens = 16;
constexpr std::uint32_t kPageCount = 4;

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 61;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 8;
  config.window = {0, 0};
  config.max_position_embeddings = 64;
  return config;
}

// Passes everything on until a forward pass asks for its ops, as a device that is lost would.
class FailingBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  Ops& ops() override { throw std::runtime_error("the device is lost"); }
};

using MakeBackend = std::unique_ptr<Backend> (*)(std::int32_t shard);

std::unique_ptr<Backend> reference(std::int32_t) { return std::move(*create_backend("reference", {})); }

std::unique_ptr<ModelShards> make_model(std::int32_t shard_count, MakeBackend make_backend) {
  const ModelConfig config = small_config();
  std::vector<std::unique_ptr<Communicator>> communicators = ThreadCommunicator::make_group(shard_count);
  std::vector<ModelShard> shards;
  for (std::int32_t i = 0; i < shard_count; ++i) {
    const ShardShape shape = *make_shard_shape(config, i, shard_count);
    ModelShard& shard = shards.emplace_back();
    shard.backend = make_backend(i);
    shard.communicator = std::move(communicators[static_cast<std::size_t>(i)]);
    const KvGeometry kv = make_kv_geometry(config, shape, shard.backend->kv_dtype(), kPageTokens);
    shard.arena = std::make_unique<PageArena>(shard.backend->allocate(kPageCount * kv.page_bytes()), kv.page_bytes());
    shard.model = std::make_unique<Model>(config, random_weights(config, shape, *shard.backend, 5, {}), *shard.backend, *shard.communicator,
                                          kv, ModelLimits{32, 8, 16, 64});
  }
  return std::make_unique<ModelShards>(std::move(shards));
}

// Logits of the last position of a prompt.
std::vector<float> run(ModelShards& model) {
  const std::vector<TokenId> tokens = {3, 60, 17, 42, 0};
  const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4};
  const std::vector<PageIndex> pages = {PageIndex{2}};
  const std::vector<SpanView> spans = {{0, 5, 0, 0, 1}};
  const std::vector<std::int32_t> rows = {4};
  const ForwardBatch batch{tokens, positions, {spans, pages}, {}};
  model.forward(batch);
  const Tensor logits = model.logits(batch, {rows, {}});
  return {logits.row<float>(0), logits.row<float>(0) + logits.cols};
}

TEST(ModelShards, GiveTheLogitsOfTheModelInOnePiece) {
  const std::vector<float> expected = run(*make_model(1, reference));
  EXPECT_EQ(expected.size(), 61u);
  for (const std::int32_t shard_count : {2, 4}) {
    const std::unique_ptr<ModelShards> model = make_model(shard_count, reference);
    EXPECT_EQ(model->page_count(), kPageCount);
    for (int round = 0; round < 20; ++round) {
      const std::vector<float> found = run(*model);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-4) << shard_count << " shards, token " << i;
    }
  }
}

template <std::int32_t kFailing>
std::unique_ptr<Backend> failing_on(std::int32_t shard) {
  if (shard != kFailing) return reference(shard);
  return std::make_unique<FailingBackend>(reference(shard));
}

TEST(ModelShardsDeathTest, EndTheProcessNamingTheShardThatFails) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH((void)run(*make_model(2, failing_on<1>)), "shard 1: expected to compute its part of a step: the device is lost");
}

// A caller that would catch the exception of the shard on its own thread must not wait for the threads of the others.
TEST(ModelShardsDeathTest, EndTheProcessWhenTheShardOnTheCallingThreadFails) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto run_and_catch = [] {
    try {
      (void)run(*make_model(2, failing_on<0>));
    } catch (const std::exception&) {
    }
  };
  EXPECT_DEATH(run_and_catch(), "shard 0: expected to compute its part of a step: the device is lost");
}

TEST(ModelShardsDeathTest, EndTheProcessWhenShardsHaveTheViewsOfDifferentAdapters) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  AdapterView view;
  view.id = AdapterId{3};
  view.other_shards.emplace_back().id = AdapterId{4};
  const std::vector<TokenId> tokens = {3};
  const std::vector<std::int32_t> positions = {0};
  const std::vector<PageIndex> pages = {PageIndex{2}};
  const std::vector<SpanView> spans = {{0, 1, 0, 0, 1}};
  const std::vector<AdapterSegment> segments = {{0, 1, 0, 1.0f, &view}};
  EXPECT_DEATH(make_model(2, reference)->forward({tokens, positions, {spans, pages}, {segments, 0}}),
               "shard 1: expected the same collective as on shard 0, expect_same");
}

}  // namespace
}  // namespace slora
