#include "formats/adapter_config_rope.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace slora {
namespace {

constexpr std::string_view kScaling = "rope_scaling";

Status check_scaling_keys(const Json& scaling) {
  // The last two change nothing in transformers' linear RoPE.
  constexpr std::array<std::string_view, 5> kKeys = {"rope_type", "type", "factor", "original_max_position_embeddings", "finetuned"};
  for (const auto& [key, value] : scaling.get_ref<const Json::object_t&>()) {
    if (value.is_null() || std::ranges::find(kKeys, key) != kKeys.end()) continue;
    return error("E_ROPE", "\"{}\": expected \"rope_type\" and \"factor\", found {}: {}", kScaling, quote(key), shown(value));
  }
  return {};
}

Status take_scaling(AdapterConfig& adapter, const Json& config) {
  const Json* const scaling = find_member(config, kScaling);
  if (scaling == nullptr) return {};
  if (!scaling->is_object())
    return error("E_ROPE", "\"{}\": expected {{\"rope_type\": \"linear\", \"factor\": F}}, found {}", kScaling, shown(*scaling));
  const Json* type = find_member(*scaling, "rope_type");
  if (type == nullptr) type = find_member(*scaling, "type");
  if (type == nullptr || *type != "linear") {
    return error("E_ROPE", "\"{}\": expected the type \"linear\", found {}", kScaling, type != nullptr ? shown(*type) : "none");
  }
  if (Status checked = check_scaling_keys(*scaling); !checked) return checked;
  const Json* const factor = find_member(*scaling, "factor");
  const double number = factor != nullptr && factor->is_number() ? factor->get<double>() : 0;
  if (!(number >= 1 && number <= kRopeFactorMax)) {
    return error("E_ROPE", "\"{}\": expected a \"factor\" from 1 to {}, found {}", kScaling, kRopeFactorMax,
                 factor != nullptr ? shown(*factor) : "none");
  }
  adapter.rope_factor = number;
  return {};
}

Status take_length(AdapterConfig& adapter, const Json& config) {
  for (const std::string_view key : {"context_length", "max_position_embeddings"}) {
    const Json* const length = find_member(config, key);
    if (length == nullptr) continue;
    if (!length->is_number_unsigned() || *length == 0 || *length > INT32_MAX)
      return error("E_ROPE", "\"{}\": expected a number of tokens from 1 to {}, found {}", key, INT32_MAX, shown(*length));
    const auto tokens = length->get<std::int64_t>();
    if (adapter.context_length.value_or(tokens) != tokens) {
      return error("E_ROPE", "\"{}\": expected {}, as \"context_length\" says, found {}", key, *adapter.context_length, tokens);
    }
    adapter.context_length = tokens;
  }
  return {};
}

}  // namespace

Status take_rope(AdapterConfig& adapter, const Json& config) {
  if (Status taken = take_scaling(adapter, config); !taken) return taken;
  return take_length(adapter, config);
}

}  // namespace slora
