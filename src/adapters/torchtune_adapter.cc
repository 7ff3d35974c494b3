#include "adapters/torchtune_adapter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "adapters/tensor_names.h"

namespace slora {
namespace {

struct NamePair {
  std::string_view torchtune, peft;
};
constexpr std::array kModules = {NamePair{"attn.q_proj", "self_attn.q_proj"},
                                 NamePair{"attn.k_proj", "self_attn.k_proj"},
                                 NamePair{"attn.v_proj", "self_attn.v_proj"},
                                 NamePair{"attn.output_proj", "self_attn.o_proj"},
                                 NamePair{"mlp.w1", "mlp.gate_proj"},
                                 NamePair{"mlp.w2", "mlp.down_proj"},
                                 NamePair{"mlp.w3", "mlp.up_proj"}};
constexpr std::array kEndings = {NamePair{".lora_a.weight", "lora_A.weight"}, NamePair{".lora_b.weight", "lora_B.weight"},
                                 NamePair{".magnitude", "lora_magnitude_vector"}, NamePair{".magnitude.weight", "lora_magnitude_vector"}};
// As config files may have them, by their last component.
constexpr std::array kTargets = {NamePair{"output_proj", "o_proj"}, NamePair{"w1", "gate_proj"}, NamePair{"w2", "down_proj"},
                                 NamePair{"w3", "up_proj"}, NamePair{"output", "lm_head"}};

// "layers.7.attn.q_proj" -> "model.layers.7.self_attn.q_proj"
std::optional<std::string> path_of_module(std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (name == "output") return "lm_head";
  if (!name.starts_with(kLayers)) return std::nullopt;
  name.remove_prefix(kLayers.size());
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const std::string_view layer = name.substr(0, dot);
  if (!std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  const auto* const module = std::ranges::find(kModules, name.substr(dot + 1), &NamePair::torchtune);
  if (module == kModules.end()) return std::nullopt;
  return fmt::format("model.layers.{}.{}", layer, module->peft);
}

struct Renamed {
  std::string path;
  std::string_view ending;
};

std::optional<Renamed> renamed(std::string_view name) {
  for (const NamePair& ending : kEndings) {
    if (!name.ends_with(ending.torchtune)) continue;
    std::optional<std::string> path = path_of_module(name.substr(0, name.size() - ending.torchtune.size()));
    if (path) return Renamed{*std::move(path), ending.peft};
  }
  return std::nullopt;
}

Status rename_targets(Json& config) {
  const Result<std::optional<std::vector<std::string>>> targets = optional_strings_at(config, "target_modules");
  if (!targets) return tl::unexpected(targets.error());
  if (!*targets) return {};
  Json renamed_targets = Json::array();
  for (const std::string& target : **targets) {
    const auto* const known = std::ranges::find(kTargets, target, &NamePair::torchtune);
    renamed_targets.push_back(known != kTargets.end() ? std::string(known->peft) : target);
  }
  config["target_modules"] = std::move(renamed_targets);
  return {};
}

}  // namespace

bool is_torchtune_adapter(const std::vector<ReadableTensor>& tensors) {
  return !tensors.empty() &&
         std::ranges::all_of(tensors, [](const ReadableTensor& tensor) { return renamed(tensor.info.name).has_value(); });
}

Result<PeftForm> convert_torchtune_adapter(std::vector<ReadableTensor> tensors, Json config, const ModuleTable* base) {
  if (!config.is_object()) return error("E_BAD_JSON", "adapter_config.json: expected an object, found {}", type_name(config));
  // Qwen's models have Hugging Face's order in torchtune too.
  const bool keeps_order = base != nullptr && base->family != Family::llama && base->family != Family::mistral;
  PeftForm form;
  bool has_magnitudes = false;
  for (ReadableTensor& tensor : tensors) {
    const std::optional<Renamed> name = renamed(tensor.info.name);
    if (!name) return refuse_tensor_of("torchtune", tensor);
    has_magnitudes = has_magnitudes || name->ending == "lora_magnitude_vector";
    rename_tensor(tensor, name->path, name->ending);
    if (name->ending == "lora_A.weight" || keeps_order) {
      form.tensors.push_back(std::move(tensor));
      continue;
    }
    Result<ReadableTensor> ordered = in_order_of_base(std::move(tensor), name->path, base);
    if (!ordered) return forward_error(ordered);
    form.tensors.push_back(std::move(*ordered));
  }
  if (Status targets = rename_targets(config); !targets)
    return error(targets.error().code, "adapter_config.json: {}", targets.error().message);
  if (find_member(config, "peft_type") == nullptr) config["peft_type"] = "LORA";
  if (has_magnitudes) config["use_dora"] = true;  // torchtune's config does not say
  form.config = text_of_config(config);
  return form;
}

}  // namespace slora
