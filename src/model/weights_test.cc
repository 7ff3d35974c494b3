#include "model/weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "backend/testing/downloaded.h"
#include "formats/safetensors_writer.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// A folder with the weights of a one-layer Llama that a test may change.
class WeightsTest : public ::testing::Test {
 protected:
  WeightsTest() {
    fs::create_directories(folder_);
    config_.vocab_size = 11;
    config_.hidden_size = 8;
    config_.intermediate_size = 12;
    config_.layer_count = 1;
    config_.head_count = 2;
    config_.kv_head_count = 1;
    config_.head_dim = 4;
    config_.window = {0};
    const std::string layer = "model.layers.0.";
    add("model.embed_tokens.weight", {11, 8});
    add("lm_head.weight", {11, 8});
    add("model.norm.weight", {8});
    add(layer + "input_layernorm.weight", {8});
    add(layer + "post_attention_layernorm.weight", {8});
    add(layer + "self_attn.q_proj.weight", {8, 8});
    add(layer + "self_attn.k_proj.weight", {4, 8});
    add(layer + "self_attn.v_proj.weight", {4, 8});
    add(layer + "self_attn.o_proj.weight", {8, 8});
    add(layer + "mlp.gate_proj.weight", {12, 8});
    add(layer + "mlp.up_proj.weight", {12, 8});
    add(layer + "mlp.down_proj.weight", {8, 12});
  }
  ~WeightsTest() override { fs::remove_all(folder_); }

  void add(const std::string& name, std::vector<std::int64_t> shape, DType dtype = DType::f32) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    tensors_.push_back(tensor_to_write(name, dtype, std::move(shape), std::vector<float>(static_cast<std::size_t>(count), 0.5f)));
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const TensorToWrite& tensor) { return tensor.name == name; });
  }
  Result<ModelWeights> load() {
    if (const Status written = write_safetensors((folder_ / "model.safetensors").string(), tensors_); !written)
      return tl::unexpected(written.error());
    const Result<ModelFiles> files = ModelFiles::open(folder_.string());
    if (!files) return tl::unexpected(files.error());
    return load_weights(*files, config_, whole_shape(config_), *backend_, {});
  }
  void expect_refused(const std::string& code, const std::string& mention) {
    const Result<ModelWeights> loaded = load();
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code, code);
    EXPECT_NE(loaded.error().message.find(mention), std::string::npos) << loaded.error().message;
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("slora_weights_test_" + std::to_string(::getpid()));
  ModelConfig config_;
  std::vector<TensorToWrite> tensors_;
  const std::unique_ptr<Backend> backend_ = std::move(*create_backend("reference", {}));
};

TEST_F(WeightsTest, FusesTheModulesOfASite) {
  const Result<ModelWeights> weights = load();
  ASSERT_TRUE(weights.has_value()) << weights.error().message;
  EXPECT_EQ(weights->layers[0].qkv.out, 16);
  EXPECT_EQ(weights->layers[0].mlps[0].gate_up.out, 24);
  EXPECT_EQ(&weights->embedding_table(), &weights->embedding);
}

TEST_F(WeightsTest, SaysWhatQuantisedWeightsNeed) {
  remove("model.layers.0.mlp.up_proj.weight");
  add("model.layers.0.mlp.up_proj.qweight", {12, 8});
  expect_refused("E_MISSING_TENSOR", "'model.layers.0.mlp.up_proj.qweight' is, which is served if \"quantization_config\"");
  add("model.layers.0.mlp.up_proj.weight", {12, 8});
  expect_refused("E_UNKNOWN_TENSOR", "weights that are so quantised are served if \"quantization_config\"");
}

// Rows [row_begin, ..) x columns [column_begin, ..) of `whole`, as the part [out, in] that a shard has.
void expect_part(const LinearWeight& part, std::int64_t part_row, std::int64_t rows, const LinearWeight& whole, std::int64_t row_begin,
                 std::int64_t column_begin, const char* what) {
  const auto* found = reinterpret_cast<const float*>(part.packed.data());
  const auto* expected = reinterpret_cast<const float*>(whole.packed.data());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < part.in; ++column) {
      ASSERT_EQ(found[(part_row + row) * part.in + column], expected[(row_begin + row) * whole.in + column_begin + column])
          << what << " row " << row << " column " << column;
    }
  }
}

