#include "formats/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/adapter_config_families.h"
#include "formats/adapter_config_fields.h"
#include "formats/adapter_config_keys.h"
#include "formats/adapter_config_rope.h"

namespace slora {
namespace {

constexpr JsonLimits kAdapterConfigLimits{.bytes_max = std::size_t{4} << 20, .values_max = std::size_t{1} << 17};

Status take_type(AdapterConfig& adapter, const Json& config) {
  Result<std::optional<std::string>> type = optional_string_at(config, "peft_type");
  if (!type) return forward_error(type);
  if (!*type && (config.contains("fine_tune_type") || config.contains("lora_parameters"))) {
    return error("E_FOREIGN", "this is mlx-lm's form, and its weights are expected in adapters.safetensors");
  }
  if (!*type) return error("E_PEFT_TYPE", "\"peft_type\": expected one of {}, found nothing", adapter_family_types());
  const std::optional<AdapterFamily> family = adapter_family_of(**type);
  if (!family) return error("E_PEFT_TYPE", "\"peft_type\": expected one of {}, found {}", adapter_family_types(), quote(**type));
  adapter.family = *family;

  Result<std::optional<std::string>> task = optional_string_at(config, "task_type");
  if (!task) return forward_error(task);
  adapter.task_type = task->value_or("");
  if (!adapter.task_type.empty() && adapter.task_type != "CAUSAL_LM") {
    return error("E_TASK", "\"task_type\": expected CAUSAL_LM, found {}; only text generation is served", quote(adapter.task_type));
  }
  return {};
}

Status take_scale(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_rank(adapter, config); !taken) return taken;
  return take_alpha(adapter, config, "lora_alpha");
}

Status take_switches(AdapterConfig& adapter, const Json& config) {
  for (auto [key, field] : {std::pair("use_rslora", &adapter.use_rslora), std::pair("use_dora", &adapter.use_dora),
                            std::pair("lora_bias", &adapter.lora_bias)}) {
    Result<std::optional<bool>> found = optional_bool_at(config, key);
    if (!found) return forward_error(found);
    *field = found->value_or(false);
  }
  return take_bias(adapter, config);
}

// PEFT takes OLoRA's name in any case, and PiSSA's in this one.
std::optional<SubtractedInit> subtracted_init_of(std::string_view scheme) {
  if (scheme == "pissa") return SubtractedInit::pissa;
  constexpr std::string_view kOlora = "olora";
  const bool is_olora = std::ranges::equal(scheme, kOlora, {}, [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return is_olora ? std::optional(SubtractedInit::olora) : std::nullopt;
}

// Some schemes subtract the initial B A from the base's weights, so the adapter fits only that changed base, unless what was subtracted can
// be computed again.
Status take_initialization(AdapterConfig& adapter, const Json& config) {
  constexpr std::array<std::string_view, 5> kKeepsBase = {"gaussian", "orthogonal", "eva", "mica", "lora_ga"};
  const Json* scheme = find_member(config, "init_lora_weights");
  adapter.init_lora_weights = scheme == nullptr ? "true" : scheme->is_string() ? scheme->get<std::string>() : scheme->dump();
  if (scheme == nullptr || scheme->is_boolean()) return {};
  if (!scheme->is_string()) return error("E_BAD_JSON", "\"init_lora_weights\": expected a boolean or a string, found {}", shown(*scheme));
  adapter.subtracted_init = subtracted_init_of(adapter.init_lora_weights);
  if (adapter.subtracted_init && !adapter.invocation_tokens.empty()) {
    return error(
        "E_UNSUPPORTED_OPTION",
        "\"init_lora_weights\": {} changed the base for the tokens before \"alora_invocation_tokens\" too, which are the base's here",
        quote(adapter.init_lora_weights));
  }
  if (!adapter.subtracted_init && std::ranges::find(kKeepsBase, adapter.init_lora_weights) == kKeepsBase.end()) {
    return error("E_BASE_MUTATED",
                 "\"init_lora_weights\": {} changes the base model in training; save the adapter with PEFT's "
                 "path_initial_model_for_weight_conversion, which makes an adapter of the unchanged base",
                 quote(adapter.init_lora_weights));
  }
  if (adapter.init_lora_weights == "lora_ga") {
    adapter.warnings.push_back(
        "\"init_lora_weights\": lora_ga subtracted a start from the base in training, which nothing here undoes: the adapter is applied to "
        "the unchanged base, as PEFT does, and its answers may differ from those in training; save it with PEFT's "
        "path_initial_model_for_weight_conversion");
  }
  return {};
}

Status take_invocation(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "alora_invocation_tokens";
  constexpr std::size_t kTokensMax = 1024;
  const Json* tokens = find_member(config, kKey);
  if (tokens == nullptr) return {};
  const auto is_token = [](const Json& token) { return token.is_number_unsigned() && token.get<std::uint64_t>() <= INT32_MAX; };
  if (!tokens->is_array() || tokens->empty() || tokens->size() > kTokensMax || !std::ranges::all_of(*tokens, is_token)) {
    return error("E_UNSUPPORTED_OPTION", "\"{}\": expected nothing, or a list of 1 to {} token ids, found {}", kKey, kTokensMax,
                 shown(*tokens));
  }
  if (adapter.use_dora)
    return error("E_UNSUPPORTED_OPTION", "\"{}\": expected \"use_dora\" to be false, as PEFT does not combine them", kKey);
  if (adapter.bias != AdapterBias::none) {
    return error("E_UNSUPPORTED_OPTION", "\"{}\": expected \"bias\" to be none, because biases that are replaced act on every token", kKey);
  }
  adapter.invocation_tokens = tokens->get<std::vector<TokenId>>();
  return {};
}

Status take_blocks(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "use_bdlora";
  const Json* const options = find_member(config, kKey);
  if (options == nullptr || (options->is_boolean() && !options->get<bool>())) return {};
  if (!options->is_object()) return error("E_BAD_JSON", "\"{}\": expected an object, found {}", kKey, shown(*options));
  constexpr std::array<std::string_view, 4> kKnown = {"target_modules_bd_a", "target_modules_bd_b", "nblocks", "match_strict"};
  for (const auto& [key, value] : options->get_ref<const Json::object_t&>()) {
    if (std::ranges::find(kKnown, key) == kKnown.end())
      return error("E_UNSUPPORTED_OPTION", "\"{}\": {} is not known, found {}", kKey, quote(key), shown(value));
  }
  DiagonalBlocks& blocks = adapter.diagonal_blocks.emplace();
  for (auto [key, field] : {std::pair(kKnown[0], &blocks.of_a), std::pair(kKnown[1], &blocks.of_b)}) {
    if (Status taken = take_strings(*field, *options, key); !taken) return taken;
    if (field->size() > kPatternsMax)
      return error("E_PATTERN", "\"{}\": expected at most {} names, found {}", key, kPatternsMax, field->size());
  }
  if (Status taken = take_count(blocks.count, *options, kKnown[2], 1, "E_RANK"); !taken) return taken;
  if (Status taken = take_flag(blocks.is_of_all, *options, kKnown[3], true); !taken) return taken;
  const auto is_set = [&](std::string_view key) {
    const Json* const value = find_member(config, key);
    return value != nullptr && !is_off(*value);
  };
  for (const std::string_view other : {"use_dora", "lora_bias", "alora_invocation_tokens"}) {
    if (is_set(other))
      return error("E_UNSUPPORTED_OPTION", "\"{}\": expected no {} next to it, as PEFT does not combine them", kKey, quote(other));
  }
  return {};
}

Status take_diagnostics(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_strings(adapter.target_modules, config, "target_modules"); !taken) return taken;
  if (Status taken = take_strings(adapter.exclude_modules, config, "exclude_modules"); !taken) return taken;
  if (Status taken = take_strings(adapter.modules_to_save, config, "modules_to_save"); !taken) return taken;
  if (Status taken = take_strings(adapter.target_parameters, config, "target_parameters"); !taken) return taken;
  if (!adapter.target_parameters.empty() && adapter.family != AdapterFamily::lora)
    return error("E_UNSUPPORTED_OPTION", "\"target_parameters\": expected none of {} adapters", name_of(adapter.family));
  for (auto [key, field] :
       {std::pair("base_model_name_or_path", &adapter.base_model_name), std::pair("peft_version", &adapter.peft_version)}) {
    Result<std::optional<std::string>> found = optional_string_at(config, key);
    if (!found) return forward_error(found);
    *field = found->value_or("");
  }
  const Json* layers = find_member(config, "layers_to_transform");
  if (layers == nullptr) return {};
  const auto take = [&](const Json& layer) {
    if (layer.is_number_unsigned() && layer.get<std::uint64_t>() <= INT32_MAX)
      adapter.layers_to_transform.push_back(layer.get<std::int64_t>());
    return layer.is_number_integer();
  };
  const bool well_typed = layers->is_array() ? std::all_of(layers->begin(), layers->end(), take) : take(*layers);
  if (!well_typed)
    return error("E_BAD_JSON", "\"layers_to_transform\": expected an integer or a list of integers, found {}", shown(*layers));
  return {};
}

Status take_lora(AdapterConfig& adapter, const Json& config) {
  for (const auto take :
       {take_scale, take_patterns, take_switches, take_blocks, take_invocation, take_initialization, take_trained_tokens}) {
    if (Status taken = take(adapter, config); !taken) return taken;
  }
  return {};
}

Status take_options(AdapterConfig& adapter, const Json& config) {
  return adapter.family == AdapterFamily::lora ? take_lora(adapter, config) : take_family_options(adapter, config);
}

void add_warnings(AdapterConfig& adapter) {
  if (adapter.rank_pattern.empty() || adapter.alpha_pattern.empty() || !adapter.peft_version.empty()) return;
  adapter.warnings.push_back(
      "both rank_pattern and alpha_pattern are set and peft_version is not: PEFT before 0.14 matched them by other rules than are applied "
      "here");
}

// The first pattern that matches, or nullptr.
template <class Pattern>
Result<const Pattern*> first_match(const std::vector<Pattern>& patterns, std::string_view module_path) {
  for (const Pattern& candidate : patterns) {
    Result<bool> matches = candidate.pattern.matches(module_path);
    if (!matches) return forward_error(matches);
    if (*matches) return &candidate;
  }
  return nullptr;
}

}  // namespace

Result<std::int64_t> AdapterConfig::rank_of(std::string_view module_path) const {
  Result<const RankPattern*> match = first_match(rank_pattern, module_path);
  if (!match) return forward_error(match);
  return *match != nullptr ? (*match)->rank : r;
}

Result<double> AdapterConfig::alpha_of(std::string_view module_path) const {
  Result<const AlphaPattern*> match = first_match(alpha_pattern, module_path);
  if (!match) return forward_error(match);
  return *match != nullptr ? (*match)->alpha : lora_alpha;
}

Result<double> AdapterConfig::scale_of(std::string_view module_path) const {
  Result<std::int64_t> rank = rank_of(module_path);
  if (!rank) return forward_error(rank);
  Result<double> alpha = alpha_of(module_path);
  if (!alpha) return alpha;
  const auto divisor = static_cast<double>(*rank);
  return *alpha / (use_rslora ? std::sqrt(divisor) : divisor);
}

Result<BlockCounts> AdapterConfig::blocks_of(std::string_view module_path) const {
  BlockCounts counts;
  if (!diagonal_blocks) return counts;
  const auto names_it = [&](const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) { return module_path.find(name) != std::string_view::npos; });
  };
  const bool of_a = names_it(diagonal_blocks->of_a), of_b = names_it(diagonal_blocks->of_b);
  if ((of_a && of_b) || (!of_a && !of_b && diagonal_blocks->is_of_all)) {
    return error("E_UNSUPPORTED_OPTION", "\"use_bdlora\": expected blocks in A or B of {}, found it in {}", quote(module_path),
                 of_a ? "the lists of both" : "neither list");
  }
  if (of_a) counts.a = diagonal_blocks->count;
  if (of_b) counts.b = diagonal_blocks->count;
  return counts;
}

