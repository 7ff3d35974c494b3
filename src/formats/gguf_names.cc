#include "formats/gguf_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace slora {
namespace {

constexpr GgufName kLlamaNames[] = {
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},     {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_gate", "mlp.gate_proj"},      {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {"attn_norm", "input_layernorm"},   {"ffn_norm", "post_attention_layernorm"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"}};
constexpr GgufName kGemmaNames[] = {{"attn_q", "self_attn.q_proj"},
                                    {"attn_k", "self_attn.k_proj"},
                                    {"attn_v", "self_attn.v_proj"},
                                    {"attn_output", "self_attn.o_proj"},
                                    {"ffn_gate", "mlp.gate_proj"},
                                    {"ffn_up", "mlp.up_proj"},
                                    {"ffn_down", "mlp.down_proj"},
                                    {"attn_norm", "input_layernorm"},
                                    {"post_attention_norm", "post_attention_layernorm"},
                                    {"ffn_norm", "pre_feedforward_layernorm"},
                                    {"post_ffw_norm", "post_feedforward_layernorm"},
                                    {"attn_q_norm", "self_attn.q_norm"},
                                    {"attn_k_norm", "self_attn.k_norm"}};
constexpr GgufName kOlmoNames[] = {{"attn_q", "self_attn.q_proj"},
                                   {"attn_k", "self_attn.k_proj"},
                                   {"attn_v", "self_attn.v_proj"},
                                   {"attn_output", "self_attn.o_proj"},
                                   {"ffn_gate", "mlp.gate_proj"},
                                   {"ffn_up", "mlp.up_proj"},
                                   {"ffn_down", "mlp.down_proj"},
                                   {"post_attention_norm", "post_attention_layernorm"},
                                   {"post_ffw_norm", "post_feedforward_layernorm"},
                                   {"attn_q_norm", "self_attn.q_norm"},
                                   {"attn_k_norm", "self_attn.k_norm"}};
constexpr GgufName kPhi3Names[] = {{"attn_qkv", "self_attn.qkv_proj"}, {"attn_output", "self_attn.o_proj"},
                                   {"ffn_up", "mlp.gate_up_proj"},     {"ffn_down", "mlp.down_proj"},
                                   {"attn_norm", "input_layernorm"},   {"ffn_norm", "post_attention_layernorm"}};

constexpr GgufName kGemma2Entries[] = {{"attn_logit_softcapping", "attn_logit_softcapping"},
                                       {"final_logit_softcapping", "final_logit_softcapping"}};
constexpr GgufName kGemma3Entries[] = {{"final_logit_softcapping", "final_logit_softcapping"},
                                       {"rope.freq_base_swa", "rope_local_base_freq"}};
constexpr GgufName kGraniteEntries[] = {{"attention.scale", "attention_multiplier"},
                                        {"embedding_scale", "embedding_multiplier"},
                                        {"residual_scale", "residual_multiplier"},
                                        {"logit_scale", "logits_scaling"}};

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "llama", .model_type = "llama", .in_layers = kLlamaNames, .has_pairs_together = true, .window_type = "mistral"},
    {.name = "qwen2", .model_type = "qwen2", .in_layers = kLlamaNames},
    {.name = "qwen3", .model_type = "qwen3", .in_layers = kLlamaNames},
    {.name = "gemma2",
     .model_type = "gemma2",
     .in_layers = kGemmaNames,
     .has_whole_gains = true,
     .window_type = "gemma2",
     .numbers = kGemma2Entries,
     .layers_of_wide_query = 46},
    {.name = "gemma3",
     .model_type = "gemma3_text",
     .in_layers = kGemmaNames,
     .has_whole_gains = true,
     .window_type = "gemma3_text",
     .numbers = kGemma3Entries,
     .layers_of_wide_query = 62},
    {.name = "granite", .model_type = "granite", .in_layers = kLlamaNames, .has_pairs_together = true, .numbers = kGraniteEntries},
    {.name = "smollm3", .model_type = "smollm3", .in_layers = kLlamaNames, .has_pairs_together = true},
    {.name = "olmo2", .model_type = "olmo2", .in_layers = kOlmoNames},
    {.name = "phi3", .model_type = "phi3", .in_layers = kPhi3Names, .rotates_in_part = true, .window_type = "phi3"},
};

constexpr GgufName kOutside[] = {{"output", "lm_head"}, {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}};

}  // namespace

bool is_gguf_path(std::string_view path) {
  constexpr std::string_view kEnding = ".gguf";
  return path.size() > kEnding.size() && path.ends_with(kEnding);
}

const GgufArchitecture* find_gguf_architecture(std::string_view name) {
  const auto* const found = std::ranges::find(kArchitectures, name, &GgufArchitecture::name);
  return found != std::end(kArchitectures) ? found : nullptr;
}

std::string gguf_architecture_names() {
  std::vector<std::string_view> names;
  for (const GgufArchitecture& architecture : kArchitectures) names.push_back(architecture.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::optional<std::string> path_of_gguf(const GgufArchitecture& architecture, std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  if (const auto* known = std::ranges::find(kOutside, name, &GgufName::gguf); known != std::end(kOutside)) return std::string(known->other);
  if (!name.starts_with(kBlock)) return std::nullopt;
  name.remove_prefix(kBlock.size());
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const std::string_view layer = name.substr(0, dot);
  if (!std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  const auto known = std::ranges::find(architecture.in_layers, name.substr(dot + 1), &GgufName::gguf);
  return known != architecture.in_layers.end() ? std::optional(fmt::format("model.layers.{}.{}", layer, known->other)) : std::nullopt;
}

}  // namespace slora
