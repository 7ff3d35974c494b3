#include "formats/adapter_config_keys.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "formats/suspicious_words.h"

namespace slora {
namespace {

enum class KeyUse : std::uint8_t {
  served,    // read elsewhere, contained in the tensors, or of interest in training only: any value
  unserved,  // changes the results: refused unless its value switches it off
};

struct KnownKey {
  std::string_view name;
  KeyUse use;
};

// Every key that LoraConfig of PEFT 0.3 to 0.21 saves (tests/golden/configs has what each writes), and those that trainers add.
constexpr KnownKey kKnown[] = {
    {"_from_model_config", KeyUse::served},  // transformers
    {"alora_invocation_tokens", KeyUse::served},
    {"alpha_pattern", KeyUse::served},
    {"arrow_config", KeyUse::unserved},
    {"auto_mapping", KeyUse::served},
    {"base_model_name_or_path", KeyUse::served},
    {"bias", KeyUse::served},
    {"context_length", KeyUse::served},       // vLLM, until it dropped LongLoRA
    {"corda_config", KeyUse::served},         // initialisations: the tensors have the result
    {"enable_lora", KeyUse::unserved},        // PEFT 0.2: which of q, k, v of a fused module
    {"ensure_weight_tying", KeyUse::served},  // the file has both weights
    {"eva_config", KeyUse::served},
    {"exclude_modules", KeyUse::served},
    {"fan_in_fan_out", KeyUse::served},  // PEFT sets it to false for the linear modules of these bases
    {"inference_mode", KeyUse::served},
    {"init_lora_weights", KeyUse::served},
    {"kasa_config", KeyUse::unserved},
    {"layer_replication", KeyUse::unserved},
    {"layers_pattern", KeyUse::served},
    {"layers_to_transform", KeyUse::served},
    {"library_name", KeyUse::served},
    {"loftq_config", KeyUse::served},
    {"lora_alpha", KeyUse::served},
    {"lora_bias", KeyUse::served},
    {"lora_dropout", KeyUse::served},
    {"lora_dtype", KeyUse::served},  // ms-swift: the type in training
    {"lora_ga_config", KeyUse::served},
    {"lorap_emb_lr", KeyUse::served},    // ms-swift: learning rates of LoRA+
    {"lorap_lr_ratio", KeyUse::served},  // ms-swift
    {"max_grad_norm", KeyUse::served},
    {"max_position_embeddings", KeyUse::served},
    {"megatron_config", KeyUse::unserved},
    {"megatron_core", KeyUse::served},
    {"merge_weights", KeyUse::served},        // PEFT 0.2: whether eval() merges
    {"model_key_mapping", KeyUse::unserved},  // ms-swift: other names of modules
    {"model_type", KeyUse::served},
    {"modules_to_save", KeyUse::served},
    {"monteclora_config", KeyUse::unserved},
    {"peft_type", KeyUse::served},
    {"peft_version", KeyUse::served},
    {"qalora_group_size", KeyUse::served},  // with use_qalora only
    {"r", KeyUse::served},
    {"rank_pattern", KeyUse::served},
    {"revision", KeyUse::served},
    {"rope_scaling", KeyUse::served},    // this program's own: LongLoRA's factor is in no file of PEFT
    {"runtime_config", KeyUse::served},  // where a model is kept while it is loaded
    {"swift_type", KeyUse::served},      // ms-swift: its own peft_type
    {"target_modules", KeyUse::served},
    {"target_parameters", KeyUse::served},
    {"task_type", KeyUse::served},
    {"torch_dtype", KeyUse::served},
    {"trainable_token_indices", KeyUse::served},
    {"transformers_version", KeyUse::served},
    {"unsloth_fixed", KeyUse::served},
    {"unsloth_version", KeyUse::served},
    {"use_bdlora", KeyUse::served},
    {"use_cache", KeyUse::served},
    {"use_dora", KeyUse::served},
    {"use_qalora", KeyUse::unserved},
    {"use_rslora", KeyUse::served},
    {"velora_config", KeyUse::served},
};

// What the configs of other families than LoRA have besides the keys of all families.
struct FamilyKey {
  AdapterFamily family;
  std::string_view name;
};
constexpr FamilyKey kOfFamilies[] = {
    {AdapterFamily::adalora, "beta1"},  // these of AdaLoRA are of training; the file has what it led to
    {AdapterFamily::adalora, "beta2"},
    {AdapterFamily::adalora, "deltaT"},
    {AdapterFamily::adalora, "init_r"},
    {AdapterFamily::adalora, "orth_reg_weight"},
    {AdapterFamily::adalora, "target_r"},
    {AdapterFamily::adalora, "tfinal"},
    {AdapterFamily::adalora, "tinit"},
    {AdapterFamily::adalora, "total_step"},
    {AdapterFamily::loha, "alpha"},
    {AdapterFamily::loha, "alpha_pattern"},
    {AdapterFamily::loha, "init_weights"},
    {AdapterFamily::loha, "rank_pattern"},
    {AdapterFamily::loha, "use_effective_conv2d"},
    {AdapterFamily::vblora, "init_logits_std"},
    {AdapterFamily::vblora, "init_vector_bank_bound"},
    {AdapterFamily::vblora, "num_vectors"},
    {AdapterFamily::vblora, "save_only_topk_weights"},
    {AdapterFamily::vblora, "topk"},
    {AdapterFamily::vblora, "vector_length"},
    {AdapterFamily::ia3, "feedforward_modules"},
    {AdapterFamily::ia3, "init_ia3_weights"},
    {AdapterFamily::vera, "d_initial"},
    {AdapterFamily::vera, "init_weights"},
    {AdapterFamily::vera, "projection_prng_key"},
    {AdapterFamily::vera, "save_projection"},
    {AdapterFamily::hira, "init_weights"},
    {AdapterFamily::hira, "rank_pattern"},
    {AdapterFamily::flora, "flora_scale"},
    {AdapterFamily::flora, "rank_pattern"},
    {AdapterFamily::shira, "init_weights"},
    {AdapterFamily::shira, "mask_type"},
    {AdapterFamily::shira, "random_seed"},
    {AdapterFamily::trainable_tokens, "init_weights"},
    {AdapterFamily::trainable_tokens, "token_indices"},
};
// Keys that families without LoRA's own have too. AdaLoRA has LoRA's.
constexpr std::string_view kOfAll[] = {"auto_mapping",
                                       "base_model_name_or_path",
                                       "bias",
                                       "context_length",
                                       "exclude_modules",
                                       "fan_in_fan_out",
                                       "inference_mode",
                                       "layers_pattern",
                                       "layers_to_transform",
                                       "library_name",
                                       "max_position_embeddings",
                                       "modules_to_save",
                                       "peft_type",
                                       "peft_version",
                                       "r",
                                       "revision",
                                       "rope_scaling",
                                       "target_modules",
                                       "task_type",
                                       "torch_dtype",
                                       "transformers_version"};

const KnownKey* find_known(std::string_view key) {
  const auto* at = std::ranges::find(kKnown, key, &KnownKey::name);
  return at != std::ranges::end(kKnown) ? at : nullptr;
}

bool is_of_family(std::string_view key, AdapterFamily family) {
  return std::ranges::any_of(kOfFamilies, [&](const FamilyKey& known) { return known.family == family && known.name == key; });
}

// Whether adapters of the family have this key of kKnown.
bool has_known(AdapterFamily family, std::string_view key) {
  return family == AdapterFamily::lora || family == AdapterFamily::adalora || std::ranges::find(kOfAll, key) != std::ranges::end(kOfAll);
}

tl::unexpected<Error> refuse_key(std::string_view key, const Json& value, std::string_view why) {
  return error("E_UNSUPPORTED_OPTION", "{}: expected nothing, false or an empty value, found {}; {}", quote(key), shown(value), why);
}

}  // namespace

bool is_known_adapter_key(std::string_view key) {
  const auto* at = std::ranges::find(kOfFamilies, key, &FamilyKey::name);
  return find_known(key) != nullptr || at != std::ranges::end(kOfFamilies);
}

Status check_adapter_config_keys(std::vector<std::string>& warnings, const Json& config, AdapterFamily family) {
  constexpr std::size_t kWarningsMax = 20;
  for (const auto& [key, value] : config.get_ref<const Json::object_t&>()) {
    if (is_off(value) || key.ends_with("_dropout")) continue;
    if (is_of_family(key, family)) continue;
    if (const KnownKey* known = find_known(key)) {
      if (!has_known(family, key)) return refuse_key(key, value, fmt::format("{} adapters do not have it", name_of(family)));
      if (known->use == KeyUse::unserved) return refuse_key(key, value, "adapters with it are not served");
      continue;
    }
    if (const std::string word = suspicious_word(key, value); !word.empty()) {
      return refuse_key(key, value, fmt::format("this key is not known, and {} suggests that it changes the results", quote(word)));
    }
    if (warnings.size() < kWarningsMax) warnings.push_back(fmt::format("{} is not known and left out, as in PEFT", quote(key)));
  }
  return {};
}

}  // namespace slora
