#include "formats/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "formats/quantization_keys.h"

namespace slora {
namespace {

constexpr std::array<std::string_view, 5> kMethodNames = {"gptq", "awq", "compressed-tensors", "fp8", "bitsandbytes"};
constexpr std::int64_t kGroupMax = 1 << 24;
constexpr std::size_t kSchemesMax = 64;
constexpr std::size_t kNamesMax = 4096;
constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;

tl::unexpected<Error> refuse(std::string_view key, std::string_view expected, std::string_view found) {
  return error("E_UNSUPPORTED_MODEL", "\"{}\": expected {}, found {}", key, expected, found);
}

// Refuses a key that is on.
Status expect_off(const Json& object, std::string_view key) {
  const Json* value = find_member(object, key);
  return value == nullptr || is_off(*value) ? Status() : refuse(key, "nothing", shown(*value));
}

// Text in lower case; `fallback` where there is none. Refused unless it is one of `served`.
Result<std::string> choice_at(const Json& object, std::string_view key, std::string_view fallback,
                              std::span<const std::string_view> served) {
  Result<std::optional<std::string>> text = optional_string_at(object, key);
  if (!text) return forward_error(text);
  std::string value = text->value_or(std::string(fallback));
  std::ranges::transform(value, value.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (std::ranges::find(served, value) == served.end()) return refuse(key, fmt::format("{}", fmt::join(served, " or ")), quote(value));
  return value;
}

Result<std::int32_t> bits_at(const Json& object, std::string_view key, std::span<const std::int64_t> served) {
  Result<std::optional<std::int64_t>> bits = optional_integer_at(object, key);
  if (!bits) return forward_error(bits);
  if (!*bits) return error("E_MODEL_CONFIG", "\"{}\": expected an integer, found nothing", key);
  if (std::ranges::find(served, **bits) == served.end())
    return refuse(key, fmt::format("{}", fmt::join(served, " or ")), fmt::format("{}", **bits));
  return static_cast<std::int32_t>(**bits);
}

// Inputs that share a scale; -1 and 0 here: all.
Result<std::int64_t> group_at(const Json& object, std::string_view key) {
  Result<std::optional<std::int64_t>> size = optional_integer_at(object, key);
  if (!size) return forward_error(size);
  if (!*size) return error("E_MODEL_CONFIG", "\"{}\": expected an integer, found nothing", key);
  if (**size != -1 && (**size < 1 || **size > kGroupMax))
    return error("E_MODEL_CONFIG", "\"{}\": expected -1, or 1 to {}, found {}", key, kGroupMax, **size);
  return **size == -1 ? 0 : **size;
}

Result<ModuleNames> names_at(const Json& object, std::string_view key, ModuleNaming naming) {
  Result<std::optional<std::vector<std::string>>> names = optional_strings_at(object, key);
  if (!names) return forward_error(names);
  if (!*names) return ModuleNames();
  if ((*names)->size() > kNamesMax)
    return error("E_MODEL_CONFIG", "\"{}\": expected at most {} names, found {}", key, kNamesMax, (*names)->size());
  Result<ModuleNames> out = ModuleNames::create(**names, naming);
  if (!out) return error(out.error().code, "\"{}\": {}", key, out.error().message);
  return out;
}

Result<ModuleNames> every_linear() { return ModuleNames::create({"Linear"}, ModuleNaming::targets); }

// GPTQModel's per-module settings: only "-:" expressions, which leave modules as they are.
Status check_dynamic(const Json& config) {
  const Json* dynamic = find_member(config, "dynamic");
  if (dynamic == nullptr || is_off(*dynamic)) return {};
  if (!dynamic->is_object()) return error("E_BAD_JSON", "\"dynamic\": expected an object, found {}", type_name(*dynamic));
  for (const auto& [key, value] : dynamic->get_ref<const Json::object_t&>()) {
    if (!key.starts_with("-:")) return refuse("dynamic", "one setting for all modules", fmt::format("{} for {}", shown(value), quote(key)));
  }
  return {};
}

// What GPTQ and AWQ have in common.
Status parse_packed(QuantizationConfig& out, const Json& config) {
  if (Status known = check_quantization_keys(out.warnings, config, QuantizationKeys::packed); !known) return known;
  if (Status dynamic = check_dynamic(config); !dynamic) return dynamic;
  constexpr std::array<std::string_view, 1> kPackTypes = {"int32"};
  if (Result<std::string> pack = choice_at(config, "pack_dtype", "int32", kPackTypes); !pack) return forward_error(pack);
  Result<ModuleNames> plain = names_at(config, "modules_to_not_convert", ModuleNaming::skipped);
  if (!plain) return forward_error(plain);
  out.plain = std::move(*plain);
  return {};
}

Status parse_gptq(QuantizationConfig& out, const Json& config) {
  if (Status common = parse_packed(out, config); !common) return common;
  constexpr std::array<std::string_view, 2> kFormats = {"gptq", "gptq_v2"};
  const char* const key = config.contains("checkpoint_format") ? "checkpoint_format" : "format";
  const Result<std::string> format = choice_at(config, key, "gptq", kFormats);
  if (!format) return tl::unexpected(format.error());
  constexpr std::array<std::int64_t, 2> kBits = {4, 8};
  const Result<std::int32_t> bits = bits_at(config, "bits", kBits);
  if (!bits) return tl::unexpected(bits.error());
  const Result<std::int64_t> group = group_at(config, "group_size");
  if (!group) return tl::unexpected(group.error());
  const Result<std::optional<bool>> orders = optional_bool_at(config, "desc_act"), symmetric = optional_bool_at(config, "sym");
  if (!orders) return tl::unexpected(orders.error());
  if (!symmetric) return tl::unexpected(symmetric.error());  // zeros are stored in both cases
  Result<ModuleNames> targets = every_linear();
  if (!targets) return forward_error(targets);
  out.stores_zeros_less_one = *format == "gptq";
  out.schemes.push_back({.codes = WeightCodes::gptq,
                         .bits = *bits,
                         .scale_columns = *group,
                         .has_zeros = true,
                         .has_groups = orders->value_or(false),
                         .targets = *targets});
  return {};
}

Status parse_awq(QuantizationConfig& out, const Json& config) {
  if (Status common = parse_packed(out, config); !common) return common;
  constexpr std::array<std::string_view, 1> kVersions = {"gemm"};
  const char* const key = config.contains("version") ? "version" : "format";
  if (const Result<std::string> version = choice_at(config, key, "gemm", kVersions); !version) return tl::unexpected(version.error());
  const Json* backend = find_member(config, "backend");
  if (backend != nullptr && *backend == "llm-awq") return refuse("backend", "autoawq", shown(*backend));
  constexpr std::array<std::int64_t, 1> kBits = {4};
  const Result<std::int32_t> bits = bits_at(config, config.contains("bits") ? "bits" : "w_bit", kBits);
  if (!bits) return tl::unexpected(bits.error());
  const Result<std::int64_t> group = group_at(config, config.contains("group_size") ? "group_size" : "q_group_size");
  if (!group) return tl::unexpected(group.error());
  const Result<std::optional<bool>> zeros = optional_bool_at(config, "zero_point");
  if (!zeros) return tl::unexpected(zeros.error());
  if (!zeros->value_or(true)) return refuse("zero_point", "true", "false");
  Result<ModuleNames> targets = every_linear();
  if (!targets) return forward_error(targets);
  out.schemes.push_back({.codes = WeightCodes::awq, .bits = *bits, .scale_columns = *group, .has_zeros = true, .targets = *targets});
  return {};
}

// Blocks of numbers that share a scale, by compressed-tensors' "strategy".
Status take_blocks(WeightScheme& scheme, const Json& weights) {
  constexpr std::array<std::string_view, 4> kStrategies = {"tensor", "channel", "group", "block"};
  const Json* group = find_member(weights, "group_size");
  const bool has_group = group != nullptr && group->is_number_integer() && *group > 0;
  const Result<std::string> strategy = choice_at(weights, "strategy",
                                                 group == nullptr ? "tensor"
                                                 : has_group      ? "group"
                                                                  : "channel",
                                                 kStrategies);
  if (!strategy) return tl::unexpected(strategy.error());
  scheme.scale_rows = *strategy == "tensor" ? 0 : 1;
  if (*strategy == "group") {
    const Result<std::int64_t> size = group_at(weights, "group_size");
    if (!size) return tl::unexpected(size.error());
    if (*size == 0) return error("E_MODEL_CONFIG", "\"group_size\": expected 1 to {} with \"strategy\" group, found -1", kGroupMax);
    scheme.scale_columns = *size;
  } else if (has_group) {
    return error("E_MODEL_CONFIG", "\"group_size\": expected nothing with \"strategy\" {}, found {}", *strategy, shown(*group));
  }
  if (*strategy != "block") return {};
  const Json* block = find_member(weights, "block_structure");
  const auto is_size = [](const Json& size) { return size.is_number_integer() && size >= 1 && size <= kGroupMax; };
  if (block == nullptr || !block->is_array() || block->size() != 2 || !std::ranges::all_of(*block, is_size))
    return error("E_MODEL_CONFIG", "\"block_structure\": expected two sizes, found {}", block == nullptr ? "nothing" : shown(*block));
  scheme.scale_rows = (*block)[0].get<std::int64_t>();
  scheme.scale_columns = (*block)[1].get<std::int64_t>();
  return {};
}

Result<WeightScheme> parse_weights(const Json& weights, const std::string& format, std::vector<std::string>& warnings) {
  WeightScheme scheme;
  if (Status known = check_quantization_keys(warnings, weights, QuantizationKeys::weights); !known) return forward_error(known);
  if (Status off = expect_off(weights, "dynamic"); !off) return forward_error(off);
  constexpr std::array<std::string_view, 2> kTypes = {"int", "float"};
  const Result<std::string> type = choice_at(weights, "type", "int", kTypes);
  if (!type) return tl::unexpected(type.error());
  const bool is_float = *type == "float", is_packed = format == "pack-quantized";
  constexpr std::array<std::int64_t, 2> kBits = {4, 8};
  const Result<std::int32_t> bits = bits_at(weights, "num_bits", std::span(kBits).subspan(is_float ? 1 : 0));
  if (!bits) return tl::unexpected(bits.error());
  if (is_float && is_packed) return refuse("type", "int with \"format\" pack-quantized", "float");
  if (format == "int-quantized" && is_float) return refuse("type", "int with \"format\" int-quantized", "float");
  if (format == "float-quantized" && !is_float) return refuse("type", "float with \"format\" float-quantized", "int");
  scheme.codes = is_packed ? WeightCodes::packed : is_float ? WeightCodes::float8 : WeightCodes::int8;
  scheme.bits = *bits;
  if (Status taken = take_blocks(scheme, weights); !taken) return forward_error(taken);
  const Result<std::optional<bool>> symmetric = optional_bool_at(weights, "symmetric");
  if (!symmetric) return tl::unexpected(symmetric.error());
  scheme.has_zeros = !symmetric->value_or(true);
  if (scheme.has_zeros && (is_float || (is_packed && (scheme.scale_rows != 1))))
    return refuse("symmetric", is_float ? "true with \"type\" float" : "true unless scales are of groups or channels", "false");
  const Json* order = find_member(weights, "actorder");
  if (order == nullptr || is_off(*order) || *order == "weight" || *order == "static") return scheme;
  if (*order != "group" && *order != "dynamic" && *order != true) return refuse("actorder", "group or weight", shown(*order));
  if (!is_packed) return refuse("actorder", "weight, or pack-quantized with it", shown(*order));
  if (scheme.scale_columns == 0 || scheme.scale_rows != 1) return refuse("actorder", "groups of inputs with it", shown(*order));
  scheme.has_groups = true;
  return scheme;
}

Status parse_group(QuantizationConfig& out, const Json& group, const std::string& format_of_all) {
  if (!group.is_object()) return error("E_BAD_JSON", "expected an object, found {}", type_name(group));
  if (Status known = check_quantization_keys(out.warnings, group, QuantizationKeys::group); !known) return known;
  if (Status off = expect_off(group, "output_activations"); !off) return off;
  if (const Json* inputs = find_member(group, "input_activations"); inputs != nullptr && !is_off(*inputs)) {
    const std::string warning =
        "config.json: \"quantization_config\": inputs are not rounded, as \"input_activations\" has them: computed with 16 bits";
    if (std::ranges::find(out.warnings, warning) == out.warnings.end()) out.warnings.push_back(warning);
  }
  const Json* weights = find_member(group, "weights");
  if (weights == nullptr) return {};
  if (!weights->is_object()) return error("E_BAD_JSON", "\"weights\": expected an object, found {}", type_name(*weights));
  constexpr std::array<std::string_view, 4> kFormats = {"pack-quantized", "int-quantized", "float-quantized", "naive-quantized"};
  const Result<std::string> format = choice_at(group, "format", format_of_all, kFormats);
  if (!format) return tl::unexpected(format.error());
  Result<WeightScheme> scheme = parse_weights(*weights, *format, out.warnings);
  if (!scheme) return error(scheme.error().code, "\"weights\": {}", scheme.error().message);
  Result<ModuleNames> targets = names_at(group, "targets", ModuleNaming::targets);
  if (!targets) return forward_error(targets);
  scheme->targets = std::move(*targets);
  out.schemes.push_back(std::move(*scheme));
  return {};
}

Status parse_compressed(QuantizationConfig& out, const Json& config) {
  if (Status known = check_quantization_keys(out.warnings, config, QuantizationKeys::compressed); !known) return known;
  if (Status off = expect_off(config, "transform_config"); !off) return off;
  if (const Json* sparsity = find_member(config, "sparsity_config"); sparsity != nullptr && sparsity->is_object() && !sparsity->empty()) {
    constexpr std::array<std::string_view, 1> kDense = {"dense"};
    const Result<std::string> format = choice_at(*sparsity, "format", "dense", kDense);
    if (!format) return error(format.error().code, "\"sparsity_config\": {}", format.error().message);
  }
  if (const Json* cache = find_member(config, "kv_cache_scheme"); cache != nullptr && !is_off(*cache))
    out.warnings.push_back("config.json: \"quantization_config\": \"kv_cache_scheme\" is left out: the KV cache is not quantised");
  Result<std::optional<std::string>> format = optional_string_at(config, "format");
  if (!format) return forward_error(format);
  Result<ModuleNames> plain = names_at(config, "ignore", ModuleNaming::targets);
  if (!plain) return forward_error(plain);
  out.plain = std::move(*plain);
  const Json* groups = find_member(config, "config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty() || groups->size() > kSchemesMax) {
    return error("E_MODEL_CONFIG", "\"config_groups\": expected an object of 1 to {} groups, found {}", kSchemesMax,
                 groups == nullptr ? "nothing" : shown(*groups));
  }
  for (const auto& [name, group] : groups->get_ref<const Json::object_t&>()) {
    if (Status parsed = parse_group(out, group, format->value_or("")); !parsed)
      return error(parsed.error().code, "\"config_groups\": {}: {}", quote(name), parsed.error().message);
  }
  return {};
}

Status parse_fp8(QuantizationConfig& out, const Json& config) {
  if (Status known = check_quantization_keys(out.warnings, config, QuantizationKeys::fp8); !known) return known;
  constexpr std::array<std::string_view, 2> kActivations = {"dynamic", "static"};
  constexpr std::array<std::string_view, 3> kFormats = {"e4m3", "float8_e4m3fn", "e4m3fn"};
  constexpr std::array<std::string_view, 1> kScales = {"float"};
  for (const auto& [key, fallback, served] : {std::tuple("activation_scheme", "dynamic", std::span<const std::string_view>(kActivations)),
                                              std::tuple("fmt", "e4m3", std::span<const std::string_view>(kFormats)),
                                              std::tuple("scale_fmt", "float", std::span<const std::string_view>(kScales))}) {
    if (const Result<std::string> value = choice_at(config, key, fallback, served); !value) return tl::unexpected(value.error());
  }
  const char* const key = config.contains("modules_to_not_convert") ? "modules_to_not_convert" : "ignored_layers";
  Result<ModuleNames> plain = names_at(config, key, ModuleNaming::skipped);
  if (!plain) return forward_error(plain);
  out.plain = std::move(*plain);
  WeightScheme scheme;
  scheme.codes = WeightCodes::float8;
  scheme.bits = 8;
  scheme.scale_rows = 0;
  const Json* block = find_member(config, "weight_block_size");
  if (block != nullptr) {
    if (Status taken = take_blocks(scheme, Json{{"strategy", "block"}, {"block_structure", *block}}); !taken)
      return error("E_MODEL_CONFIG", "\"weight_block_size\": expected two sizes, found {}", shown(*block));
  }
  Result<ModuleNames> targets = every_linear();
  if (!targets) return forward_error(targets);
  scheme.targets = std::move(*targets);
  out.schemes.push_back(std::move(scheme));
  out.warnings.push_back("config.json: \"quantization_config\": inputs are not rounded to FP8: computed with 16 bits");
  return {};
}

Status parse_bitsandbytes(QuantizationConfig& out, const Json& config) {
  if (Status known = check_quantization_keys(out.warnings, config, QuantizationKeys::bitsandbytes); !known) return known;
  for (const char* key : {"load_in_8bit", "_load_in_8bit"}) {
    if (Status off = expect_off(config, key); !off) return off;
  }
  constexpr std::array<std::string_view, 1> kTypes = {"nf4"};
  if (const Result<std::string> type = choice_at(config, "bnb_4bit_quant_type", "fp4", kTypes); !type) return tl::unexpected(type.error());
  Result<ModuleNames> plain = names_at(config, "llm_int8_skip_modules", ModuleNaming::skipped);
  if (!plain) return forward_error(plain);
  out.plain = std::move(*plain);
  Result<ModuleNames> targets = every_linear();
  if (!targets) return forward_error(targets);
  out.schemes.push_back({.codes = WeightCodes::nf4, .targets = std::move(*targets)});
  return {};
}

}  // namespace

std::string_view name_of(QuantMethod method) { return kMethodNames[static_cast<std::size_t>(method)]; }

std::string WeightScheme::description() const {
  const std::string_view kind = codes == WeightCodes::float8 ? "FP8" : codes == WeightCodes::nf4 ? "NF4" : bits == 4 ? "4 bits" : "8 bits";
  if (codes == WeightCodes::nf4) return std::string(kind);
  if (scale_rows > 1) return fmt::format("{}, blocks of {} x {}", kind, scale_rows, scale_columns);
  if (scale_columns > 0) return fmt::format("{}, groups of {}", kind, scale_columns);
  return fmt::format("{}, a scale for each {}", kind, scale_rows == 0 ? "weight" : "output");
}

Result<QuantizationConfig> parse_quantization_config(const Json& config) {
  Result<std::optional<std::string>> method = optional_string_at(config, "quant_method");
  if (!method) return forward_error(method);
  const bool is_old_bitsandbytes = config.contains("load_in_4bit") || config.contains("load_in_8bit");
  const std::string name = method->value_or(is_old_bitsandbytes                ? "bitsandbytes"
                                            : config.contains("config_groups") ? "compressed-tensors"
                                                                               : "");
  const auto found = std::ranges::find(kMethodNames, name);
  if (found == kMethodNames.end()) return refuse("quant_method", fmt::format("{}", fmt::join(kMethodNames, ", ")), quote(name));
  QuantizationConfig out;
  out.method = static_cast<QuantMethod>(found - kMethodNames.begin());
  constexpr std::array kParsers = {&parse_gptq, &parse_awq, &parse_compressed, &parse_fp8, &parse_bitsandbytes};
  if (Status parsed = kParsers[static_cast<std::size_t>(out.method)](out, config); !parsed) return forward_error(parsed);
  return out;
}

Result<std::optional<QuantizationConfig>> read_quantization_config(const std::string& folder) {
  const Result<Json> config = read_json_file(folder + "/config.json", {.bytes_max = kConfigBytesMax});
  if (!config) return tl::unexpected(config.error());
  if (!config->is_object()) return error("E_BAD_JSON", "config.json: expected an object, found {}", type_name(*config));
  for (const char* key : {"quantization_config", "compression_config"}) {  // the latter is what compressed-tensors once wrote
    const Json* found = find_member(*config, key);
    if (found == nullptr || is_off(*found)) continue;
    if (!found->is_object()) return error("E_BAD_JSON", "config.json: \"{}\": expected an object, found {}", key, type_name(*found));
    Result<QuantizationConfig> parsed = parse_quantization_config(*found);
    if (!parsed) return error(parsed.error().code, "config.json: \"{}\": {}", key, parsed.error().message);
    return std::move(*parsed);
  }
  return std::nullopt;
}

}  // namespace slora
