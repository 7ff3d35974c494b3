#include "formats/shard_shape.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

ModelConfig llama_8b() {
  ModelConfig config;
  config.vocab_size = 128256;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.layer_count = 32;
  config.head_count = 32;
  config.kv_head_count = 8;
  config.head_dim = 128;
  return config;
}

TEST(ShardShape, CutsHeadsMlpAndVocabularyIntoDisjointSlicesThatCoverThem) {
  const ModelConfig config = llama_8b();
  for (const std::int32_t count : {1, 2, 4, 8}) {
    ShardShape end;  // where the next shard's slices begin
    for (std::int32_t index = 0; index < count; ++index) {
      const ShardShape shape = *make_shard_shape(config, index, count);
      for (const auto slice : {&ShardShape::heads, &ShardShape::kv_heads, &ShardShape::mlp, &ShardShape::vocabulary, &ShardShape::hidden}) {
        EXPECT_EQ((shape.*slice).begin, (end.*slice).end());
        EXPECT_GT((shape.*slice).count, 0);
      }
      end = shape;
    }
    EXPECT_EQ(end.heads.end(), 32);
    EXPECT_EQ(end.kv_heads.end(), 8);
    EXPECT_EQ(end.mlp.end(), 14336);
    EXPECT_EQ(end.vocabulary.end(), 128256);
    EXPECT_EQ(end.hidden.end(), 4096);
  }
}

TEST(ShardShape, OfOneShardIsTheWholeModel) {
  const ModelConfig config = llama_8b();
  const ShardShape whole = whole_shape(config), made = *make_shard_shape(config, 0, 1);
  for (const Extent extent :
       {Extent::one, Extent::hidden, Extent::head_dim, Extent::heads, Extent::kv_heads, Extent::mlp, Extent::vocabulary}) {
    const std::int64_t size = size_of(config, extent);
    EXPECT_EQ(whole.slice_of(extent, size), (Slice{0, size}));
    EXPECT_EQ(made.slice_of(extent, size), (Slice{0, size}));
  }
}

TEST(ShardShape, GivesShardsThatAreMoreThanKvHeadsTheKvHeadOfTheirHeads) {
  ModelConfig config = llama_8b();
  config.kv_head_count = 2;
  for (std::int32_t index = 0; index < 8; ++index) {
    const ShardShape shape = *make_shard_shape(config, index, 8);
    EXPECT_EQ(shape.heads, (Slice{4 * index, 4}));
    EXPECT_EQ(shape.kv_heads, (Slice{index / 4, 1}));
    EXPECT_EQ(shape.kv_heads.begin, shape.heads.begin / (config.head_count / config.kv_head_count));
  }
}

TEST(ShardShape, LetsTheLastShardsSliceOfTheVocabularyBeShorter) {
  ModelConfig config = llama_8b();
  config.vocab_size = 97;
  EXPECT_EQ(make_shard_shape(config, 0, 4)->vocabulary, (Slice{0, 25}));
  EXPECT_EQ(make_shard_shape(config, 3, 4)->vocabulary, (Slice{75, 22}));
}

TEST(ShardShape, RefusesWhatDoesNotDivideByKeyAndValueAndShards) {
  const auto refusal = [](std::int32_t ModelConfig::*key, std::int32_t value, std::int32_t shard_count) {
    ModelConfig config = llama_8b();
    config.*key = value;
    const Result<ShardShape> shape = make_shard_shape(config, 0, shard_count);
    return shape ? "" : shape.error().code + ": " + shape.error().message;
  };
  EXPECT_EQ(refusal(&ModelConfig::head_count, 30, 4),
            "E_SHARDS: config.json: num_attention_heads is 30; expected a multiple of the 4 shards");
  EXPECT_EQ(refusal(&ModelConfig::kv_head_count, 6, 4),
            "E_SHARDS: config.json: num_key_value_heads is 6; expected a multiple or a divisor of the 4 shards");
  EXPECT_EQ(refusal(&ModelConfig::intermediate_size, 14330, 4),
            "E_SHARDS: config.json: intermediate_size is 14330; expected a multiple of the 4 shards");
  EXPECT_EQ(refusal(&ModelConfig::hidden_size, 4098, 4), "E_SHARDS: config.json: hidden_size is 4098; expected a multiple of the 4 shards");
  EXPECT_EQ(refusal(&ModelConfig::vocab_size, 12, 4), "E_SHARDS: config.json: vocab_size is 12; expected more than 12 for the 4 shards");
  EXPECT_EQ(refusal(&ModelConfig::vocab_size, 13, 4), "");
}

}  // namespace
}  // namespace slora
