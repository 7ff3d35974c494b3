#include "formats/adapter_config_families.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "formats/adapter_config_fields.h"

namespace slora {
namespace {

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
  for (const std::string_view key : {"use_dora", "use_bdlora", "loftq_config", "alora_invocation_tokens"}) {
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
  if (Status taken = take_count(adapter.init_r, config, "init_r", 12, "E_RANK"); !taken) return taken;
  adapter.r = adapter.init_r;  // the config's own r means nothing
  if (Status taken = take_bias(adapter, config); !taken) return taken;
  if (Status taken = take_trained_tokens(adapter, config); !taken) return taken;
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
  for (auto [key, field, or_else, code] :
       {std::tuple("num_vectors", &adapter.vector_count, 256, "E_INDEX"),
        std::tuple("vector_length", &adapter.vector_length, 256, "E_SHAPE"), std::tuple("topk", &adapter.vectors_per_tile, 2, "E_INDEX")}) {
    if (Status taken = take_count(*field, config, key, or_else, code); !taken) return taken;
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
  if (!names) return error("E_BAD_JSON", "\"{}\": expected an expression or a list of names, found {}", kKey, shown(*modules));
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

Status take_token_indices(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "token_indices";
  if (Status checked = check_no_bias(adapter, config); !checked) return checked;
  const Json* tokens = find_member(config, kKey);
  if (tokens == nullptr || *tokens == Json::array()) return error("E_INDEX", "\"{}\": expected a list of token ids, found none", kKey);
  Result<std::vector<TokenId>> ids = token_ids_of(kKey, *tokens);
  if (!ids) return forward_error(ids);
  adapter.token_indices = std::move(*ids);
  return {};
}

Status take_shira(AdapterConfig& adapter, const Json& config) {
  if (Status checked = check_no_bias(adapter, config); !checked) return checked;
  return take_rank(adapter, config, 32);
}
}  // namespace

Status take_family_options(AdapterConfig& adapter, const Json& config) {
  switch (adapter.family) {
    case AdapterFamily::lora:
      break;
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
    case AdapterFamily::shira:
      return take_shira(adapter, config);
    case AdapterFamily::ln_tuning:
      return check_no_bias(adapter, config);
    case AdapterFamily::trainable_tokens:
      return take_token_indices(adapter, config);
  }
  fail_check("expected a known family", std::source_location::current());
}

}  // namespace slora
