#include "model/random_weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "backend/testing/downloaded.h"

namespace slora {
namespace {

ModelConfig config_of(bool tied) {
  ModelConfig config;
  config.vocab_size = 700;  // more than a chunk of rows
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 6;
  config.tie_embeddings = tied;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  return config;
}

const std::unique_ptr<Backend>& reference() {
  static const std::unique_ptr<Backend> backend = std::move(*create_backend("reference", {}));
  return backend;
}

// FNV-1a of all products and biases.
std::uint64_t checksum(const ModelWeights& weights) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](const void* data, std::size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ at[i]) * 0x100000001b3u;
  };
  const auto add_product = [&](const LinearWeight& weight) {
    add(weight.packed.data(), weight.packed.bytes());
    const std::vector<float> bias = downloaded(*reference(), weight.bias.view());
    add(bias.data(), bias.size() * sizeof(float));
  };
  add_product(weights.head);
  add_product(weights.embedding);
  for (const LayerWeights& layer : weights.layers) {
    for (const LinearWeight* weight : {&layer.qkv, &layer.o, &layer.mlps[0].gate_up, &layer.mlps[0].down}) add_product(*weight);
  }
  return hash;
}

// Benchmarks compare runs of different versions: the weights that a seed gives stay what they are.
TEST(RandomWeights, AreTheSameBitsAsEver) {
  EXPECT_EQ(checksum(random_weights(config_of(false), whole_shape(config_of(false)), *reference(), 1, {})), 0x5d91883bc8e5798cu);
  EXPECT_EQ(checksum(random_weights(config_of(true), whole_shape(config_of(true)), *reference(), 1, {})), 0x98fd6fc86a6f3003u);
}

float at(const LinearWeight& weight, std::int64_t row, std::int64_t column) {
  return weight.packed.view(DType::f32, weight.out, weight.in).row<float>(row)[column];
}

TEST(RandomWeights, OfShardsArePartsOfOneModel) {
  const ModelConfig config = config_of(false);
  const ModelWeights whole = random_weights(config, whole_shape(config), *reference(), 3, {});
  for (std::int32_t shard = 0; shard < 2; ++shard) {
    const ShardShape shape = *make_shard_shape(config, shard, 2);
    const ModelWeights part = random_weights(config, shape, *reference(), 3, {});
    const LayerWeights &layer = part.layers[1], &all = whole.layers[1];
    for (std::int64_t row = 0; row < 6; ++row) {
      EXPECT_EQ(at(layer.qkv, 12 + row, 5), at(all.qkv, 24 + 6 * shard + row, 5)) << "k";
      EXPECT_EQ(at(layer.qkv, 18 + row, 5), at(all.qkv, 36 + 6 * shard + row, 5)) << "v";
    }
    EXPECT_EQ(at(layer.mlps[0].gate_up, 12 + 3, 7), at(all.mlps[0].gate_up, 24 + 12 * shard + 3, 7)) << "up";
    EXPECT_EQ(at(layer.mlps[0].down, 9, 4), at(all.mlps[0].down, 9, 12 * shard + 4));
    EXPECT_EQ(at(part.head, 349, 2), at(whole.head, 350 * shard + 349, 2)) << "in the second chunk of one of them";
    const auto values = [](const DeviceVector& vector) { return downloaded(*reference(), vector.view()); };
    for (std::int64_t i = 0; i < 16; ++i) {
      const auto index = static_cast<std::size_t>(i);
      EXPECT_EQ(values(layer.mlps[0].down.bias)[index], i / 8 == shard ? values(all.mlps[0].down.bias)[index] : 0);
    }
    EXPECT_EQ(values(layer.mlps[0].gate_up.bias)[12 + 3], values(all.mlps[0].gate_up.bias)[static_cast<std::size_t>(24 + 12 * shard + 3)]);
    EXPECT_EQ(values(layer.ffn_norm), std::vector<float>(16, 1.0f));
  }
}

}  // namespace
}  // namespace slora
