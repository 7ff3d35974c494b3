#include "formats/adapter_config_fields.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace slora {
namespace {

constexpr std::size_t kExpressionsMax = 64;  // patterns that are regular expressions, which are matched against every module

Result<std::int64_t> checked_rank(std::string_view where, const Json& value) {
  if (!value.is_number_integer()) return error("E_BAD_JSON", "{}: expected an integer, found {}", where, shown(value));
  if (value == 0) return error("E_SCALE", "{}: expected a rank from 1 on, found 0", where);
  const std::int64_t rank =
      value.is_number_unsigned() && value.get<std::uint64_t>() > kAdapterRankMax ? kAdapterRankMax + 1 : value.get<std::int64_t>();
  if (rank < 1 || rank > kAdapterRankMax)
    return error("E_RANK", "{}: expected a rank from 1 to {}, found {}", where, kAdapterRankMax, shown(value));
  return rank;
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

// A count from 1 on, or the default where the key is absent.
Result<std::int64_t> count_at(const Json& config, std::string_view key, std::int64_t or_else, std::string_view code) {
  const Json* value = find_member(config, key);
  if (value == nullptr) return or_else;
  constexpr std::int64_t kCountMax = std::int64_t{1} << 24;
  if (!value->is_number_integer()) return error("E_BAD_JSON", "\"{}\": expected an integer, found {}", key, shown(*value));
  const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() >= 1 && value->get<std::uint64_t>() <= kCountMax;
  if (!fits) return error(std::string(code), "\"{}\": expected a number from 1 to {}, found {}", key, kCountMax, shown(*value));
  return value->get<std::int64_t>();
}

}  // namespace

Result<double> checked_alpha(std::string_view where, const Json& value) {
  if (!value.is_number()) return error("E_BAD_JSON", "{}: expected a number, found {}", where, shown(value));
  const auto alpha = value.get<double>();
  if (!std::isfinite(alpha)) return error("E_SCALE", "{}: expected a finite number, found {}", where, alpha);
  return alpha;
}

Status take_rank(AdapterConfig& adapter, const Json& config, std::int64_t or_else) {
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

Status take_count(std::int64_t& out, const Json& config, std::string_view key, std::int64_t or_else, std::string_view code) {
  Result<std::int64_t> count = count_at(config, key, or_else, code);
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

Status take_bias(AdapterConfig& adapter, const Json& config, std::string_view only) {
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

Status check_no_bias(const AdapterConfig& adapter, const Json& config) {
  Result<std::optional<std::string>> bias = optional_string_at(config, "bias");
  if (!bias) return forward_error(bias);
  if (bias->value_or("none") == "none") return {};
  return error("E_UNSUPPORTED_OPTION", "\"bias\": expected none or nothing, as {} adapters store no biases, found {}",
               name_of(adapter.family), quote(**bias));
}

Result<std::vector<TokenId>> token_ids_of(std::string_view key, const Json& list) {
  constexpr std::size_t kTokensMax = std::size_t{1} << 17;
  const auto is_integer = [](const Json& token) { return token.is_number_integer(); };
  if (!list.is_array() || !std::ranges::all_of(list, is_integer))
    return error("E_BAD_JSON", "\"{}\": expected a list of token ids, found {}", key, shown(list));
  if (list.size() > kTokensMax) return error("E_INDEX", "\"{}\": expected at most {} tokens, found {}", key, kTokensMax, list.size());
  const auto is_token = [](const Json& token) { return token.is_number_unsigned() && token.get<std::uint64_t>() <= INT32_MAX; };
  if (const auto bad = std::ranges::find_if_not(list, is_token); bad != list.end())
    return error("E_INDEX", "\"{}\": expected token ids, found {}", key, shown(*bad));
  std::vector<TokenId> ids = list.get<std::vector<TokenId>>();
  std::vector<TokenId> sorted = ids;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    return error("E_INDEX", "\"{}\": expected each token once, found {} twice", key, *twice);
  return ids;
}

Status take_trained_tokens(AdapterConfig& adapter, const Json& config) {
  constexpr std::string_view kKey = "trainable_token_indices";
  const Json* tokens = find_member(config, kKey);
  if (tokens == nullptr) return {};
  const auto take = [&](const std::string& module, const Json& list) -> Status {
    Result<std::vector<TokenId>> ids = token_ids_of(kKey, list);
    if (!ids) return forward_error(ids);
    adapter.trained_tokens.emplace_back(module, std::move(*ids));
    return {};
  };
  if (!tokens->is_object()) return take("embed_tokens", *tokens);
  for (const auto& [module, list] : tokens->get_ref<const Json::object_t&>()) {
    if (Status taken = take(module, list); !taken) return taken;
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

}  // namespace slora