Result<std::optional<bool>> AdapterConfig::is_feedforward(std::string_view module_path) const {
  if (feedforward_pattern) {
    Result<bool> matches = feedforward_pattern->matches(module_path);
    if (!matches) return forward_error(matches);
    return *matches;
  }
  if (!feedforward_names) return std::nullopt;
  return std::ranges::any_of(*feedforward_names, [&](const std::string& name) { return module_path.ends_with(name); });
}

Result<AdapterConfig> parse_adapter_config(const Json& config) {
  if (!config.is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(config));
  AdapterConfig adapter;
  if (Status taken = take_type(adapter, config); !taken) return forward_error(taken);
  if (Status served = check_adapter_config_keys(adapter.warnings, config, adapter.family); !served) return forward_error(served);
  for (const auto take : {take_options, take_rope, take_diagnostics}) {
    if (Status taken = take(adapter, config); !taken) return forward_error(taken);
  }
  add_warnings(adapter);
  return adapter;
}

Result<Json> read_adapter_config_json(const Folder& folder) {
  constexpr std::string_view kName = "adapter_config.json";
  Result<Json> json = read_json_file(folder, kName, kAdapterConfigLimits);
  if (!json && json.error().code == "E_NO_FILE") return error("E_NO_CONFIG", "expected {} in the adapter folder, found none", kName);
  if (!json) return error(json.error().code == "E_TOO_LARGE" ? "E_BAD_JSON" : json.error().code, "{}", json.error().message);
  return json;
}

Result<AdapterConfig> read_adapter_config(const Folder& folder) {
  Result<Json> json = read_adapter_config_json(folder);
  if (!json) return forward_error(json);
  Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) config.error().message = fmt::format("adapter_config.json: {}", config.error().message);
  return config;
}

}  // namespace slora
