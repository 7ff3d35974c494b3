#include "bench/simulation/model_shape.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

TEST(ModelShape, Llama7BTakesWhatTheSLoraPaperSays) {
  const ModelShape model = *find_model_shape("Llama-7B");
  EXPECT_EQ(model.kv_bytes_per_token(), 512.0 * 1024);  // 2 x 32 layers x 4096 numbers of 2 bytes
  EXPECT_EQ(model.page_tokens(), 2);
  // An adapter of rank r is as large as the KV of 4 r tokens: 16 MiB for rank 8, 128 MiB for rank 64.
  for (const std::int32_t rank : {8, 16, 32, 64}) {
    EXPECT_EQ(model.adapter_bytes(rank), 4.0 * rank * model.kv_bytes_per_token());
    EXPECT_EQ(model.adapter_pages(rank), static_cast<std::uint32_t>(4 * rank / model.page_tokens()));
  }
  EXPECT_NEAR((model.layer_parameters() + 2 * model.head_parameters()) / 1e9, 6.738, 0.001);  // except the norms
}

TEST(ModelShape, Llama13BTakesWhatTheSLoraPaperSays) {
  const ModelShape model = *find_model_shape("Llama-13B");
  EXPECT_EQ(model.kv_bytes_per_token(), 800.0 * 1024);
  EXPECT_EQ(model.adapter_bytes(64), 200.0 * 1024 * 1024);
  EXPECT_NEAR((model.layer_parameters() + 2 * model.head_parameters()) / 1e9, 13.015, 0.001);
}

TEST(ModelShape, GroupedQueriesShrinkKvMoreThanAdapters) {
  const ModelShape model = *find_model_shape("Llama-3-8B");
  EXPECT_EQ(model.kv_bytes_per_token(), 128.0 * 1024);
  EXPECT_EQ(model.page_tokens(), 8);
  EXPECT_EQ(model.page_bytes(), 1024.0 * 1024);
  EXPECT_EQ(model.adapter_parameters(1), 32.0 * (8192 + 2 * 5120 + 8192));
  EXPECT_EQ(model.adapter_pages(16), 26u);  // of 27,262,976 bytes
  EXPECT_FALSE(find_model_shape("Llama-4"));
}

}  // namespace
}  // namespace slora::bench
