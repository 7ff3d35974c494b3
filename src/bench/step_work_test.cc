#include "bench/step_work.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/testing/tiny_config.h"
#include "comm/communicator.h"
#include "formats/json.h"
#include "model/random_weights.h"

namespace slora::bench {
namespace {

constexpr int kAttention = 5, kAdapters = 6, kHead = 4;  // places in the list of ops

class StepWork : public ::testing::Test {
 protected:
  static ModelConfig make_config(std::int32_t window) {
    ModelConfig config = *parse_model_config(*parse_json(testing::kTinyConfig));
    config.window.assign(2, window);
    return config;
  }
  Model make_model(std::int32_t window) {
    const ModelConfig config = make_config(window);
    return Model(config, random_weights(config, whole_shape(config), *backend_, 1, {}), *backend_, communicator_,
                 make_kv_geometry(config, DType::bf16, 16), {});
  }

  std::unique_ptr<Backend> backend_ = *create_backend("cpu", {.threads = 1});
  SingleCommunicator communicator_;
};

TEST_F(StepWork, CountsEveryWeightOnceAndTwoOperationsForEachRow) {
  const Model model = make_model(0);
  const double weights = 2 * (64 * 128 + 64 * 64 + 192 * 64 + 64 * 96);
  const std::vector<Work> works = work_of(model, {{{0, 3}, {5, 1}}, 2, {}});
  double bytes = 0, operations = 0;
  for (int i = 0; i < kHead; ++i) {
    bytes += works[static_cast<std::size_t>(i)].bytes;
    operations += works[static_cast<std::size_t>(i)].weight_operations;
  }
  EXPECT_EQ(bytes, 2 * weights) << "all widths are whole panels";
  EXPECT_EQ(operations, 2 * weights * 4);
  EXPECT_EQ(works[kHead].weight_operations, 2.0 * 320 * 64 * 2) << "the head is computed for the rows that need it";
}

TEST_F(StepWork, CountsKeysThatAreSeen) {
  constexpr double kTokenBytes = 2 * 32 * 2, kPairOperations = 4 * 64, kLayers = 2;
  const std::vector<Work> works = work_of(make_model(0), {{{0, 3}, {5, 1}}, 2, {}});
  EXPECT_EQ(works[kAttention].bytes, kLayers * kTokenBytes * (3 + 6));
  EXPECT_EQ(works[kAttention].other_operations, kLayers * kPairOperations * (1 + 2 + 3 + 6));
  const std::vector<Work> windowed = work_of(make_model(2), {{{0, 3}, {5, 1}}, 2, {}});
  EXPECT_EQ(windowed[kAttention].bytes, kLayers * kTokenBytes * (3 + 2));
  EXPECT_EQ(windowed[kAttention].other_operations, kLayers * kPairOperations * (1 + 2 + 2 + 2));
}

TEST_F(StepWork, CountsAnAdapterOnceHoweverManyRowsShareIt) {
  const std::vector<Work> works = work_of(make_model(0), {{{0, 1}, {0, 1}}, 2, {{100, 2}}});
  EXPECT_EQ(works[kAdapters].bytes, 200);
  EXPECT_EQ(works[kAdapters].other_operations, 400);
}

TEST(Floor, IsWhatTakesLonger) {
  MachineLimits limits;
  limits.bandwidth = 10;
  limits.fp32_peak = 1;
  limits.bf16_peak = 100;
  EXPECT_EQ(floor_seconds({50, 100, 100}, Arithmetic::bf16, limits), 5);
  EXPECT_EQ(floor_seconds({10, 100, 100}, Arithmetic::bf16, limits), 2);
  EXPECT_EQ(floor_seconds({10, 100, 100}, Arithmetic::int8, limits), 2) << "without such instructions int8 is as slow as bf16";
  limits.int8_peak = 200;
  EXPECT_EQ(floor_seconds({10, 100, 100}, Arithmetic::int8, limits), 1.5);
}

}  // namespace
}  // namespace slora::bench
