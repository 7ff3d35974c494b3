#include "formats/module_table.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ModuleTable, PlacesEveryModuleInTheProductOfItsSite) {
  ModelConfig config;
  config.hidden_size = 64;
  config.vocab_size = 300;
  config.intermediate_size = 112;
  config.layer_count = 2;
  config.head_count = 6;
  config.kv_head_count = 2;
  config.head_dim = 16;
  config.qkv_bias = true;
  const ModuleTable table = make_module_table(config);
  EXPECT_EQ(table.modules.size(), 2u * 7 + 1);

  const ModuleEntry* v = table.find("model.layers.1.self_attn.v_proj");
  ASSERT_NE(v, nullptr);
  EXPECT_EQ(v->site, (Site{1, SiteKind::qkv}));
  EXPECT_EQ(v->slice_begin, 96 + 32);
  EXPECT_EQ(v->in, 64);
  EXPECT_EQ(v->out, 32);
  EXPECT_TRUE(v->has_bias);

  const ModuleEntry* o = table.find("model.layers.0.self_attn.o_proj");
  EXPECT_EQ(o->in, 96);
  EXPECT_EQ(o->out, 64);
  EXPECT_FALSE(o->has_bias);
  EXPECT_EQ(table.find("model.layers.0.mlp.up_proj")->slice_begin, 112);
  EXPECT_EQ(table.find("model.layers.0.mlp.down_proj")->in, 112);
  EXPECT_EQ(table.find("lm_head")->out, 300);
  EXPECT_EQ(table.find("lm_head")->site, (Site{0, SiteKind::head}));
  EXPECT_EQ(table.find("model.layers.2.mlp.up_proj"), nullptr);
  EXPECT_EQ(table.find("q_proj"), nullptr);
}

TEST(ModuleTable, CutsModulesAsTheShardsCutTheWeights) {
  ModelConfig config;
  config.hidden_size = 64;
  config.vocab_size = 301;
  config.intermediate_size = 112;
  config.layer_count = 1;
  config.head_count = 8;
  config.kv_head_count = 2;
  config.head_dim = 16;
  std::vector<ShardShape> shards;
  for (std::int32_t shard = 0; shard < 4; ++shard) shards.push_back(*make_shard_shape(config, shard, 4));
  const ModuleTable table = make_module_table(config, shards);
  EXPECT_EQ(table.shard_count, 4);
  const auto cut = [&](const char* name, std::size_t shard) {
    const ModuleEntry* module = table.find(name);
    EXPECT_EQ(module->cuts.size(), 4u);
    return module->cuts.at(shard);
  };
  const Slice hidden{0, 64};
  EXPECT_EQ(cut("model.layers.0.self_attn.q_proj", 3), (ModuleCut{{96, 32}, hidden, 0}));
  EXPECT_EQ(cut("model.layers.0.self_attn.k_proj", 3), (ModuleCut{{16, 16}, hidden, 32})) << "KV head 1 of 2";
  EXPECT_EQ(cut("model.layers.0.self_attn.v_proj", 1), (ModuleCut{{0, 16}, hidden, 48})) << "KV head 0, as shard 0";
  EXPECT_EQ(cut("model.layers.0.mlp.up_proj", 2), (ModuleCut{{56, 28}, hidden, 28}));
  EXPECT_EQ(cut("lm_head", 3), (ModuleCut{{228, 73}, hidden, 0}));
  // Partial sums of all outputs, of which each shard adds what adapters do to some.
  EXPECT_EQ(cut("model.layers.0.self_attn.o_proj", 2), (ModuleCut{{32, 16}, {64, 32}, 32}));
  EXPECT_EQ(cut("model.layers.0.mlp.down_proj", 1), (ModuleCut{{16, 16}, {28, 28}, 16}));
  EXPECT_TRUE(table.find("model.layers.0.mlp.down_proj")->splits_input);
  EXPECT_FALSE(table.find("model.layers.0.mlp.up_proj")->splits_input);
}

TEST(ModuleTable, CoversEverySiteWithoutGaps) {
  ModelConfig config;
  config.hidden_size = 32;
  config.vocab_size = 50;
  config.intermediate_size = 48;
  config.layer_count = 3;
  config.head_count = 4;
  config.kv_head_count = 1;
  config.head_dim = 10;
  std::int32_t end = 0;
  Site before{-1, SiteKind::qkv};
  for (const ModuleEntry& module : make_module_table(config).modules) {
    EXPECT_EQ(module.slice_begin, module.site == before ? end : 0) << module.path;
    end = module.slice_begin + module.out;
    before = module.site;
  }
}

}  // namespace
}  // namespace slora
