#include "model/kv_geometry.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

ModelConfig shape(std::int32_t layers, std::int32_t kv_heads, std::int32_t head_dim) {
  ModelConfig config;
  config.layer_count = layers;
  config.kv_head_count = kv_heads;
  config.head_dim = head_dim;
  return config;
}

TEST(KvGeometry, PagesHoldKAndVOfAllLayers) {
  const KvGeometry kv = make_kv_geometry(shape(32, 8, 128), DType::bf16, 8);
  EXPECT_EQ(kv.page_bytes(), std::size_t{32} * 2 * 8 * 8 * 128 * 2);
}

TEST(KvGeometry, PagesOfAShardHoldItsHeads) {
  ModelConfig config = shape(32, 8, 128);
  config.head_count = 32;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.vocab_size = 128256;
  const std::size_t whole = make_kv_geometry(config, DType::bf16, 8).page_bytes();
  EXPECT_EQ(make_kv_geometry(config, *make_shard_shape(config, 1, 2), DType::bf16, 8).page_bytes(), whole / 2);
  EXPECT_EQ(make_kv_geometry(config, *make_shard_shape(config, 15, 16), DType::bf16, 8).page_bytes(), whole / 8) << "one head each, twice";
  EXPECT_EQ(default_page_tokens(config, *make_shard_shape(config, 0, 4), DType::bf16), 32);
}

TEST(KvGeometry, LayersFollowEachOtherWithoutOverlap) {
  const KvGeometry kv = make_kv_geometry(shape(3, 2, 10), DType::f32, 4);
  for (std::int32_t i = 0; i < 3; ++i) {
    const KvLayer layer = kv.layer(i, nullptr);
    EXPECT_EQ(layer.v_offset, layer.k_offset + kv.block_bytes());
    EXPECT_EQ(layer.k_offset, static_cast<std::size_t>(i) * 2 * kv.block_bytes());
    EXPECT_LE(layer.v_offset + kv.block_bytes(), layer.page_bytes);
  }
  EXPECT_EQ(kv.page_bytes() % 64, 0u);
}

TEST(KvGeometry, DefaultPagesAreNearestToOneMebibyte) {
  EXPECT_EQ(default_page_tokens(shape(32, 8, 128), DType::bf16), 8);   // Llama 3.1 8B: 128 KiB a token
  EXPECT_EQ(default_page_tokens(shape(32, 32, 128), DType::bf16), 2);  // Llama 2 7B: 512 KiB a token
  EXPECT_EQ(default_page_tokens(shape(24, 2, 64), DType::bf16), 32);   // Qwen 2.5 0.5B: 12 KiB a token
}

}  // namespace
}  // namespace slora
