#include "text/chat_messages.h"

#include <nlohmann/json.hpp>

namespace slora {
namespace {

constexpr std::size_t kMembersMax = 64;  // of a message; each look-up is linear

// The text of a text part; nullptr for other parts.
const Json* text_of_part(const Json& part) {
  const Json* type = part.is_object() ? find_member(part, "type") : nullptr;
  const Json* text = type != nullptr && *type == "text" ? find_member(part, "text") : nullptr;
  return text != nullptr && text->is_string() ? text : nullptr;
}

Result<Json> joined_parts(const std::string& place, const Json& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Json* part = text_of_part(parts[i]);
    if (part == nullptr)
      return refuse_field(fmt::format("{}[{}]", place, i),
                          R"(expected a part {"type": "text", "text": ...}, the only kind that is served)");
    if (i > 0) text += '\n';
    text += part->get_ref<const std::string&>();
  }
  return Json(std::move(text));
}

Result<Json> content_of(const std::string& place, const Json* content, ContentFormat format, bool is_tool_result) {
  if (content == nullptr) return format == ContentFormat::parts ? Json::array() : Json("");
  // Every template expects the results of tools as text.
  if (content->is_array() && (format == ContentFormat::text || is_tool_result)) return joined_parts(place, *content);
  if (content->is_array()) {
    if (const Result<Json> checked = joined_parts(place, *content); !checked) return tl::unexpected(checked.error());
  } else if (!content->is_string()) {
    return refuse_field(place, "expected a string or a list of parts");
  } else if (format == ContentFormat::parts && !is_tool_result) {
    return Json::array({{{"type", "text"}, {"text", *content}}});
  }
  return *content;
}

void name_reasoning(Json& message) {
  const Json* found = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (found == nullptr) found = find_member(message, name);
  }
  if (found == nullptr) return;
  const Json reasoning = *found;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (find_member(message, name) == nullptr) message[name] = reasoning;
  }
}

}  // namespace

tl::unexpected<Error> refuse_field(std::string field, std::string_view what) {
  std::string message = fmt::format("{}: {}", field, what);
  return tl::unexpected(Error{"invalid_request_error", std::move(message), std::move(field)});
}

Result<Json> to_template_messages(const Json& messages, ContentFormat format) {
  if (!messages.is_array() || messages.empty()) return refuse_field("messages", "expected a list with at least one message");
  Json out = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    if (!messages[i].is_object()) return refuse_field(place, "expected an object with \"role\" and \"content\"");
    if (messages[i].size() > kMembersMax) return refuse_field(place, fmt::format("expected at most {} members", kMembersMax));
    const Json* role = find_member(messages[i], "role");
    Result<Json> content = content_of(place + ".content", find_member(messages[i], "content"), format, role != nullptr && *role == "tool");
    if (!content) return content;
    Json message = Json::object();
    for (const auto& [name, value] : messages[i].items()) {
      const bool is_empty_call = name == "tool_calls" && value.empty();
      if (name != "content" && !value.is_null() && !is_empty_call) message[name] = value;
      if (name == "role") message["content"] = *content;
    }
    message["content"] = std::move(*content);
    name_reasoning(message);
    out.push_back(std::move(message));
  }
  return out;
}

Json call_arguments(const Json& arguments) {
  if (!arguments.is_string()) return arguments;
  if (arguments == "") return Json::object();
  Result<Json> parsed = parse_json(arguments.get_ref<const std::string&>());
  return parsed && parsed->is_object() ? std::move(*parsed) : arguments;
}

}  // namespace slora
