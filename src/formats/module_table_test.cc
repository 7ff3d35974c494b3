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
