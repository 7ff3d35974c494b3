#include "formats/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <source_location>
#include <tuple>

#include "base/check.h"
#include "formats/adapter_config_keys.h"

namespace slora {
namespace {

constexpr JsonLimits kAdapterConfigLimits{.bytes_max = std::size_t{4} << 20, .values_max = std::size_t{1} << 17};
constexpr std::size_t kPatternsMax = 4096;
constexpr std::size_t kExpressionsMax = 64;  // patterns that are regular expressions, which are matched against every module

Status take_type(AdapterConfig& adapter, const Json& config) {
  Result<std::optional<std::string>> type = optional_string_at(config, "peft_type");
  if (!type) return forward_error(type);
  if (!*type && (config.contains("fine_tune_type") || config.contains("lora_parameters"))) {
    return error("E_FOREIGN", "this is mlx-lm's form: convert it with tools/convert_mlx_adapter.py");
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

Result<std::int64_t> checked_rank(std::string_view where, const Json& value) {
  if (!value.is_number_integer()) return error("E_BAD_JSON", "{}: expected an integer, found {}", where, shown(value));
  if (value == 0) return error("E_SCALE", "{}: expected a rank from 1 on, found 0", where);
  const std::int64_t rank =
      value.is_number_unsigned() && value.get<std::uint64_t>() > kAdapterRankMax ? kAdapterRankMax + 1 : value.get<std::int64_t>();
  if (rank < 1 || rank > kAdapterRankMax)
    return error("E_RANK", "{}: expected a rank from 1 to {}, found {}", where, kAdapterRankMax, shown(value));
  return rank;
}

Result<double> checked_alpha(std::string_view where, const Json& value) {
  if (!value.is_number()) return error("E_BAD_JSON", "{}: expected a number, found {}", where, shown(value));
  const auto alpha = value.get<double>();
  if (!std::isfinite(alpha)) return error("E_SCALE", "{}: expected a finite number, found {}", where, alpha);
  return alpha;
}

// `or_else`: PEFT's default for the family, or 0 when the file must tell.
Status take_rank(AdapterConfig& adapter, const Json& config, std::int64_t or_else = 0) {
  const Json* r = find_member(config, "r");
  adapter.r = or_else;
  if (r == nullptr && or_else > 0) return {};
  if (r == nullptr) return error("E_SCALE", "\"r\": expected a rank from 1 on, found nothing");
  Result<std::int64_t> rank = checked_rank("\"r\"", *r);
  if (!rank) return forward_error(rank);
  adapter.r = *rank;
  return {};
}

Status take_alpha(AdapterConfig& adapter, const Json& config, std::string_view key) {
  const Json* alpha = find_member(config, key);
  if (alpha == nullptr) return error("E_SCALE", "\"{}\": expected a number, found nothing", key);
  Result<double> value = checked_alpha(fmt::format("\"{}\"", key), *alpha);
  if (!value) return forward_error(value);
  adapter.lora_alpha = *value;
  return {};
}

Status take_scale(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_rank(adapter, config); !taken) return taken;
  return take_alpha(adapter, config, "lora_alpha");
}

// Calls take(pattern, value) for every entry of a pattern dictionary, in file order.
template <class Take>
Status for_each_pattern(const Json& config, std::string_view key, Take take) {
  const Json* patterns = find_member(config, key);
  if (patterns == nullptr) return {};
  if (!patterns->is_object()) return error("E_BAD_JSON", "\"{}\": expected an object, found {}", key, shown(*patterns));
  if (patterns->size() > kPatternsMax)
    return error("E_PATTERN", "\"{}\": expected at most {} keys, found {}", key, kPatternsMax, patterns->size());
  std::size_t expression_count = 0;
  for (const auto& [name, value] : patterns->get_ref<const Json::object_t&>()) {
    Result<ModulePattern> pattern = ModulePattern::compile(name);
    if (!pattern) return error(pattern.error().code, "\"{}\": {}", key, pattern.error().message);
    expression_count += pattern->is_plain() ? 0 : 1;
    if (expression_count > kExpressionsMax) {
      return error("E_PATTERN", "\"{}\": expected at most {} keys that are regular expressions, found more", key, kExpressionsMax);
    }
    if (Status taken = take(std::move(*pattern), value); !taken) return taken;
  }
  return {};
}

Status take_rank_patterns(AdapterConfig& adapter, const Json& config) {
  return for_each_pattern(config, "rank_pattern", [&](ModulePattern pattern, const Json& value) -> Status {
    Result<std::int64_t> rank = checked_rank(fmt::format("\"rank_pattern\": {}", quote(pattern.key())), value);
    if (!rank) return forward_error(rank);
    adapter.rank_pattern.push_back({std::move(pattern), *rank});
    return {};
  });
}

Status take_alpha_patterns(AdapterConfig& adapter, const Json& config) {
  return for_each_pattern(config, "alpha_pattern", [&](ModulePattern pattern, const Json& value) -> Status {
    Result<double> alpha = checked_alpha(fmt::format("\"alpha_pattern\": {}", quote(pattern.key())), value);
    if (!alpha) return forward_error(alpha);
    adapter.alpha_pattern.push_back({std::move(pattern), *alpha});
    return {};
  });
}

Status take_patterns(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_rank_patterns(adapter, config); !taken) return taken;
  return take_alpha_patterns(adapter, config);
}

// A count from 1 on, or the default where the key is absent.
Result<std::int64_t> count_at(const Json& config, std::string_view key, std::int64_t or_else) {
  const Json* value = find_member(config, key);
  if (value == nullptr) return or_else;
  constexpr std::int64_t kCountMax = std::int64_t{1} << 24;
  if (!value->is_number_integer()) return error("E_BAD_JSON", "\"{}\": expected an integer, found {}", key, shown(*value));
  const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() >= 1 && value->get<std::uint64_t>() <= kCountMax;
  if (!fits) return error("E_RANK", "\"{}\": expected a number from 1 to {}, found {}", key, kCountMax, shown(*value));
  return value->get<std::int64_t>();
}

Status take_count(std::int64_t& out, const Json& config, std::string_view key, std::int64_t or_else) {
  Result<std::int64_t> count = count_at(config, key, or_else);
  if (!count) return forward_error(count);
  out = *count;
  return {};
}

Status take_flag(bool& out, const Json& config, std::string_view key, bool or_else) {
  Result<std::optional<bool>> found = optional_bool_at(config, key);
  if (!found) return forward_error(found);
  out = found->value_or(or_else);
  return {};
}

// `only`: what the family calls biases of the modules alone that it changes.
Status take_bias(AdapterConfig& adapter, const Json& config, std::string_view only = "lora_only") {
  Result<std::optional<std::string>> bias = optional_string_at(config, "bias");
  if (!bias) return forward_error(bias);
  const std::string name = bias->value_or("none");
  if (name == "all") {
    adapter.bias = AdapterBias::all;
  } else if (name == only) {
    adapter.bias = AdapterBias::lora_only;
  } else if (name != "none") {
    return error("E_UNSUPPORTED_OPTION", "\"bias\": expected none, all or {}, found {}", only, quote(name));
  }
  return {};
}

// Of families whose adapters store no biases.
Status check_no_bias(const AdapterConfig& adapter, const Json& config) {
  Result<std::optional<std::string>> bias = optional_string_at(config, "bias");
  if (!bias) return forward_error(bias);
  if (bias->value_or("none") == "none") return {};
  return error("E_UNSUPPORTED_OPTION", "\"bias\": expected none or nothing, as {} adapters store no biases, found {}",
               name_of(adapter.family), quote(**bias));
}

// The module of "model.layers.0.self_attn.q_proj.lora_E", maybe followed by an adapter's name; empty for other names.
std::string_view module_of_mask(std::string_view name) {
  constexpr std::string_view kEnd = ".lora_E";
  const std::size_t at = name.rfind(kEnd);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = name.substr(at + kEnd.size());
  const bool is_adapter = rest.starts_with('.') && rest.find('.', 1) == std::string_view::npos;
  return rest.empty() || is_adapter ? name.substr(0, at) : std::string_view();
}

// AdaLoRA's own "rank_pattern": which of a module's first ranks are kept, a boolean for each.
Status take_kept_ranks(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "rank_pattern";
  const Json* masks = find_member(config, kKey);
  if (masks == nullptr) return {};
  if (!masks->is_object()) return error("E_BAD_JSON", "\"{}\": expected an object, found {}", kKey, shown(*masks));
  for (const auto& [name, mask] : masks->get_ref<const Json::object_t&>()) {
    const bool is_mask = mask.is_array() && std::ranges::all_of(mask, [](const Json& value) { return value.is_boolean(); });
    const std::string_view module = module_of_mask(name);
    if (!is_mask || module.empty()) {
      return error("E_BAD_JSON", "\"{}\": expected lists of booleans by names that end in \".lora_E\", found {}: {}", kKey, quote(name),
                   shown(mask));
    }
    if (static_cast<std::int64_t>(mask.size()) != adapter.init_r) {
      return error("E_RANK", "\"{}\": {}: expected a boolean for each of the {} ranks of init_r, found {}", kKey, quote(name),
                   adapter.init_r, mask.size());
    }
    const auto kept = std::ranges::count_if(mask, [](const Json& value) { return value.get<bool>(); });
    adapter.kept_ranks.emplace_back(module, kept);
  }
  return {};
}

// PEFT refuses DoRA and LoftQ too; its other keys of LoRA alone do nothing in AdaLoRA.
Status check_adalora_options(const Json& config) {
  for (const std::string_view key : {"use_dora", "loftq_config", "alora_invocation_tokens"}) {
    const Json* const value = find_member(config, key);
    if (value == nullptr || is_off(*value)) continue;
    return error("E_UNSUPPORTED_OPTION", "\"{}\": expected nothing, as AdaLoRA adapters do not have it, found {}", key, shown(*value));
  }
  const Json* const scheme = find_member(config, "init_lora_weights");
  if (scheme == nullptr || *scheme != "loftq") return {};
  return error("E_BASE_MUTATED", "\"init_lora_weights\": loftq changes the base model in training");
}

Status take_adalora(AdapterConfig& adapter, const Json& config) {
  if (Status served = check_adalora_options(config); !served) return served;
  if (Status taken = take_alpha(adapter, config, "lora_alpha"); !taken) return taken;
  if (Status taken = take_count(adapter.init_r, config, "init_r", 12); !taken) return taken;
  if (Status taken = take_bias(adapter, config); !taken) return taken;
  return take_kept_ranks(adapter, config);
}

Status take_loha(AdapterConfig& adapter, const Json& config) {
  if (Status checked = check_no_bias(adapter, config); !checked) return checked;
  if (Status taken = take_rank(adapter, config); !taken) return taken;
  if (Status taken = take_alpha(adapter, config, "alpha"); !taken) return taken;
  return take_patterns(adapter, config);
}

Status take_vblora(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_rank(adapter, config, 4); !taken) return taken;
  for (auto [key, field, or_else] :
       {std::tuple("num_vectors", &adapter.vector_count, 256), std::tuple("vector_length", &adapter.vector_length, 256),
        std::tuple("topk", &adapter.vectors_per_tile, 2)}) {
    if (Status taken = take_count(*field, config, key, or_else); !taken) return taken;
  }
  if (Status taken = take_bias(adapter, config, "vblora_only"); !taken) return taken;
  return take_flag(adapter.saves_top_weights, config, "save_only_topk_weights", false);
}

Status take_vera(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_rank(adapter, config, 256); !taken) return taken;
  if (const Json* key = find_member(config, "projection_prng_key"); key != nullptr) {
    if (!key->is_number_integer()) return error("E_BAD_JSON", "\"projection_prng_key\": expected an integer, found {}", shown(*key));
    adapter.projection_key = key->get<std::int64_t>();
  }
  if (Status taken = take_bias(adapter, config, "vera_only"); !taken) return taken;
  return take_flag(adapter.saves_projection, config, "save_projection", true);
}

