#include "formats/gguf_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

namespace slora {
namespace {

constexpr std::array kArchitectures = {GgufArchitecture{"llama", "llama", true},  // of Mistral too
                                       GgufArchitecture{"qwen2", "qwen2", false}, GgufArchitecture{"qwen3", "qwen3", false}};

struct GgufName {
  std::string_view gguf, path;
};
constexpr std::array kInLayers = {GgufName{"attn_q", "self_attn.q_proj"},
                                  GgufName{"attn_k", "self_attn.k_proj"},
                                  GgufName{"attn_v", "self_attn.v_proj"},
                                  GgufName{"attn_output", "self_attn.o_proj"},
                                  GgufName{"ffn_gate", "mlp.gate_proj"},
                                  GgufName{"ffn_up", "mlp.up_proj"},
                                  GgufName{"ffn_down", "mlp.down_proj"},
                                  GgufName{"attn_norm", "input_layernorm"},
                                  GgufName{"ffn_norm", "post_attention_layernorm"},
                                  GgufName{"attn_q_norm", "self_attn.q_norm"},
                                  GgufName{"attn_k_norm", "self_attn.k_norm"}};
constexpr std::array kOutside = {GgufName{"output", "lm_head"}, GgufName{"token_embd", "model.embed_tokens"},
                                 GgufName{"output_norm", "model.norm"}};

}  // namespace

bool is_gguf_path(std::string_view path) {
  constexpr std::string_view kEnding = ".gguf";
  return path.size() > kEnding.size() && path.ends_with(kEnding);
}

const GgufArchitecture* find_gguf_architecture(std::string_view name) {
  const auto* const found = std::ranges::find(kArchitectures, name, &GgufArchitecture::name);
  return found != kArchitectures.end() ? found : nullptr;
}

std::string gguf_architecture_names() {
  std::vector<std::string_view> names;
  for (const GgufArchitecture& architecture : kArchitectures) names.push_back(architecture.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::optional<std::string> path_of_gguf(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  if (const auto* known = std::ranges::find(kOutside, name, &GgufName::gguf); known != kOutside.end()) return std::string(known->path);
  if (!name.starts_with(kBlock)) return std::nullopt;
  name.remove_prefix(kBlock.size());
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const std::string_view layer = name.substr(0, dot);
  if (!std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  const auto* const known = std::ranges::find(kInLayers, name.substr(dot + 1), &GgufName::gguf);
  return known != kInLayers.end() ? std::optional(fmt::format("model.layers.{}.{}", layer, known->path)) : std::nullopt;
}

}  // namespace slora
