#include "formats/generation_config.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

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

Result<std::vector<TokenId>> token_ids(const Json& generation, const Json& config, std::string_view key, std::int32_t vocab_size) {
  const bool named = generation.is_object() && find_member(generation, key) != nullptr;
  return token_ids_at(named ? generation : config, key, vocab_size);
}

Status take_number(std::optional<double>& out, const Json& generation, std::string_view key, double least, double most) {
  Result<std::optional<double>> found = optional_number_at(generation, key);
  if (!found) return forward_error(found);
  out = *found;
  if (out && !(*out >= least && *out <= most))
    return error("E_GENERATION_CONFIG", "\"{}\": expected {} to {}, found {}", key, least, most, *out);
  return {};
}

Status take_sampling(GenerationConfig& result, const Json& generation) {
  Result<std::optional<bool>> do_sample = optional_bool_at(generation, "do_sample");
  if (!do_sample) return forward_error(do_sample);
  result.do_sample = *do_sample;
  Result<std::optional<std::int64_t>> top_k = optional_integer_at(generation, "top_k");
  if (!top_k) return forward_error(top_k);
  result.top_k = *top_k;
  if (result.top_k && *result.top_k < 0)
    return error("E_GENERATION_CONFIG", "\"top_k\": expected 0 (off) or more, found {}", *result.top_k);

  constexpr double kTiny = std::numeric_limits<double>::min(), kLarge = 1e6;
  if (Status taken = take_number(result.temperature, generation, "temperature", 0.0, kLarge); !taken) return taken;
  if (Status taken = take_number(result.top_p, generation, "top_p", kTiny, 1.0); !taken) return taken;
  if (Status taken = take_number(result.min_p, generation, "min_p", 0.0, 1.0); !taken) return taken;
  return take_number(result.repetition_penalty, generation, "repetition_penalty", kTiny, kLarge);
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
  if (!eos) return forward_error(eos);
  result.eos_token_ids = std::move(*eos);
  if (generation.is_object()) {
    const Result<std::vector<TokenId>> more = token_ids_at(generation, "eos_token_id", vocab_size);
    if (!more) return tl::unexpected(more.error());
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
  Result<Json> config = read_json_file(folder + "/config.json", kLimits);
  if (!config && config.error().code == "E_NO_FILE") config = Json(Json::value_t::object);
  if (!config) return forward_error(config);
  Result<Json> generation = read_json_file(folder + "/generation_config.json", kLimits);
  if (!generation && generation.error().code == "E_NO_FILE") generation = Json();
  if (!generation) return forward_error(generation);
  return parse_generation_config(*generation, *config, vocab_size);
}

}  // namespace slora
