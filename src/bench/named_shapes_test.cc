#include "bench/named_shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/model_config.h"

namespace slora::bench {
namespace {

TEST(NamedShapes, AreModelsThatAreServed) {
  ASSERT_FALSE(named_shapes().empty());
  for (const NamedShape& shape : named_shapes()) {
    const Result<Json> json = parse_json(shape.config);
    ASSERT_TRUE(json) << shape.name << ": " << json.error().message;
    const Result<ModelConfig> config = parse_model_config(*json);
    EXPECT_TRUE(config) << shape.name << ": " << config.error().message;
  }
}

TEST(NamedShapes, HaveTheTrueSizes) {
  const auto shape = std::ranges::find(named_shapes(), "Qwen2.5-0.5B", &NamedShape::name);
  ASSERT_NE(shape, named_shapes().end());
  const ModelConfig config = *parse_model_config(*parse_json(shape->config));
  EXPECT_EQ(config.hidden_size, 896);
  EXPECT_EQ(config.kv_width(), 128);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_TRUE(config.tie_embeddings);
}

}  // namespace
}  // namespace slora::bench
