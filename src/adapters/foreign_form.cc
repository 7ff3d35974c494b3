#include "adapters/foreign_form.h"

#include <algorithm>
#include <cstdint>

namespace slora {
namespace {

constexpr std::string_view kMlx = "mlx-lm's form: expected adapters.safetensors with mlx-lm's own adapter_config.json, which is served";
constexpr std::string_view kMlxOld = "mlx-lm's old form: load it with mlx-lm and save it as adapters.safetensors";
constexpr std::string_view kMlxCheckpoint = "a checkpoint of mlx-lm: give it the name adapters.safetensors";
constexpr std::string_view kTorchtune = "torchtune's form: expected adapter_0.safetensors with adapter_config.json, which is served";
constexpr std::string_view kTorchtuneState = "torchtune's state of training: serve the adapter that is saved next to it";
constexpr std::string_view kLlamaCpp = "llama.cpp's form: expected a GGUF file, which is served";
constexpr std::string_view kLlamaCppOld = "llama.cpp's form before GGUF: serve the PEFT folder that it was converted from";
constexpr std::string_view kDiffusers = "diffusers' form, of an image model: only language models are served";
constexpr std::string_view kKohya = "kohya's or LyCORIS' form, of an image model: only language models are served";
constexpr std::string_view kMegatron = "Megatron's or NeMo's form: export it to Hugging Face's with Megatron Bridge or NeMo's export";
constexpr std::string_view kLitGpt = "LitGPT's form: merge it with litgpt merge_lora, or train with PEFT";
constexpr std::string_view kPaddle = "PaddleNLP's form: convert it to PEFT's";
constexpr std::string_view kSharded = "a sharded training checkpoint: gather it and save it with PEFT's save_pretrained";

enum class At : std::uint8_t { whole, begin, end, inside };

struct Rule {
  std::string_view text;
  At at;
  std::string_view form;

  [[nodiscard]] bool matches(std::string_view name) const {
    switch (at) {
      case At::whole:
        return name == text;
      case At::begin:
        return name.starts_with(text);
      case At::end:
        return name.ends_with(text);
      case At::inside:
        return name.find(text) != std::string_view::npos;
    }
    return false;
  }
};

constexpr Rule kFiles[] = {
    {"adapters.npz", At::whole, kMlxOld},
    {"_adapters.safetensors", At::end, kMlxCheckpoint},  // 0000100_adapters.safetensors: a checkpoint
    {"recipe_state.pt", At::whole, kTorchtuneState},
    {"ggml-adapter-model.bin", At::whole, kLlamaCppOld},
    {"pytorch_lora_weights.safetensors", At::whole, kDiffusers},
    {"pytorch_lora_weights.bin", At::whole, kDiffusers},
    {".nemo", At::end, kMegatron},
    {"model_weights.ckpt", At::whole, kMegatron},
    {"latest_checkpointed_iteration.txt", At::whole, kMegatron},
    {"mp_rank_", At::begin, kMegatron},
    {"iter_0", At::begin, kMegatron},
    {".pth.lora", At::end, kLitGpt},
    {"lora_model_state.pdparams", At::whole, kPaddle},
    {".distcp", At::end, kSharded},
    {"pytorch_model_fsdp_0", At::whole, kSharded},
    {"zero_pp_rank_", At::begin, kSharded},
};

// The first rule that matches counts.
constexpr Rule kTensors[] = {
    {"blk.", At::begin, kLlamaCpp},
    {"lora_unet_", At::begin, kKohya},
    {"lora_te", At::begin, kKohya},
    {"lora_transformer_", At::begin, kKohya},
    {".lora_down.", At::inside, kKohya},
    {".lora_up.", At::inside, kKohya},
    {".hada_w", At::inside, kKohya},
    {".lokr_w", At::inside, kKohya},
    {"transformer_blocks.", At::inside, kDiffusers},
    {".to_q.", At::inside, kDiffusers},
    {".processor.", At::inside, kDiffusers},
    {".adapter.linear_", At::inside, kMegatron},
    {".linear_qkv.", At::inside, kMegatron},
    {".lora_kqv_adapter.", At::inside, kMegatron},
    {".lora_a.weight", At::end, kTorchtune},
    {".lora_b.weight", At::end, kTorchtune},
    {".lora_a", At::end, kMlx},
    {".lora_b", At::end, kMlx},
};

}  // namespace

std::string_view foreign_form_of_files(std::span<const std::string> names) {
  for (const Rule& rule : kFiles) {
    if (std::ranges::any_of(names, [&](const std::string& name) { return rule.matches(name); })) return rule.form;
  }
  return {};
}

std::string_view foreign_form_of_tensor(std::string_view name) {
  const auto* rule = std::ranges::find_if(kTensors, [&](const Rule& candidate) { return candidate.matches(name); });
  return rule != std::ranges::end(kTensors) ? rule->form : std::string_view();
}

}  // namespace slora
