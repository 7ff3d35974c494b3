#include "formats/model_tensors.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace slora {
namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 90;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 10;
  return config;
}

const TensorEntry& find(const ModelTensors& tensors, std::string_view module) {
  const auto at = std::ranges::find(tensors.entries, module, &TensorEntry::module);
  EXPECT_NE(at, tensors.entries.end()) << module;
  return *at;
}

std::vector<std::string> names_of(const ModelTensors& tensors) {
  std::vector<std::string> names;
  for (const TensorEntry& entry : tensors.entries) names.push_back(entry.module);
  return names;
}

TEST(ModelTensors, ListsTheHeadTheEmbeddingTheLayersAndTheLastNorm) {
  ModelConfig config = small_config();
  config.layer_count = 1;
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(names_of(make_model_tensors(config)),
            (std::vector<std::string>{"lm_head", "model.embed_tokens", layer + "input_layernorm", layer + "self_attn.q_proj",
                                      layer + "self_attn.k_proj", layer + "self_attn.v_proj", layer + "self_attn.o_proj",
                                      layer + "post_attention_layernorm", layer + "mlp.gate_proj", layer + "mlp.up_proj",
                                      layer + "mlp.down_proj", "model.norm"}));
}

TEST(ModelTensors, HasShapesAndPlacesInFusedProducts) {
  const ModelTensors tensors = make_model_tensors(small_config());
  const TensorEntry& v = find(tensors, "model.layers.1.self_attn.v_proj");
  EXPECT_EQ(v.site, (Site{1, SiteKind::qkv}));
  EXPECT_EQ(v.rows, 20);
  EXPECT_EQ(v.columns, 32);
  EXPECT_EQ(v.slice_begin, 40 + 20);
  EXPECT_FALSE(v.splits_input());
  const TensorEntry& down = find(tensors, "model.layers.0.mlp.down_proj");
  EXPECT_EQ(down.rows, 32);
  EXPECT_EQ(down.columns, 48);
  EXPECT_EQ(down.slice_begin, 0);
  EXPECT_TRUE(down.splits_input());
  EXPECT_EQ(find(tensors, "model.norm").columns, 1);
}

TEST(ModelTensors, HasBiasesAndHeadNormsWhereTheConfigSaysSo) {
  ModelConfig config = small_config();
  EXPECT_TRUE(std::ranges::none_of(make_model_tensors(config).entries, &TensorEntry::has_bias));
  const std::vector<std::string> plain_names = names_of(make_model_tensors(config));
  EXPECT_EQ(std::ranges::find(plain_names, "model.layers.0.self_attn.q_norm"), plain_names.end());
  config.qkv_bias = config.qk_norm = true;
  const ModelTensors tensors = make_model_tensors(config);
  EXPECT_TRUE(find(tensors, "model.layers.1.self_attn.k_proj").has_bias);
  EXPECT_FALSE(find(tensors, "model.layers.1.self_attn.o_proj").has_bias);
  EXPECT_EQ(find(tensors, "model.layers.1.self_attn.k_norm").rows, 10);
  config.o_bias = config.mlp_bias = true;
  EXPECT_TRUE(find(make_model_tensors(config), "model.layers.1.mlp.down_proj").has_bias);
}

TEST(ModelTensors, StoresATiedHeadAsTheEmbedding) {
  ModelConfig config = small_config();
  config.tie_embeddings = true;
  const ModelTensors tensors = make_model_tensors(config);
  EXPECT_EQ(find(tensors, "lm_head").stored_as, "model.embed_tokens");
  EXPECT_TRUE(std::ranges::none_of(tensors.entries, [](const TensorEntry& entry) { return entry.role == TensorRole::embedding; }));
}

TEST(ModelTensors, GroupsTheMatricesByFusedProduct) {
  const ModelTensors tensors = make_model_tensors(small_config());
  const std::vector<std::span<const TensorEntry>> products = tensors.products();
  ASSERT_EQ(products.size(), 2u + 4 * 2);
  std::vector<std::size_t> sizes;
  for (const auto& product : products) sizes.push_back(product.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 1, 3, 1, 2, 1, 3, 1, 2, 1}));
  const ProductShape qkv = product_shape(products[2], whole_shape(small_config()));
  EXPECT_EQ(qkv.out, 40 + 2 * 20);
  EXPECT_EQ(qkv.in, 32);
}

TEST(ModelTensors, GivesEveryElementOfAMatrixToOneShard) {
  ModelConfig config = small_config();
  config.o_bias = config.mlp_bias = config.qkv_bias = true;
  for (const TensorEntry& entry : make_model_tensors(config).entries) {
    if (!entry.is_matrix()) continue;
    std::int64_t elements = 0, outputs = 0;
    for (std::int32_t shard = 0; shard < 2; ++shard) {
      const ShardShape shape = *make_shard_shape(config, shard, 2);
      elements += entry.row_slice(shape).count * entry.column_slice(shape).count;
      EXPECT_EQ(entry.output_slice(shape).begin, outputs) << entry.module;
      outputs += entry.output_slice(shape).count;
    }
    EXPECT_EQ(elements, entry.rows * entry.columns) << entry.module;
    EXPECT_EQ(outputs, entry.rows) << entry.module;
  }
}

}  // namespace
}  // namespace slora
