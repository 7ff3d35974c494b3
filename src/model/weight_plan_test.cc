#include "model/weight_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <random>

#include "formats/safetensors_writer.h"
#include "model/weights.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kLayers = 16;

// A Llama with numbers that a test chooses for each module.
class WeightPlanTest : public ::testing::Test {
 protected:
  WeightPlanTest() {
    fs::create_directories(folder_);
    config_.vocab_size = 64;
    config_.hidden_size = 64;
    config_.intermediate_size = 96;
    config_.layer_count = kLayers;
    config_.head_count = 4;
    config_.kv_head_count = 2;
    config_.head_dim = 16;
    config_.max_position_embeddings = 16;
    config_.window = {0};
  }
  ~WeightPlanTest() override { fs::remove_all(folder_); }

  ModelFiles write(const std::function<float(const std::string& name)>& number) {
    std::vector<TensorToWrite> tensors;
    for (const TensorEntry& entry : make_model_tensors(config_).entries) {
      std::vector<float> numbers(static_cast<std::size_t>(entry.rows * entry.columns));
      for (float& value : numbers) value = number(entry.stored_as);
      std::vector<std::int64_t> shape = {entry.rows};
      if (entry.is_matrix()) shape.push_back(entry.columns);
      tensors.push_back(tensor_to_write(entry.stored_as + ".weight", DType::f32, shape, numbers));
    }
    EXPECT_TRUE(write_safetensors((folder_ / "model.safetensors").string(), tensors));
    return std::move(*ModelFiles::open(folder_.string()));
  }
  float drawn() { return std::normal_distribution<float>(0, 0.1f)(random_); }
  float level() { return 0.0625f * static_cast<float>(static_cast<int>(random_() % 16) - 8); }
  static std::unique_ptr<Backend> backend_of(WeightStorage weights) { return *create_backend("cpu", {.threads = 1, .weights = weights}); }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("slora_weight_plan_test_" + std::to_string(::getpid()));
  ModelConfig config_;
  std::mt19937_64 random_{5};
};

TEST_F(WeightPlanTest, KeepsValuesAndSomeOfDownInMoreBits) {
  const ModelFiles files = write([&](const std::string&) { return drawn(); });
  const ShardShape shape = whole_shape(config_);
  const auto four_bits = backend_of(WeightStorage::int4), bytes = backend_of(WeightStorage::int8), bf16 = backend_of(WeightStorage::bf16);
  const ModelWeights weights = std::move(*load_weights(files, config_, shape, *four_bits, {}));
  const std::map<std::int32_t, bool> fine_down = {{0, true},  {1, true},  {2, false},  {3, false}, {4, true},  {5, false},
                                                  {9, false}, {10, true}, {11, false}, {13, true}, {14, true}, {15, true}};
  for (const auto& [layer, is_fine] : fine_down) {
    const LayerWeights& own = weights.layers[static_cast<std::size_t>(layer)];
    EXPECT_EQ(own.mlps[0].down.storage, is_fine ? WeightStorage::int8 : WeightStorage::int4) << layer;
    EXPECT_EQ(own.mlps[0].gate_up.storage, WeightStorage::int4);
    EXPECT_EQ(own.qkv.fine_rows, 64) << "keys and values";
    EXPECT_EQ(own.o.fine_rows, 0);
  }
  const ModelWeights in_bytes = std::move(*load_weights(files, config_, shape, *bytes, {}));
  EXPECT_EQ(in_bytes.layers[3].qkv.fine_rows, 32) << "values";
  EXPECT_EQ(in_bytes.layers[0].mlps[0].down.storage, WeightStorage::int8);
  EXPECT_EQ(std::move(*load_weights(files, config_, shape, *bf16, {})).layers[3].qkv.fine_rows, 0);
  EXPECT_TRUE(WeightPlan(config_, &files, shape).rounds_to_four_bits(*four_bits));
  EXPECT_FALSE(WeightPlan(config_, &files, shape).rounds_to_four_bits(*bytes));
}

