#include "formats/generation_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/gguf_model.h"

namespace slora {
namespace {

constexpr JsonLimits kLimits{.bytes_max = std::size_t{4} << 20};
constexpr std::size_t kEndTokensMax = 1024;

// The ids of a member that is an id or a list of ids, without ids outside the vocabulary, which can't occur (files use -1 for "none").
Result<std::vector<TokenId>> token_ids_at(const Json& config, std::string_view key, std::int32_t vocab_size) {
  std::vector<TokenId> ids;
  const Json* value = find_member(config, key);
  if (value == nullptr) return ids;
  const auto add = [&](const Json& id) {
    if (!id.is_number_integer()) return false;
    if (id.is_number_unsigned() && id.get<std::uint64_t>() < static_cast<std::uint64_t>(vocab_size)) ids.push_back(id.get<TokenId>());
    return true;
  };
  bool well_typed = value->is_array() ? value->size() <= kEndTokensMax : add(*value);
  if (value->is_array()) {
    for (std::size_t i = 0; i < value->size() && well_typed; ++i) well_typed = add((*value)[i]);
  }
  if (!well_typed) {
    return error("E_BAD_JSON", "\"{}\": expected an integer or a list of at most {} integers, found {}", key, kEndTokensMax, shown(*value));
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

constexpr std::string_view kOwnFile = "generation_config.json", kModelFile = "config.json";

// An error with the file that it is about.
template <class T>
tl::unexpected<Error> in_named_file(std::string_view file, Result<T>& failed) {
  return error(failed.error().code, "{}: {}", file, failed.error().message);
}

Result<std::vector<TokenId>> token_ids(const Json& generation, const Json& config, std::string_view key, std::int32_t vocab_size) {
  const bool named = generation.is_object() && find_member(generation, key) != nullptr;
  Result<std::vector<TokenId>> ids = token_ids_at(named ? generation : config, key, vocab_size);
  if (!ids) return in_named_file(named ? kOwnFile : kModelFile, ids);
  return ids;
}

// A number, or text that is one, as people write by hand.
Result<std::optional<double>> lenient_number_at(std::vector<std::string>& warnings, const Json& config, std::string_view key) {
  const Json* value = find_member(config, key);
  if (value != nullptr && value->is_string()) {
    const Result<Json> number = parse_json(value->get_ref<const std::string&>(), {.bytes_max = 32, .depth_max = 1, .values_max = 1});
    if (number && number->is_number()) {
      warnings.push_back(fmt::format("{}: \"{}\" is text: taken as the number {}", kOwnFile, key, number->get<double>()));
      return number->get<double>();
    }
  }
  return optional_number_at(config, key);
}

Status take_number(std::optional<double>& out, GenerationConfig& result, const Json& generation, std::string_view key, double least,
                   double most) {
  Result<std::optional<double>> found = lenient_number_at(result.warnings, generation, key);
  if (!found) return in_named_file(kOwnFile, found);
  out = *found;
  if (out && !(*out >= least && *out <= most))
    return error("E_GENERATION_CONFIG", "{}: \"{}\": expected {} to {}, found {}", kOwnFile, key, least, most, *out);
  return {};
}

// -1 means off, as in vLLM; a whole number may be written as 50.0.
Status take_top_k(GenerationConfig& result, const Json& generation) {
  Result<std::optional<double>> top_k = lenient_number_at(result.warnings, generation, "top_k");
  if (!top_k) return in_named_file(kOwnFile, top_k);
  if (!*top_k) return {};
  constexpr double kMost = INT32_MAX;
  if (**top_k != std::floor(**top_k) || **top_k < -1 || **top_k > kMost) {
    return error("E_GENERATION_CONFIG", "{}: \"top_k\": expected a whole number from -1 (off) to {}, found {}", kOwnFile, kMost, **top_k);
  }
  result.top_k = std::max<std::int64_t>(0, static_cast<std::int64_t>(**top_k));
  return {};
}

Status take_sampling(GenerationConfig& result, const Json& generation) {
  Result<std::optional<bool>> do_sample = optional_bool_at(generation, "do_sample");
  if (!do_sample) return in_named_file(kOwnFile, do_sample);
  result.do_sample = *do_sample;
  if (Status taken = take_top_k(result, generation); !taken) return taken;

  constexpr double kTiny = std::numeric_limits<float>::min(), kLarge = 1e6;
  if (Status taken = take_number(result.temperature, result, generation, "temperature", 0.0, kLarge); !taken) return taken;
  if (Status taken = take_number(result.top_p, result, generation, "top_p", 0.0, 1.0); !taken) return taken;
  if (result.top_p) result.top_p = std::max(*result.top_p, kTiny);  // 0 keeps the most likely token, as in transformers
  if (Status taken = take_number(result.min_p, result, generation, "min_p", 0.0, 1.0); !taken) return taken;
  return take_number(result.repetition_penalty, result, generation, "repetition_penalty", kTiny, kLarge);
}

}  // namespace

Result<GenerationConfig> parse_generation_config(const Json& generation, const Json& config, std::int32_t vocab_size) {
  if (!config.is_object()) return error("E_BAD_JSON", "config.json: expected an object, found {}", type_name(config));
  if (!generation.is_object() && !generation.is_null()) {
    return error("E_BAD_JSON", "generation_config.json: expected an object, found {}", type_name(generation));
  }
  GenerationConfig result;
  // Of both files: transformers takes config.json's only where the other file is missing, SGLang always.
  Result<std::vector<TokenId>> eos = token_ids_at(config, "eos_token_id", vocab_size);
  if (!eos) return in_named_file(kModelFile, eos);
  result.eos_token_ids = std::move(*eos);
  if (generation.is_object()) {
    Result<std::vector<TokenId>> more = token_ids_at(generation, "eos_token_id", vocab_size);
    if (!more) return in_named_file(kOwnFile, more);
    std::vector<TokenId>& ends = result.eos_token_ids;
    ends.insert(ends.end(), more->begin(), more->end());
    std::ranges::sort(ends);
    ends.erase(std::ranges::unique(ends).begin(), ends.end());
  }
  for (auto [key, field] : {std::pair("bos_token_id", &result.bos_token_id), std::pair("pad_token_id", &result.pad_token_id)}) {
    Result<std::vector<TokenId>> ids = token_ids(generation, config, key, vocab_size);
    if (!ids) return forward_error(ids);
    if (!ids->empty()) *field = ids->front();
  }
  if (generation.is_object()) {
    if (Status taken = take_sampling(result, generation); !taken) return forward_error(taken);
  }
  return result;
}

Result<GenerationConfig> read_generation_config(const std::string& folder, std::int32_t vocab_size) {
  if (is_gguf_path(folder)) {
    const Result<GgufModel> model = open_gguf_model(folder);
    if (!model) return tl::unexpected(model.error());
    const Result<GgufConfig> config = config_of_gguf(*model);
    if (!config) return tl::unexpected(config.error());
    return parse_generation_config(Json(), *config->config, vocab_size);
  }
  Result<Json> config = read_json_file(folder + "/config.json", kLimits);
  if (!config && config.error().code == "E_NO_FILE") config = Json(Json::value_t::object);
  if (!config) return forward_error(config);
  Result<Json> generation = read_json_file(folder + "/generation_config.json", kLimits);
  if (!generation && generation.error().code == "E_NO_FILE") generation = Json();
  if (!generation) return forward_error(generation);
  return parse_generation_config(*generation, *config, vocab_size);
}

}  // namespace slora
