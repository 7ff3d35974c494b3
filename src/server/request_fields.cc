#include "server/request_fields.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "server/error_response.h"
#include "server/request_parser.h"

namespace slora {
namespace {

tl::unexpected<Error> expected_at(const std::string& place, std::string_view expected, const Json& found) {
  return field_error(place, "{}: expected {}, found {}", place, expected, shown(found));
}

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

// A message's content: a string, a list of text parts (joined by line breaks, as vLLM does for templates that take strings), or
// nothing where the model spoke.
Result<std::string> content_text(const std::string& place, const Json* content, std::string_view role) {
  if (content == nullptr && role != "assistant") return field_error(place, "{}: this field is needed", place);
  if (content == nullptr) return std::string();
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return expected_at(place, "a string or a list of parts", *content);
  std::string text;
  for (std::size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const std::string part_place = fmt::format("{}[{}]", place, i);
    if (!part.is_object()) return expected_at(part_place, "an object", part);
    const Json* type = find_member(part, "type");
    const Json* part_text = find_member(part, "text");
    if (type == nullptr || *type != "text") return field_error(part_place, "{}: only parts of type \"text\" are served yet", part_place);
    if (part_text == nullptr || !part_text->is_string()) return field_error(part_place, "{}.text: expected a string", part_place);
    if (i != 0) text += "\n";
    text += part_text->get<std::string>();
  }
  return text;
}

Result<ChatMessage> one_message(const std::string& place, const Json& value) {
  if (!value.is_object()) return expected_at(place, "an object with \"role\" and \"content\"", value);
  for (const char* unserved : {"tool_calls", "function_call", "tool_call_id", "audio"}) {
    const Json* member = find_member(value, unserved);
    if (member != nullptr && !member->empty())
      return field_error(place, "{}.{}: this field is not served yet, and would change the answer", place, unserved);
  }
  ChatMessage message;
  const Json* role = find_member(value, "role");
  if (role == nullptr || !role->is_string() || role->get_ref<const std::string&>().empty()) {
    return field_error(place, "{}.role: expected a string such as \"user\"", place);
  }
  message.role = role->get<std::string>();
  if (const Json* name = find_member(value, "name")) {
    if (!name->is_string()) return expected_at(place + ".name", "a string", *name);
    message.name = name->get<std::string>();
  }
  Result<std::string> content = content_text(place + ".content", find_member(value, "content"), message.role);
  if (!content) return forward_error(content);
  message.content = std::move(*content);
  return message;
}

Status add_stop(RequestSpec& spec, const std::string& place, const Json& value) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  const std::string& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > kStopBytesMax) {
    return field_error(place, "{}: expected a string of 1 to {} bytes, found {} bytes", place, kStopBytesMax, text.size());
  }
  spec.stop.push_back(text);
  return {};
}

}  // namespace

Status read_prompt(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size) {
  const bool is_list = value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
  if (!is_list) {
    Result<Prompt> prompt = one_prompt("prompt", value, vocabulary_size);
    if (!prompt) return forward_error(prompt);
    spec.prompts.push_back(std::move(*prompt));
    return {};
  }
  if (value.size() > kPromptsMax) return field_error("prompt", "prompt: expected at most {} prompts, found {}", kPromptsMax, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Prompt> prompt = one_prompt(fmt::format("prompt[{}]", i), value[i], vocabulary_size);
    if (!prompt) return forward_error(prompt);
    spec.prompts.push_back(std::move(*prompt));
  }
  return {};
}

Status read_messages(RequestSpec& spec, const Json& value, std::int32_t) {
  if (!value.is_array() || value.empty()) return expected_at("messages", "a list with at least one message", value);
  if (value.size() > kMessagesMax)
    return field_error("messages", "messages: expected at most {} messages, found {}", kMessagesMax, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<ChatMessage> message = one_message(fmt::format("messages[{}]", i), value[i]);
    if (!message) return forward_error(message);
    spec.messages.push_back(std::move(*message));
  }
  return {};
}

Status read_logit_bias(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_object()) return expected_at("logit_bias", "an object from token ids to numbers", value);
  if (value.size() > kLogitBiasMax)
    return field_error("logit_bias", "logit_bias: expected at most {} tokens, found {}", kLogitBiasMax, value.size());
  for (const auto& [key, bias] : value.items()) {
    TokenId token = -1;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (failure != std::errc() || end != key.data() + key.size() || token < 0 || token >= vocabulary_size) {
      return field_error("logit_bias", "logit_bias: expected token ids from 0 to {}, found {}", vocabulary_size - 1, shown(Json(key)));
    }
    const bool fits = bias.is_number() && std::abs(bias.get<double>()) <= 100;
    if (!fits) return expected_at("logit_bias", "biases from -100 to 100", bias);
    spec.logit_bias.push_back({token, bias.get<float>()});
  }
  return {};
}

Status read_chat_logprobs(RequestSpec& spec, const Json& value, std::int32_t) {
  if (!value.is_boolean()) return expected_at("logprobs", "true or false", value);
  if (value.get<bool>() && !spec.logprobs) spec.logprobs = 0;
  return {};
}

Status read_stop(RequestSpec& spec, const Json& value, std::int32_t) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty() ? Status{} : add_stop(spec, "stop", value);
  if (!value.is_array()) return expected_at("stop", "a string or a list of strings", value);
  if (value.size() > kStopsMax) return field_error("stop", "stop: expected at most {} strings, found {}", kStopsMax, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (Status added = add_stop(spec, fmt::format("stop[{}]", i), value[i]); !added) return added;
  }
  return {};
}

Status read_stop_token_ids(RequestSpec& spec, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_array()) return expected_at("stop_token_ids", "a list of token ids", value);
  if (value.size() > kStopTokensMax) {
    return field_error("stop_token_ids", "stop_token_ids: expected at most {} ids, found {}", kStopTokensMax, value.size());
  }
  Result<std::vector<TokenId>> ids = token_ids("stop_token_ids", value, vocabulary_size);
  if (!ids) return forward_error(ids);
  spec.stop_token_ids = std::move(*ids);
  return {};
}

Status read_priority(RequestSpec&, const Json& value, std::int32_t) {
  return value.is_number_integer() ? Status{} : expected_at("priority", "an integer", value);
}

Status read_stream_options(RequestSpec& spec, const Json& value, std::int32_t) {
  if (!value.is_object()) return expected_at("stream_options", "an object", value);
  for (const auto& [name, target] : {std::pair{"include_usage", &RequestSpec::include_usage},
                                     std::pair{"continuous_usage_stats", &RequestSpec::continuous_usage_stats}}) {
    const Json* member = find_member(value, name);
    if (member == nullptr) continue;
    if (!member->is_boolean()) return expected_at(fmt::format("stream_options.{}", name), "true or false", *member);
    spec.*target = member->get<bool>();
  }
  spec.continuous_usage_stats &= spec.include_usage;
  return {};
}

}  // namespace slora