// A list of ends of paths, or an expression that a whole path must match.
Status take_ia3(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "feedforward_modules";
  if (Status checked = check_no_bias(adapter, config); !checked) return checked;
  const Json* modules = find_member(config, kKey);
  if (modules == nullptr) return {};
  if (modules->is_string()) {
    Result<ModulePattern> pattern = ModulePattern::compile(fmt::format("^(?:{})", modules->get_ref<const std::string&>()));
    if (!pattern) return error(pattern.error().code, "\"{}\": {}", kKey, pattern.error().message);
    adapter.feedforward_pattern = std::move(*pattern);
    return {};
  }
  Result<std::optional<std::vector<std::string>>> names = optional_strings_at(config, kKey);
  if (!names) return forward_error(names);
  if (names->has_value() && (*names)->size() > kPatternsMax) {
    return error("E_PATTERN", "\"{}\": expected at most {} names, found {}", kKey, kPatternsMax, (*names)->size());
  }
  adapter.feedforward_names = std::move(*names);
  return {};
}

Status take_hira(AdapterConfig& adapter, const Json& config, std::int64_t r_or_else = 32) {
  if (Status checked = check_no_bias(adapter, config); !checked) return checked;
  if (Status taken = take_rank(adapter, config, r_or_else); !taken) return taken;
  return take_rank_patterns(adapter, config);
}

