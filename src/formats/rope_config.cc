#include "formats/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "formats/suspicious_words.h"

namespace slora {
namespace {

constexpr std::array<std::string_view, 6> kKindNames = {"default", "linear", "llama3", "yarn", "dynamic", "longrope"};

// The keys that a kind reads, besides those of every kind.
constexpr std::array<std::string_view, 4> kCommonKeys = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
struct KindKey {
  std::string_view name;
  std::array<bool, 6> read_by;  // in the order of RopeKind
};
constexpr KindKey kKindKeys[] = {
    {"factor", {false, true, true, true, true, true}},
    {"original_max_position_embeddings", {false, false, true, true, true, true}},
    {"low_freq_factor", {false, false, true, false, false, false}},
    {"high_freq_factor", {false, false, true, false, false, false}},
    {"beta_fast", {false, false, false, true, false, false}},
    {"beta_slow", {false, false, false, true, false, false}},
    {"truncate", {false, false, false, true, false, false}},
    {"attention_factor", {false, false, false, true, false, true}},
    {"mscale", {false, false, false, true, false, false}},
    {"mscale_all_dim", {false, false, false, true, false, false}},
    {"short_factor", {false, false, false, false, false, true}},
    {"long_factor", {false, false, false, false, false, true}},
};
// Keys that change nothing: how the checkpoint was made.
constexpr std::array<std::string_view, 2> kHarmlessKeys = {"finetuned", "max_position_embeddings"};
// Words that suggest another rotation, besides those of suspicious_word().
constexpr std::array<std::string_view, 8> kRopeWords = {"section", "theta", "dim", "ntk", "partial", "base", "freq", "attention"};

tl::unexpected<Error> impossible(std::string_view key, std::string_view expected, double found) {
  return error("E_MODEL_CONFIG", "RoPE \"{}\": expected {}, found {}", key, expected, found);
}

// Reads an optional number into `out`, which must be greater than `low`.
Status take_number(double& out, const Json& params, std::string_view key, double low) {
  Result<std::optional<double>> found = optional_number_at(params, key);
  if (!found) return forward_error(found);
  out = found->value_or(out);
  if (!(out > low)) return impossible(key, fmt::format("a number above {}", low), out);
  return {};
}

Result<RopeKind> kind_of(const Json& params, const RopeRules& rules) {
  Result<std::optional<std::string>> name = optional_string_at(params, "rope_type");
  if (name && !*name) name = optional_string_at(params, "type");
  if (!name) return forward_error(name);
  const std::string wanted = name->value_or("default");
  const bool has_longrope = rules.longrope_head_dim > 0;
  if (has_longrope && (wanted == "su" || wanted == "yarn")) return RopeKind::longrope;  // its former names in Phi 3
  const auto served = std::span(kKindNames).first(kKindNames.size() - (has_longrope ? 0 : 1));
  const auto at = std::ranges::find(served, wanted);
  if (at == served.end()) {
    return error("E_UNSUPPORTED_MODEL", "RoPE \"rope_type\": expected {}, found {}", fmt::join(served, ", "), quote(wanted));
  }
  return static_cast<RopeKind>(at - served.begin());
}

Status check_key(std::vector<std::string>& warnings, const std::string& key, const Json& value, RopeKind kind) {
  const auto is_in = [&](const auto& keys) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
  if (value.is_null() || is_in(kCommonKeys) || is_in(kHarmlessKeys)) return {};
  const bool is_one_factor = value.is_number() && value.get<double>() == 1.0 && key.find("factor") != std::string::npos;
  const bool is_of_another_rotation = kind != RopeKind::longrope && (key == "short_factor" || key == "long_factor");
  const auto* const known = std::ranges::find(kKindKeys, key, &KindKey::name);
  if (known != std::ranges::end(kKindKeys) && !is_of_another_rotation) {
    if (!known->read_by[static_cast<std::size_t>(kind)] && !is_one_factor) {
      warnings.push_back(
          fmt::format("config.json: RoPE {} is left out, as in transformers: type {} does not use it", quote(key), name_of(kind)));
    }
    return {};
  }
  if (is_off(value) || is_one_factor) return {};
  const bool suggests_rotation =
      value.is_structured() || std::ranges::any_of(kRopeWords, [&](std::string_view word) { return key.find(word) != std::string::npos; });
  if (suggests_rotation || !suspicious_word(key, value).empty()) {
    return error("E_UNSUPPORTED_MODEL", "RoPE {}: expected nothing, found {}; this key is not served", quote(key), shown(value));
  }
  warnings.push_back(fmt::format("config.json: RoPE {} is not known and left out, as in transformers", quote(key)));
  return {};
}

Status check_keys(std::vector<std::string>& warnings, const Json& params, RopeKind kind) {
  constexpr std::size_t kKeysMax = 64;
  if (params.size() > kKeysMax) return error("E_MODEL_CONFIG", "RoPE: expected at most {} keys, found {}", kKeysMax, params.size());
  for (const auto& [key, value] : params.get_ref<const Json::object_t&>()) {
    if (Status checked = check_key(warnings, key, value, kind); !checked) return checked;
  }
  return {};
}

Status take_rotary_share(RopeConfig& rope, const Json& config, const Json& params, const RopeRules& rules) {
  for (const Json* where : {&config, &params}) {
    Result<std::optional<double>> share = optional_number_at(*where, "partial_rotary_factor");
    if (!share) return forward_error(share);
    if (*share) rope.rotary_share = **share;
  }
  if (rope.rotary_share == 1.0) return {};
  if (rules.longrope_head_dim == 0) {
    return error("E_UNSUPPORTED_MODEL", "\"partial_rotary_factor\": expected 1, found {}; partly rotated heads are not served",
                 rope.rotary_share);
  }
  const bool is_possible = rope.rotary_share > 0.0 && rope.rotary_share < 1.0;
  if (is_possible && rope.rotary_dim(rules.longrope_head_dim) >= 2 && rope.rotary_dim(rules.longrope_head_dim) % 2 == 0) return {};
  return error("E_MODEL_CONFIG", "\"partial_rotary_factor\": expected an even number of rotated elements of {}, found {}",
               rules.longrope_head_dim, rope.rotary_share);
}

// Up to the original length the short factors hold. What exceeds it is not served, so the long ones only have to be there.
Status take_longrope(RopeConfig& rope, const Json& params, std::int64_t max_position_embeddings, const RopeRules& rules) {
  if (rope.original_max_position < 2)
    return impossible("original_max_position_embeddings", "at least 2", static_cast<double>(rope.original_max_position));
  const Json* const factors = find_member(params, "short_factor");
  const auto count = static_cast<std::size_t>(rope.rotary_dim(rules.longrope_head_dim) / 2);
  if (factors == nullptr || !factors->is_array() || factors->size() != count)
    return error("E_MODEL_CONFIG", "RoPE \"short_factor\": expected a list of {} numbers, half of what rotates of a head", count);
  for (const Json& factor : *factors) {
    if (!factor.is_number() || !(factor.get<double>() > 0.0))
      return error("E_MODEL_CONFIG", "RoPE \"short_factor\": expected numbers above 0, found {}", shown(factor));
    rope.short_factors.push_back(factor.get<double>());
  }
  rope.factor = static_cast<double>(max_position_embeddings) / static_cast<double>(rope.original_max_position);  // if absent
  if (Status taken = take_number(rope.factor, params, "factor", 0.0); !taken) return taken;
  Result<std::optional<double>> attention_factor = optional_number_at(params, "attention_factor");
  if (!attention_factor) return forward_error(attention_factor);
  rope.attention_factor = *attention_factor;
  return {};
}

// The context length before the extension: a key of the config, a key of the RoPE parameters, or the model's own length.
Result<std::int64_t> original_length(const Json& config, const Json& params, std::int64_t max_position_embeddings) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  Result<std::optional<std::int64_t>> length = optional_integer_at(config, kKey);
  if (length && !*length) length = optional_integer_at(params, kKey);
  if (!length) return forward_error(length);
  const std::int64_t found = length->value_or(max_position_embeddings);
  if (found < 1) return impossible(kKey, "a positive length", static_cast<double>(found));
  return found;
}

// Reads a required number.
Status take_required(double& out, const Json& params, std::string_view key, double low) {
  if (find_member(params, key) == nullptr) return error("E_MODEL_CONFIG", "RoPE \"{}\": expected a number, found nothing", key);
  return take_number(out, params, key, low);
}

Status take_llama3(RopeConfig& rope, const Json& params) {
  if (Status taken = take_required(rope.factor, params, "factor", 0.0); !taken) return taken;
  if (Status taken = take_required(rope.low_freq_factor, params, "low_freq_factor", 0.0); !taken) return taken;
  return take_required(rope.high_freq_factor, params, "high_freq_factor", rope.low_freq_factor);
}

// The reference implementation treats 0 as absent.
Status take_beta(double& out, const Json& params, std::string_view key) {
  const Json* beta = find_member(params, key);
  return beta != nullptr && is_off(*beta) ? Status() : take_number(out, params, key, 0.0);
}

Status take_yarn(RopeConfig& rope, const Json& params, std::int64_t max_position_embeddings) {
  rope.factor = static_cast<double>(max_position_embeddings) / static_cast<double>(rope.original_max_position);  // if absent
  if (Status taken = take_number(rope.factor, params, "factor", 0.0); !taken) return taken;
  if (Status taken = take_beta(rope.beta_fast, params, "beta_fast"); !taken) return taken;
  if (Status taken = take_beta(rope.beta_slow, params, "beta_slow"); !taken) return taken;
  for (auto [key, field] : {std::pair("attention_factor", &rope.attention_factor), std::pair("mscale", &rope.mscale),
                            std::pair("mscale_all_dim", &rope.mscale_all_dim)}) {
    Result<std::optional<double>> found = optional_number_at(params, key);
    if (!found) return forward_error(found);
    if (found->value_or(0.0) < 0.0) return impossible(key, "a number from 0 on", **found);
    *field = *found;
  }
  Result<std::optional<bool>> truncate = optional_bool_at(params, "truncate");
  if (!truncate) return forward_error(truncate);
  rope.truncate = truncate->value_or(true);
  return {};
}

Status take_kind(RopeConfig& rope, const Json& params, std::int64_t max_position_embeddings, const RopeRules& rules) {
  switch (rope.kind) {
    case RopeKind::default_:
      return {};
    case RopeKind::linear:
      return take_required(rope.factor, params, "factor", 0.0);
    case RopeKind::llama3:
      return take_llama3(rope, params);
    case RopeKind::yarn:
      return take_yarn(rope, params, max_position_embeddings);
    case RopeKind::dynamic:
      rope.original_max_position = max_position_embeddings;  // the reference implementation uses no other length
      return take_required(rope.factor, params, "factor", 0.0);
    case RopeKind::longrope:
      return take_longrope(rope, params, max_position_embeddings, rules);
  }
  return {};
}

}  // namespace