TEST_F(WeightPlanTest, LeavesInFourBitsWhatFilesHaveInFourBits) {
  const ModelFiles files = write([&](const std::string& name) { return name.ends_with("layers.2.mlp.up_proj") ? drawn() : level(); });
  const auto backend = backend_of(WeightStorage::int4);
  const ShardShape shape = whole_shape(config_);
  const ModelWeights weights = std::move(*load_weights(files, config_, shape, *backend, {}));
  for (const LayerWeights& layer : weights.layers) {
    EXPECT_EQ(layer.mlps[0].down.storage, WeightStorage::int4);
    EXPECT_EQ(layer.qkv.fine_rows, 0);
  }
  EXPECT_EQ(backend->int4_count().all - backend->int4_count().kept, 96 * 64);
  EXPECT_TRUE(WeightPlan(config_, &files, shape).rounds_to_four_bits(*backend));
  const ModelFiles all = write([&](const std::string&) { return level(); });
  EXPECT_FALSE(WeightPlan(config_, &all, shape).rounds_to_four_bits(*backend));
}

TEST_F(WeightPlanTest, PlannedBytesAreThoseOfTheWeights) {
  const ModelFiles files = write([&](const std::string&) { return drawn(); });
  for (const WeightStorage storage : {WeightStorage::bf16, WeightStorage::int8, WeightStorage::int4}) {
    const auto backend = backend_of(storage);
    const ModelWeights weights = std::move(*load_weights(files, config_, whole_shape(config_), *backend, {}));
    std::size_t bytes = weights.head.packed.bytes() + weights.embedding.packed.bytes();
    for (const LayerWeights& layer : weights.layers) {
      bytes += layer.qkv.packed.bytes() + layer.o.packed.bytes();
      bytes += layer.mlps[0].gate_up.packed.bytes() + layer.mlps[0].down.packed.bytes();
    }
    EXPECT_EQ(packed_bytes(config_, &files, whole_shape(config_), *backend), bytes) << name_of(storage);
  }
}

TEST_F(WeightPlanTest, RefusesNumbersThatFourBitsCannotKeep) {
  const ModelFiles files = write([&](const std::string& name) { return name.ends_with("layers.7.mlp.gate_proj") ? 70000.0f : drawn(); });
  const auto refused = load_weights(files, config_, whole_shape(config_), *backend_of(WeightStorage::int4), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, "E_RANGE");
  EXPECT_NE(refused.error().message.find("model.layers.7.mlp.gate_proj.weight"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(load_weights(files, config_, whole_shape(config_), *backend_of(WeightStorage::int8), {}).has_value());
}

// The gain of one input is large: products see a large input, and their weights for it are the best kept.
TEST_F(WeightPlanTest, RoundsWithTheLeastErrorWhereInputsAreLarge) {
  constexpr std::size_t kLarge = 5;
  std::size_t element = 0;
  const ModelFiles files = write([&](const std::string& name) {
    if (!name.ends_with("norm")) return drawn();
    return element++ % 64 == kLarge ? 100.0f : 1.0f;
  });
  const InputSquares squares = std::move(*observe_inputs(files, config_, backend_of(WeightStorage::bf16)));
  const std::span<const float> seen = squares.of({3, SiteKind::qkv});
  ASSERT_EQ(seen.size(), 64u);
  EXPECT_GT(seen[kLarge], 1000 * seen[kLarge + 1]);
  EXPECT_EQ(squares.of({3, SiteKind::down}).size(), 96u);
  const auto error_of = [&](const InputSquares* used) {
    const auto exact = *create_backend("reference", {}), kept = *create_backend("reference", {.weights = WeightStorage::int4});
    const ModelWeights want = std::move(*load_weights(files, config_, whole_shape(config_), *exact, {}));
    const ModelWeights got = std::move(*load_weights(files, config_, whole_shape(config_), *kept, {}, used));
    const LinearWeight &a = want.layers[3].mlps[0].gate_up, &b = got.layers[3].mlps[0].gate_up;
    EXPECT_TRUE(b.input_squares.empty());
    double sum = 0;
    for (std::int64_t row = 0; row < a.out; ++row) {
      const std::size_t at = static_cast<std::size_t>(row * a.in) + kLarge;
      sum += std::abs(reinterpret_cast<const float*>(a.packed.data())[at] - reinterpret_cast<const float*>(b.packed.data())[at]);
    }
    return sum;
  };
  EXPECT_LT(error_of(&squares), 0.2 * error_of(nullptr));
}

}  // namespace
}  // namespace slora
