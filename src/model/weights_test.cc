#include "model/weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "formats/safetensors_writer.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

// A folder with the weights of a one-layer Llama that a test may spoil.
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
    if (const Status written = write_safetensors((folder_ / "model.safetensors").string(), tensors_); !written) return tl::unexpected(written.error());
    const Result<ModelFiles> files = ModelFiles::open(folder_.string());
    if (!files) return tl::unexpected(files.error());
    return load_weights(*files, config_, *backend_, {});
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
  EXPECT_EQ(weights->layers[0].gate_up.out, 24);
  EXPECT_EQ(&weights->embedding_table(), &weights->embedding);
}

TEST_F(WeightsTest, ReadsTheEmbeddingOfATiedModelOnce) {
  config_.tie_embeddings = true;
  const Result<ModelWeights> weights = load();  // the copy of the head that is in the file is the embedding
  ASSERT_TRUE(weights.has_value()) << weights.error().message;
  EXPECT_EQ(&weights->embedding_table(), &weights->head);
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
