#include "formats/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "formats/model_tensors.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A Llama of one layer, as files that a test may change.
class ModelFolderTest : public ::testing::Test {
 protected:
  ModelFolderTest() {
    add("model.embed_tokens.weight", {11, 8}, 0.5f);
    add("model.norm.weight", {8}, 1);
    add(layer_ + "input_layernorm.weight", {8}, 1);
    add(layer_ + "post_attention_layernorm.weight", {8}, 1);
    for (const char* name : {"self_attn.q_proj", "self_attn.o_proj"}) add(layer_ + name + ".weight", {8, 8}, 0.5f);
    for (const char* name : {"self_attn.k_proj", "self_attn.v_proj"}) add(layer_ + name + ".weight", {4, 8}, 0.5f);
    for (const char* name : {"mlp.gate_proj", "mlp.up_proj"}) add(layer_ + name + ".weight", {12, 8}, 0.5f);
    add(layer_ + "mlp.down_proj.weight", {8, 12}, 0.5f);
  }

  void add(const std::string& name, std::vector<std::int64_t> shape, float value) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    std::erase_if(tensors_, [&](const TensorToWrite& tensor) { return tensor.name == name; });
    tensors_.push_back(tensor_to_write(name, DType::f32, std::move(shape), std::vector<float>(static_cast<std::size_t>(count), value)));
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const TensorToWrite& tensor) { return tensor.name == name; });
  }
  // `more`: members of the config, each with a comma before it.
  Result<ModelFolder> open(const std::string& more = "", const std::string& family = "llama") {
    EXPECT_TRUE(write_safetensors(folder_.file("model.safetensors"), tensors_));
    folder_.write("config.json", R"({"model_type": ")" + family +
                                     R"(", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
                                     "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4)" +
                                     more + "}");
    return open_model_folder(folder_.path());
  }
  std::string refusal(const std::string& more = "", const std::string& family = "llama") {
    const Result<ModelFolder> opened = open(more, family);
    return opened ? "accepted" : opened.error().code + ": " + opened.error().message;
  }

  const TemporaryFolder folder_;
  const std::string layer_ = "model.layers.0.";
  std::vector<TensorToWrite> tensors_;
};

TEST_F(ModelFolderTest, UsesTwoTablesThatDifferThoughTheConfigTiesThem) {
  add("lm_head.weight", {11, 8}, 0.25f);
  const Result<ModelFolder> opened = open(R"(, "tie_word_embeddings": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_FALSE(opened->config.tie_embeddings);
  EXPECT_NE(opened->files.find("lm_head.weight"), nullptr);
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("\"tie_word_embeddings\" is true")));
}

TEST_F(ModelFolderTest, TiesEqualTablesSilently) {
  add("lm_head.weight", {11, 8}, 0.5f);
  const Result<ModelFolder> opened = open(R"(, "tie_word_embeddings": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(opened->config.tie_embeddings);
  EXPECT_EQ(opened->files.find("lm_head.weight"), nullptr);
  EXPECT_THAT(opened->config.warnings, IsEmpty());
}

TEST_F(ModelFolderTest, TiesInEitherDirection) {
  remove("model.embed_tokens.weight");
  add("lm_head.weight", {11, 8}, 0.25f);
  const Result<ModelFolder> opened = open(R"(, "tie_word_embeddings": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(opened->config.tie_embeddings);
  EXPECT_NE(opened->files.find("model.embed_tokens.weight"), nullptr);
  EXPECT_EQ(opened->files.find("lm_head.weight"), nullptr);
}

TEST_F(ModelFolderTest, ServesWithoutTheBiasesThatOnlyTheConfigHas) {
  const Result<ModelFolder> opened = open(R"(, "attention_bias": true, "mlp_bias": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_FALSE(opened->config.qkv_bias || opened->config.o_bias || opened->config.mlp_bias);
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("attention_bias"), HasSubstr("mlp_bias")));
}

TEST_F(ModelFolderTest, KeepsTheBiasFlagWhenTheFileHasAnyOfThem) {
  add(layer_ + "self_attn.q_proj.bias", {8}, 1);
  const Result<ModelFolder> opened = open(R"(, "attention_bias": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE(opened->config.qkv_bias) << "so that the missing ones are refused by name";
}

TEST_F(ModelFolderTest, RefusesBiasesThatTheConfigDeniesUnlessTheyAreZero) {
  add(layer_ + "mlp.up_proj.bias", {12}, 0);
  const Result<ModelFolder> opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("1 biases that are zero")));
  add(layer_ + "mlp.up_proj.bias", {12}, 1e-3f);
  EXPECT_EQ(refusal(),
            "E_MODEL_CONFIG: model.safetensors: tensor \"model.layers.0.mlp.up_proj.bias\": expected no bias, as config.json: "
            "\"mlp_bias\" is false, found one that is not zero");
  EXPECT_THAT(refusal("", "mistral"), HasSubstr("as mistral models have no bias there"));
  remove(layer_ + "mlp.up_proj.bias");
  add(layer_ + "self_attn.o_proj.bias", {8}, 1);
  EXPECT_THAT(refusal(), HasSubstr("\"attention_bias\" is false"));
}

TEST_F(ModelFolderTest, LeavesOutBuffersAndSaysWhichItDoesNotKnow) {
  add(layer_ + "self_attn.rotary_emb.inv_freq", {2}, 1);
  add(layer_ + "self_attn.masked_bias", {1}, -1e9f);
  add("model.steps_seen", {1}, 3);
  const Result<ModelFolder> opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("\"model.steps_seen\"")));
  EXPECT_EQ(opened->files.find("model.steps_seen"), nullptr);
  EXPECT_EQ(opened->files.tensors().size(), 11u);
}

TEST_F(ModelFolderTest, LeavesPartsOfOtherArchitecturesToTheCheckOfWeights) {
  add(layer_ + "self_attn.q_norm.weight", {4}, 1);
  const Result<ModelFolder> opened = open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_NE(opened->files.find(layer_ + "self_attn.q_norm.weight"), nullptr);
}

TEST_F(ModelFolderTest, AddsTheModelsPrefixToFilesWithoutIt) {
  for (TensorToWrite& tensor : tensors_) tensor.name = tensor.name.substr(std::string_view("model.").size());
  const Result<ModelFolder> opened = open(R"(, "tie_word_embeddings": true)");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_NE(opened->files.find(layer_ + "mlp.down_proj.weight"), nullptr);
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("without \"model.\"")));
}

TEST_F(ModelFolderTest, SaysThatTheFilesHaveAnotherTypeThanTheConfig) {
  const Result<ModelFolder> opened = open(R"(, "torch_dtype": "bfloat16")");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_THAT(opened->config.warnings, ElementsAre(HasSubstr("\"dtype\" is bfloat16, but the files hold F32")));
  EXPECT_THAT(open(R"(, "dtype": "float32")")->config.warnings, IsEmpty());
}

}  // namespace
}  // namespace slora
