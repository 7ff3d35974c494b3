#include "engine/extended_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slora {
namespace {

using ::testing::HasSubstr;

TEST(ExtendedPositions, AreThoseOfThePoolUnlessTheOperatorSays) {
  const std::unique_ptr<Backend> backend = std::move(*create_backend("reference", {}));
  ModelConfig config;
  config.max_position_embeddings = 4096;
  RuntimeOptions options;
  EXPECT_EQ(extended_positions(options, config, *backend, 100'000), 100'000);
  EXPECT_EQ(extended_positions(options, config, *backend, 1 << 30), 1 << 20);
  config.max_position_embeddings = 16;
  EXPECT_EQ(extended_positions(options, config, *backend, 100'000), 16 * 256);
  options.max_adapter_len = 50'000;
  EXPECT_EQ(extended_positions(options, config, *backend, 100'000), 50'000);
  config.rope.kind = RopeKind::yarn;
  EXPECT_EQ(extended_positions(options, config, *backend, 100'000), 0) << "factors of adapters are of default and linear RoPE";
}

TEST(ExtendedPositions, AreRefusedWhereThePoolDoesNotHoldThem) {
  RuntimeOptions options;
  EXPECT_TRUE(check_max_adapter_len(options, 100));
  for (const std::int32_t allowed : {0, 2, 100}) {
    options.max_adapter_len = allowed;
    EXPECT_TRUE(check_max_adapter_len(options, 100)) << allowed;
  }
  for (const std::int32_t refused : {-1, 1, 101}) {
    options.max_adapter_len = refused;
    const Status checked = check_max_adapter_len(options, 100);
    ASSERT_FALSE(checked) << refused;
    EXPECT_EQ(checked.error().code, "E_MAX_ADAPTER_LEN");
    EXPECT_THAT(checked.error().message, HasSubstr("found " + std::to_string(refused)));
  }
}

}  // namespace
}  // namespace slora