TEST_F(WeightsTest, GivesShardsTheirRowsAndColumns) {
  config_.qkv_bias = config_.o_bias = true;
  for (const char* bias : {"q_proj", "o_proj"}) add(std::string("model.layers.0.self_attn.") + bias + ".bias", {8});
  for (const char* bias : {"k_proj", "v_proj"}) add(std::string("model.layers.0.self_attn.") + bias + ".bias", {4});
  float next = 0;
  for (TensorToWrite& tensor : tensors_) {
    auto* values = reinterpret_cast<float*>(tensor.bytes.data());
    for (std::size_t i = 0; i < tensor.bytes.size() / sizeof(float); ++i) values[i] = next++;
  }
  const Result<ModelWeights> whole = load();
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  const Result<ModelFiles> files = ModelFiles::open(folder_.string());
  for (std::int32_t shard = 0; shard < 2; ++shard) {
    const ShardShape shape = *make_shard_shape(config_, shard, 2);
    const Result<ModelWeights> part = load_weights(*files, config_, shape, *backend_, {});
    ASSERT_TRUE(part.has_value()) << part.error().message;
    const LayerWeights &layer = part->layers[0], &all = whole->layers[0];
    expect_part(layer.qkv, 0, 4, all.qkv, 4 * shard, 0, "q");
    expect_part(layer.qkv, 4, 8, all.qkv, 8, 0, "k and v: one head for both shards");
    expect_part(layer.o, 0, 8, all.o, 0, 4 * shard, "o");
    expect_part(layer.mlps[0].gate_up, 0, 6, all.mlps[0].gate_up, 6 * shard, 0, "gate");
    expect_part(layer.mlps[0].gate_up, 6, 6, all.mlps[0].gate_up, 12 + 6 * shard, 0, "up");
    expect_part(layer.mlps[0].down, 0, 8, all.mlps[0].down, 0, 6 * shard, "down");
    expect_part(part->head, 0, shard == 0 ? 6 : 5, whole->head, 6 * shard, 0, "head");
    expect_part(part->embedding, 0, shard == 0 ? 6 : 5, whole->embedding, 6 * shard, 0, "embedding");
    const auto values = [&](const DeviceVector& vector) { return downloaded(*backend_, vector.view()); };
    EXPECT_EQ(values(layer.attn_norm), values(all.attn_norm));
    const std::vector<float> q_bias = values(layer.qkv.bias), all_bias = values(all.qkv.bias);
    EXPECT_TRUE(std::equal(q_bias.begin(), q_bias.begin() + 4, all_bias.begin() + 4 * shard));
    const std::vector<float> o_bias = values(layer.o.bias), all_o_bias = values(all.o.bias);
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(o_bias[i], i / 4 == static_cast<std::size_t>(shard) ? all_o_bias[i] : 0) << "added by one shard";
    }
  }
}

TEST_F(WeightsTest, ReadsTheEmbeddingOfATiedModelOnce) {
  config_.tie_embeddings = true;
  remove("lm_head.weight");
  const Result<ModelWeights> weights = load();
  ASSERT_TRUE(weights.has_value()) << weights.error().message;
  EXPECT_EQ(&weights->embedding_table(), &weights->head);
}

TEST_F(WeightsTest, DropsNoHeadOfATiedModel) {
  config_.tie_embeddings = true;
  expect_refused("E_UNKNOWN_TENSOR", "lm_head.weight");
}

TEST_F(WeightsTest, RefusesNumbersThatAreNotFiniteByTensorAndFile) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.layers.0.mlp.down_proj.weight"}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const float value : {nan, infinity, -infinity}) {
        const auto at = std::ranges::find(tensors_, name, &TensorToWrite::name);
        const TensorToWrite kept = *at;
        std::vector<float> values(kept.bytes.size() / sizeof(float), 0.5f);
        values[5] = value;
        *at = tensor_to_write(name, dtype, kept.shape, values);
        expect_refused("E_NONFINITE", std::string("model.safetensors: tensor \"") + name);
        expect_refused("E_NONFINITE", "at element 5");
        *at = kept;
      }
    }
  }
}

TEST_F(WeightsTest, NamesTheKeysThatAShapeContradicts) {
  remove("model.layers.0.self_attn.k_proj.weight");
  add("model.layers.0.self_attn.k_proj.weight", {8, 8});
  expect_refused("E_SHAPE", "[4, 8] ([num_key_value_heads x head_dim, hidden_size] of config.json), found [8, 8]");
}

TEST_F(WeightsTest, NamesTheNumberOfLayersWhenTheFileHasMore) {
  add("model.layers.1.input_layernorm.weight", {8});
  expect_refused("E_UNKNOWN_TENSOR", "\"num_hidden_layers\" 1");
}

TEST_F(WeightsTest, RefusesAMissingTensorByName) {
  remove("model.layers.0.mlp.up_proj.weight");
  expect_refused("E_MISSING_TENSOR", "mlp.up_proj.weight");
}

TEST_F(WeightsTest, RefusesAnotherShapeNamingBoth) {
  remove("model.layers.0.mlp.up_proj.weight");
  add("model.layers.0.mlp.up_proj.weight", {13, 8});
  expect_refused("E_SHAPE", "[12, 8]");
}

TEST_F(WeightsTest, RefusesATensorThatNothingTakes) {
  add("model.layers.0.self_attn.q_proj.bias", {8});
  expect_refused("E_UNKNOWN_TENSOR", "q_proj.bias");
}

TEST_F(WeightsTest, RefusesElementTypesThatAreNoFloats) {
  remove("model.norm.weight");
  tensors_.push_back({"model.norm.weight", DType::i8, {8}, std::vector<std::byte>(8)});
  expect_refused("E_DTYPE", "I8");
}

}  // namespace
}  // namespace slora
