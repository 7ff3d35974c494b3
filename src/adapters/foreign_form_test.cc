#include "adapters/foreign_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "adapters/adapter_folder.h"
#include "adapters/lora_modules.h"
#include "adapters/testing/lora_fixture.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string form_of_folder(const std::vector<std::string>& names) { return std::string(foreign_form_of_files(names)); }

TEST(ForeignForm, IsRecognisedByTheFilesOfAFolder) {
  EXPECT_THAT(form_of_folder({"adapter_config.json", "adapters.npz"}), HasSubstr("mlx-lm"));
  EXPECT_THAT(form_of_folder({"0000100_adapters.safetensors"}), HasSubstr("mlx-lm"));
  EXPECT_THAT(form_of_folder({"recipe_state.pt"}), HasSubstr("torchtune"));
  EXPECT_THAT(form_of_folder({"README.md", "ggml-adapter-model.bin"}), HasSubstr("llama.cpp"));
  EXPECT_THAT(form_of_folder({"pytorch_lora_weights.safetensors"}), HasSubstr("diffusers"));
  EXPECT_THAT(form_of_folder({"mp_rank_00"}), HasSubstr("Megatron"));
  EXPECT_THAT(form_of_folder({"adapter.nemo"}), HasSubstr("NeMo"));
  EXPECT_THAT(form_of_folder({"__0_0.distcp"}), HasSubstr("sharded"));
  EXPECT_EQ(form_of_folder({"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}), "");
}

TEST(ForeignForm, IsRecognisedByTheNamesOfTensors) {
  for (const auto& [name, form] :
       {std::pair("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "kohya"),
        std::pair("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "kohya"),
        std::pair("model.layers.0.self_attn.q_proj.lora_a", "mlx-lm"), std::pair("layers.0.attn.q_proj.lora_a.weight", "torchtune"),
        std::pair("blk.0.attn_q.weight.lora_a", "llama.cpp"),
        std::pair("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", "diffusers"),
        std::pair("decoder.layers.0.self_attention.linear_qkv.adapter.linear_in.weight", "Megatron")}) {
    EXPECT_THAT(std::string(foreign_form_of_tensor(name)), HasSubstr(form)) << name;
  }
  EXPECT_EQ(foreign_form_of_tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"), "");
}

TEST(ForeignForm, IsNamedWithTheWayOut) {
  const TemporaryFolder mlx;
  mlx.write("adapter_config.json", R"({"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": {"rank": 2, "scale": 20.0}})");
  mlx.write("0000100_adapters.safetensors", "");
  const Result<AdapterFolder> by_config = open_adapter_folder(Folder::open(mlx.path()).value());
  ASSERT_FALSE(by_config);
  EXPECT_EQ(by_config.error().code, "E_FOREIGN");
  EXPECT_THAT(by_config.error().message, AllOf(HasSubstr("mlx-lm"), HasSubstr("adapters.safetensors")));

  const TemporaryFolder torchtune;
  torchtune.write("adapter_config.json", R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4})");
  torchtune.write("recipe_state.pt", "");
  const Result<AdapterFolder> by_file = open_adapter_folder(Folder::open(torchtune.path()).value());
  ASSERT_FALSE(by_file);
  EXPECT_EQ(by_file.error().code, "E_FOREIGN");
  EXPECT_THAT(by_file.error().message, HasSubstr("torchtune"));

  const TemporaryFolder llama_cpp;
  llama_cpp.write("ggml-adapter-model.bin", "ggla");
  const Result<AdapterFolder> without_config = open_adapter_folder(Folder::open(llama_cpp.path()).value());
  ASSERT_FALSE(without_config);
  EXPECT_EQ(without_config.error().code, "E_FOREIGN");
  EXPECT_THAT(without_config.error().message, HasSubstr("llama.cpp"));

  const TemporaryFolder kohya;
  LoraFixture fixture;
  fixture.add("lora_unet_x.lora_down.weight", {4, 48}, DType::f32, "");
  fixture.write(kohya.path());
  const Result<AdapterFolder> opened = open_adapter_folder(Folder::open(kohya.path()).value());
  ASSERT_TRUE(opened) << opened.error().message;
  const Result<AdapterModules> by_tensor = read_lora_modules(opened->config, opened->weights.tensors(), {.rank_max = 512});
  ASSERT_FALSE(by_tensor);
  EXPECT_EQ(by_tensor.error().code, "E_FOREIGN");
  EXPECT_THAT(by_tensor.error().message, HasSubstr("kohya"));
}

}  // namespace
}  // namespace slora
