#include "api/request_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "api/api_error.h"

namespace slora {
namespace {

Result<std::vector<TokenId>> token_ids(const std::string& place, const Json& list, std::int32_t vocabulary_size) {
  std::vector<TokenId> ids;
  ids.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& value = list[i];
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() < static_cast<std::uint64_t>(vocabulary_size);
    if (!fits) return expected_at(fmt::format("{}[{}]", place, i), fmt::format("a token id from 0 to {}", vocabulary_size - 1), value);
    ids.push_back(value.get<TokenId>());
  }
  return ids;
}

Result<Prompt> one_prompt(const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (value.is_string()) return Prompt(value.get<std::string>());
  if (!value.is_array() || value.empty()) return expected_at(place, "a string or a list of token ids", value);
  Result<std::vector<TokenId>> ids = token_ids(place, value, vocabulary_size);
  if (!ids) return forward_error(ids);
  return Prompt(std::move(*ids));
}

Status add_stop(RequestSpec& spec, const std::string& place, const Json& value) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  const std::string& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > kStopBytesMax) {
    return field_error(place, "{}: expected a string of 1 to {} bytes, found {} bytes", place, kStopBytesMax, text.size());
  }
  spec.output.stop.push_back(text);
  return {};
}

}  // namespace

Status read_prompt(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  return read_prompts(spec, place, value, vocabulary_size, kPromptsMax);
}

Status read_prompts(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size, std::size_t count_max) {
  if (!spec.prompt.given.empty()) return field_error(place, "{}: expected either {} or {}, found both", place, spec.prompt.field, place);
  spec.prompt.field = place;
  spec.prompt.is_list = value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
  if (!spec.prompt.is_list) {
    Result<Prompt> prompt = one_prompt(place, value, vocabulary_size);
    if (!prompt) return forward_error(prompt);
    spec.prompt.given.push_back(std::move(*prompt));
    return {};
  }
  if (value.size() > count_max) return field_error(place, "{}: expected at most {} prompts, found {}", place, count_max, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Prompt> prompt = one_prompt(fmt::format("{}[{}]", place, i), value[i], vocabulary_size);
    if (!prompt) return forward_error(prompt);
    spec.prompt.given.push_back(std::move(*prompt));
  }
  return {};
}

Status read_texts(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  const bool is_list = value.is_array() && !value.empty() && value[0].is_string();
  if (!value.is_string() && !is_list) return expected_at(place, "a string or a list of strings", value);
  return read_prompt(spec, place, value, vocabulary_size);
}

Status read_input_ids(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  const bool is_list = value.is_array() && !value.empty() && !value[0].is_string();
  if (!is_list) return expected_at(place, "a list of token ids or a list of such lists", value);
  return read_prompt(spec, place, value, vocabulary_size);
}

Status read_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  return read_prompt(spec, place, value, vocabulary_size);
}

Status read_logit_bias(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_object()) return expected_at(place, "an object from token ids to numbers", value);
  if (value.size() > kLogitBiasMax)
    return field_error(place, "{}: expected at most {} tokens, found {}", place, kLogitBiasMax, value.size());
  for (const auto& [key, bias] : value.items()) {
    TokenId token = -1;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (failure != std::errc() || end != key.data() + key.size() || token < 0 || token >= vocabulary_size) {
      return field_error(place, "{}: expected token ids from 0 to {}, found {}", place, vocabulary_size - 1, shown(Json(key)));
    }
    const bool fits = bias.is_number() && std::abs(bias.get<double>()) <= kLogitBiasSizeMax;
    if (!fits) return expected_at(place, "biases from -100 to 100", bias);
    spec.sampling.logit_bias.push_back({token, bias.get<float>()});
  }
  return {};
}

Status read_stop(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty() ? Status{} : add_stop(spec, place, value);
  if (!value.is_array()) return expected_at(place, "a string or a list of strings", value);
  if (value.size() > kStopsMax) return field_error(place, "{}: expected at most {} strings, found {}", place, kStopsMax, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (Status added = add_stop(spec, fmt::format("{}[{}]", place, i), value[i]); !added) return added;
  }
  return {};
}

Status read_stop_token_ids(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_array()) return expected_at(place, "a list of token ids", value);
  if (value.size() > kStopTokensMax) {
    return field_error(place, "{}: expected at most {} ids, found {}", place, kStopTokensMax, value.size());
  }
  Result<std::vector<TokenId>> ids = token_ids(place, value, vocabulary_size);
  if (!ids) return forward_error(ids);
  spec.output.stop_token_ids = std::move(*ids);
  return {};
}

Status read_truncation_side(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (value != "left" && value != "right") return expected_at(place, "\"left\" or \"right\"", value);
  spec.prompt.kept_end = value == "left" ? KeptEnd::last : KeptEnd::first;
  return {};
}

Status read_stream_options(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  for (const auto& [name, target] :
       {std::pair{"include_usage", &OpenAiSpec::include_usage}, std::pair{"continuous_usage_stats", &OpenAiSpec::continuous_usage_stats}}) {
    const Json* member = find_member(value, name);
    if (member == nullptr) continue;
    if (!member->is_boolean()) return expected_at(fmt::format("{}.{}", place, name), "true or false", *member);
    spec.openai.*target = member->get<bool>();
  }
  spec.openai.continuous_usage_stats &= spec.openai.include_usage;
  return {};
}

Status check_token_ids(const RequestSpec& spec, std::int32_t vocabulary) {
  const auto check_list = [&](const std::string& place, std::span<const TokenId> ids) -> Status {
    const auto unknown = std::ranges::find_if(ids, [&](TokenId id) { return id >= vocabulary; });
    if (unknown == ids.end()) return {};
    return expected_at(fmt::format("{}[{}]", place, unknown - ids.begin()), fmt::format("a token id from 0 to {}", vocabulary - 1),
                       *unknown);
  };
  for (std::size_t i = 0; i < spec.prompt.given.size(); ++i) {
    const auto* ids = std::get_if<std::vector<TokenId>>(&spec.prompt.given[i]);
    if (ids == nullptr) continue;
    const std::string place = spec.prompt.is_list ? fmt::format("{}[{}]", spec.prompt.field, i) : spec.prompt.field;
    if (Status known = check_list(place, *ids); !known) return known;
  }
  for (const TokenBias& bias : spec.sampling.logit_bias) {
    if (bias.token < vocabulary) continue;
    return field_error("logit_bias", "logit_bias: expected token ids from 0 to {}, found {}", vocabulary - 1,
                       shown(Json(std::to_string(bias.token))));
  }
  return check_list("stop_token_ids", spec.output.stop_token_ids);
}

}  // namespace slora