std::string_view name_of(RopeKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

Result<RopeConfig> parse_rope_config(std::vector<std::string>& warnings, const Json& config, std::int64_t max_position_embeddings,
                                     const RopeRules& rules) {
  const Json none(Json::value_t::object);
  const Json* found = find_member(config, "rope_scaling");
  if (found == nullptr || found->empty()) found = find_member(config, "rope_parameters");
  const Json& params = found != nullptr ? *found : none;
  if (!params.is_object()) {
    return error("E_BAD_JSON", "\"rope_scaling\" or \"rope_parameters\": expected an object, found {}", shown(params));
  }
  Result<RopeKind> kind = kind_of(params, rules);
  if (!kind) return forward_error(kind);
  if (Status served = check_keys(warnings, params, *kind); !served) return forward_error(served);
  Result<std::int64_t> length = original_length(config, params, max_position_embeddings);
  if (!length) return forward_error(length);
  RopeConfig rope;
  rope.kind = *kind;
  rope.theta = rules.theta_if_absent;
  if (Status taken = take_rotary_share(rope, config, params, rules); !taken) return forward_error(taken);
  rope.original_max_position = *length;
  if (Status taken = take_number(rope.theta, config, "rope_theta", 1.0); !taken) return forward_error(taken);
  if (Status taken = take_number(rope.theta, params, "rope_theta", 1.0); !taken) return forward_error(taken);
  if (Status taken = take_kind(rope, params, max_position_embeddings, rules); !taken) return forward_error(taken);
  return rope;
}

}  // namespace slora