Status take_flora(AdapterConfig& adapter, const Json& config) {
  if (const Json* scale = find_member(config, "flora_scale"); scale != nullptr) {
    Result<double> value = checked_alpha("\"flora_scale\"", *scale);
    if (!value) return forward_error(value);
    adapter.flora_scale = *value;
  }
  return take_hira(adapter, config, 0);
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

// Some schemes subtract the initial B A from the base's weights, so the adapter fits only that changed base.
Status take_initialization(AdapterConfig& adapter, const Json& config) {
  constexpr std::array<std::string_view, 5> kKeepsBase = {"gaussian", "orthogonal", "eva", "mica", "lora_ga"};
  const Json* scheme = find_member(config, "init_lora_weights");
  adapter.init_lora_weights = scheme == nullptr ? "true" : scheme->is_string() ? scheme->get<std::string>() : scheme->dump();
  if (scheme == nullptr || scheme->is_boolean()) return {};
  if (!scheme->is_string()) return error("E_BAD_JSON", "\"init_lora_weights\": expected a boolean or a string, found {}", shown(*scheme));
  if (std::find(kKeepsBase.begin(), kKeepsBase.end(), adapter.init_lora_weights) == kKeepsBase.end()) {
    return error("E_BASE_MUTATED",
                 "\"init_lora_weights\": {} changes the base model in training; save the adapter with PEFT's "
                 "path_initial_model_for_weight_conversion, which makes an adapter of the unchanged base",
                 quote(adapter.init_lora_weights));
  }
  if (adapter.init_lora_weights == "lora_ga") {
    adapter.warnings.push_back(
        "\"init_lora_weights\": lora_ga changed the base in training; the adapter is applied to the unchanged base, as PEFT does");
  }
  return {};
}

Status take_strings(std::vector<std::string>& out, const Json& config, std::string_view key) {
  const Json* value = find_member(config, key);
  if (value != nullptr && value->is_string()) {
    out = {value->get<std::string>()};
    return {};
  }
  Result<std::optional<std::vector<std::string>>> found = optional_strings_at(config, key);
  if (!found) return forward_error(found);
  out = found->value_or(std::vector<std::string>{});
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
  if (adapter.bias != AdapterBias::none) {
    return error("E_UNSUPPORTED_OPTION", "\"{}\": expected \"bias\" to be none, because biases that are replaced act on every token", kKey);
  }
  adapter.invocation_tokens = tokens->get<std::vector<TokenId>>();
  return {};
}

Status take_diagnostics(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_strings(adapter.target_modules, config, "target_modules"); !taken) return taken;
  if (Status taken = take_strings(adapter.exclude_modules, config, "exclude_modules"); !taken) return taken;
  if (Status taken = take_strings(adapter.modules_to_save, config, "modules_to_save"); !taken) return taken;
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

// A list of tokens, of the embedding; or lists by the names of modules.
Status take_trained_tokens(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "trainable_token_indices";
  constexpr std::size_t kTokensMax = std::size_t{1} << 17;
  const Json* tokens = find_member(config, kKey);
  if (tokens == nullptr) return {};
  const auto take = [&](const std::string& module, const Json& list) -> Status {
    const auto is_token = [](const Json& token) { return token.is_number_unsigned() && token.get<std::uint64_t>() <= INT32_MAX; };
    if (!list.is_array() || list.size() > kTokensMax || !std::ranges::all_of(list, is_token)) {
      return error("E_INDEX", "\"{}\": expected a list of token ids, or lists by the names of modules, found {}", kKey, shown(*tokens));
    }
    std::vector<TokenId> ids = list.get<std::vector<TokenId>>();
    std::vector<TokenId> sorted = ids;
    std::ranges::sort(sorted);
    if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
      return error("E_INDEX", "\"{}\": expected each token once, found {} twice", kKey, *twice);
    adapter.trained_tokens.emplace_back(module, std::move(ids));
    return {};
  };
  if (!tokens->is_object()) return take("embed_tokens", *tokens);
  for (const auto& [module, list] : tokens->get_ref<const Json::object_t&>()) {
    if (Status taken = take(module, list); !taken) return taken;
  }
  return {};
}

Status take_lora(AdapterConfig& adapter, const Json& config) {
  for (const auto take : {take_scale, take_patterns, take_switches, take_invocation, take_initialization, take_trained_tokens}) {
    if (Status taken = take(adapter, config); !taken) return taken;
  }
  return {};
}

// What only adapters of its family have.
Status take_family(AdapterConfig& adapter, const Json& config) {
  switch (adapter.family) {
    case AdapterFamily::lora:
      return take_lora(adapter, config);
    case AdapterFamily::adalora:
      return take_adalora(adapter, config);
    case AdapterFamily::loha:
      return take_loha(adapter, config);
    case AdapterFamily::vblora:
      return take_vblora(adapter, config);
    case AdapterFamily::vera:
      return take_vera(adapter, config);
    case AdapterFamily::hira:
      return take_hira(adapter, config);
    case AdapterFamily::flora:
      return take_flora(adapter, config);
    case AdapterFamily::ia3:
      return take_ia3(adapter, config);
  }
  fail_check("expected a known family", std::source_location::current());
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
  for (const auto take : {take_family, take_diagnostics}) {
    if (Status taken = take(adapter, config); !taken) return forward_error(taken);
  }
  add_warnings(adapter);
  return adapter;
}

Result<AdapterConfig> read_adapter_config(const Folder& folder) {
  constexpr std::string_view kName = "adapter_config.json";
  Result<Json> json = read_json_file(folder, kName, kAdapterConfigLimits);
  if (!json && json.error().code == "E_NO_FILE") return error("E_NO_CONFIG", "expected {} in the adapter folder, found none", kName);
  if (!json) return error(json.error().code == "E_TOO_LARGE" ? "E_BAD_JSON" : json.error().code, "{}", json.error().message);
  Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) config.error().message = fmt::format("{}: {}", kName, config.error().message);
  return config;
}

}  // namespace slora
