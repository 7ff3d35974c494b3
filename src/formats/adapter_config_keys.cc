#include "formats/adapter_config_keys.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace slora {
namespace {

// Keys that are read elsewhere, whose effect is already contained in the tensors, or that matter in training only.
constexpr std::array<std::string_view, 31> kServed = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
    "velora_config",
};

}  // namespace

Status check_adapter_config_keys(const Json& config) {
  for (const auto& [key, value] : config.get_ref<const Json::object_t&>()) {
    if (is_off(value) || std::find(kServed.begin(), kServed.end(), key) != kServed.end() || key.ends_with("_dropout")) continue;
    return error("E_UNSUPPORTED_OPTION", "{}: expected nothing, false or an empty value, found {}; adapters with it are not served",
                 quote(key), shown(value));
  }
  return {};
}

}  // namespace slora
