#include "adapters/context_extension.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/json.h"
#include "formats/rope_config.h"

namespace slora {
namespace {

constexpr std::string_view kModelConfig = "config.json";
constexpr JsonLimits kModelConfigLimits{.bytes_max = std::size_t{4} << 20, .values_max = std::size_t{1} << 17};

double factor_of(const RopeConfig& rope) { return rope.kind == RopeKind::linear ? rope.factor : 1; }

// Null if there is none.
Result<Json> read_model_config(const Folder& folder) {
  Result<Json> config = read_json_file(folder, kModelConfig, kModelConfigLimits);
  if (!config && config.error().code == "E_NO_FILE") return Json();
  if (!config) return error(config.error().code, "{}: {}", kModelConfig, config.error().message);
  if (!config->is_object()) return error("E_BAD_JSON", "{}: expected an object, found {}", kModelConfig, type_name(*config));
  return config;
}

// The RoPE of a model's config; nothing where it has none or the default.
Result<std::optional<RopeConfig>> scaled_rope_of(const Json& config, std::int64_t length) {
  const Json* scaling = find_member(config, "rope_scaling");
  if (scaling == nullptr || is_off(*scaling)) scaling = find_member(config, "rope_parameters");
  if (scaling == nullptr || is_off(*scaling)) return std::nullopt;
  const Json* const own_length = find_member(config, "max_position_embeddings");
  if (own_length != nullptr && own_length->is_number_unsigned() && *own_length > 0 && *own_length <= INT32_MAX)
    length = own_length->get<std::int64_t>();
  std::vector<std::string> ignored;
  Result<RopeConfig> rope = parse_rope_config(ignored, config, length);
  if (!rope) return error("E_ROPE", "{}: {}", kModelConfig, rope.error().message);
  if (rope->kind == RopeKind::default_) return std::nullopt;
  return *rope;
}

// The factor that a config.json declares, which replaces the base's; nothing if it is like the base's.
Result<std::optional<double>> factor_of_model_config(const Folder& folder, const ModuleTable& base) {
  const Result<Json> config = read_model_config(folder);
  if (!config) return tl::unexpected(config.error());
  if (config->is_null()) return std::nullopt;
  const Result<std::optional<RopeConfig>> found = scaled_rope_of(*config, base.max_position_embeddings);
  if (!found) return tl::unexpected(found.error());
  if (!*found || **found == base.rope) return std::nullopt;
  const RopeConfig& rope = **found;
  if (rope.kind != RopeKind::linear) {
    return error("E_ROPE", "{}: expected linear RoPE or the base's ({}), found {}", kModelConfig, name_of(base.rope.kind),
                 name_of(rope.kind));
  }
  if (base.rope.kind == RopeKind::linear && rope.factor == base.rope.factor) return std::nullopt;
  const double least = factor_of(base.rope);
  if (!(rope.factor >= least && rope.factor <= kRopeFactorMax * least)) {
    return error("E_ROPE", "{}: expected a RoPE \"factor\" from {} to {}, found {}", kModelConfig, least, kRopeFactorMax * least,
                 rope.factor);
  }
  if (rope.theta != base.rope.theta) {
    return error("E_ROPE", "{}: expected the base's \"rope_theta\" {}, found {}", kModelConfig, base.rope.theta, rope.theta);
  }
  return rope.factor;
}

// Of all sources; instead of the base's factor.
Result<std::optional<double>> declared_factor(const Folder& folder, const AdapterConfig& config, const ModuleTable& base) {
  const double existing = factor_of(base.rope);
  if (config.rope_factor) return existing * *config.rope_factor;
  const Result<std::optional<double>> found = factor_of_model_config(folder, base);
  if (!found || *found) return found;
  if (!config.context_length) return std::nullopt;
  const double times =
      std::ceil(static_cast<double>(*config.context_length) / (static_cast<double>(base.max_position_embeddings) * existing));
  if (times <= kRopeFactorMax) return existing * times;
  return error("E_ROPE", "\"context_length\": expected at most {} times the base's {} tokens, found {}", kRopeFactorMax,
               static_cast<double>(base.max_position_embeddings) * existing, *config.context_length);
}

Status check_extends(const AdapterConfig& config, const ModuleTable& base, std::int64_t positions_max) {
  if (base.rope.kind != RopeKind::default_ && base.rope.kind != RopeKind::linear) {
    return error("E_ROPE", "expected a base with default or linear RoPE, as the adapter has a factor of its own, found {}",
                 name_of(base.rope.kind));
  }
  if (base.has_window_rope)
    return error("E_ROPE",
                 "expected a base with one RoPE in all layers, as the adapter has a factor of its own, found another with windows");
  if (!config.invocation_tokens.empty()) {
    return error("E_ROPE", "\"alora_invocation_tokens\": expected none, as the adapter's RoPE factor acts on every token");
  }
  if (positions_max == 0) return error("E_ROPE", "this server serves no adapters with a RoPE factor: start it with --max-adapter-len");
  return {};
}

}  // namespace

Result<std::optional<ContextExtension>> find_context_extension(const Folder& folder, const AdapterConfig& config, const ModuleTable& base,
                                                               std::int64_t positions_max) {
  const Result<std::optional<double>> factor = declared_factor(folder, config, base);
  if (!factor) return tl::unexpected(factor.error());
  if (!*factor || **factor == factor_of(base.rope)) return std::nullopt;
  if (Status served = check_extends(config, base, positions_max); !served) return forward_error(served);
  const auto length = static_cast<std::int64_t>(**factor * static_cast<double>(base.max_position_embeddings));
  if (config.context_length.value_or(0) > length) {
    return error("E_ROPE", "\"context_length\": expected at most {}, {} times the base's tokens, found {}", length, **factor,
                 *config.context_length);
  }
  const std::int64_t tokens_max = std::min(config.context_length.value_or(length), positions_max);
  return ContextExtension{**factor, static_cast<std::int32_t>(tokens_max)};
}

}  // namespace slora
