#include "api/conversation_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/api_error.h"
#include "text/chat_messages.h"

namespace slora {
namespace {

tl::unexpected<Error> needed_at(const std::string& place) { return field_error(place, "{}: this field is needed", place); }

// A message's content: a string, a list of text parts, or nothing in an assistant message.
Status check_content(const std::string& place, const Json* content, std::string_view role) {
  if (content == nullptr) return role == "assistant" ? Status{} : needed_at(place);
  if (content->is_string()) return {};
  if (!content->is_array()) return expected_at(place, "a string or a list of parts", *content);
  for (std::size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const std::string part_place = fmt::format("{}[{}]", place, i);
    if (!part.is_object()) return expected_at(part_place, "an object with \"type\" and \"text\"", part);
    const Json* type = find_member(part, "type");
    if (type == nullptr) return needed_at(part_place + ".type");
    if (*type != "text") return expected_at(part_place + ".type", "\"text\", the only kind of part that is served", *type);
    const Json* text = find_member(part, "text");
    if (text == nullptr) return needed_at(part_place + ".text");
    if (!text->is_string()) return expected_at(part_place + ".text", "a string", *text);
  }
  return {};
}

// Copies members of `from` that are strings or absent.
Status copy_texts(Json& to, const std::string& place, const Json& from, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Json* text = find_member(from, name);
    if (text == nullptr) continue;
    if (!text->is_string()) return expected_at(fmt::format("{}.{}", place, name), "a string", *text);
    to[name] = *text;
  }
  return {};
}

Result<Json> arguments_of(const std::string& place, const Json* arguments) {
  if (arguments == nullptr) return Json::object();
  if (!arguments->is_object() && !arguments->is_string()) return expected_at(place, "an object, as JSON text", *arguments);
  return call_arguments(*arguments);
}

Result<Json> tool_call_of(const std::string& place, const Json& value) {
  if (!value.is_object()) return expected_at(place, "an object with \"function\"", value);
  const Json* type = find_member(value, "type");
  if (type != nullptr && *type != "function") return expected_at(place + ".type", "\"function\"", *type);
  const Json* function = find_member(value, "function");
  if (function == nullptr) return needed_at(place + ".function");
  if (!function->is_object()) return expected_at(place + ".function", "an object with \"name\" and \"arguments\"", *function);
  if (find_member(*function, "name") == nullptr) return needed_at(place + ".function.name");
  Json call = Json::object();
  if (Status copied = copy_texts(call, place, value, {"id"}); !copied) return forward_error(copied);
  call["type"] = "function";
  Json& called = call["function"];
  if (Status copied = copy_texts(called, place + ".function", *function, {"name"}); !copied) return forward_error(copied);
  Result<Json> arguments = arguments_of(place + ".function.arguments", find_member(*function, "arguments"));
  if (!arguments) return forward_error(arguments);
  called["arguments"] = std::move(*arguments);
  return call;
}

Result<Json> tool_calls_of(const std::string& place, const Json& value) {
  if (!value.is_array()) return expected_at(place, "a list of tool calls", value);
  if (value.size() > kToolsMax) return field_error(place, "{}: expected at most {} tool calls, found {}", place, kToolsMax, value.size());
  Json calls = Json::array();
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Json> call = tool_call_of(fmt::format("{}[{}]", place, i), value[i]);
    if (!call) return forward_error(call);
    calls.push_back(std::move(*call));
  }
  return calls;
}

Result<Json> message_of(const std::string& place, const Json& value) {
  if (!value.is_object()) return expected_at(place, "an object with \"role\" and \"content\"", value);
  for (const char* unserved : {"function_call", "audio"}) {
    const Json* member = find_member(value, unserved);
    if (member == nullptr) continue;
    const std::string at = fmt::format("{}.{}", place, unserved);
    return field_error(at, "{}: this field is not served, and would change the answer; leave it out", at);
  }
  const Json* role = find_member(value, "role");
  if (role == nullptr) return needed_at(place + ".role");
  if (!role->is_string() || *role == "") return expected_at(place + ".role", "a string such as \"user\"", *role);
  Json message = {{"role", *role}};
  const Json* content = find_member(value, "content");
  if (Status checked = check_content(place + ".content", content, role->get_ref<const std::string&>()); !checked)
    return forward_error(checked);
  if (content != nullptr) message["content"] = *content;
  if (Status copied = copy_texts(message, place, value, {"name", "tool_call_id", "reasoning_content", "reasoning", "thinking"}); !copied) {
    return forward_error(copied);
  }
  if (const Json* given = find_member(value, "tool_calls")) {
    Result<Json> calls = tool_calls_of(place + ".tool_calls", *given);
    if (!calls) return forward_error(calls);
    if (!calls->empty()) message["tool_calls"] = std::move(*calls);
  }
  return message;
}

Status check_tool(const std::string& place, const Json& value) {
  if (!value.is_object()) return expected_at(place, "an object with \"type\" and \"function\"", value);
  const Json* type = find_member(value, "type");
  if (type != nullptr && *type != "function") return expected_at(place + ".type", "\"function\"", *type);
  const Json* function = find_member(value, "function");
  if (function == nullptr) return needed_at(place + ".function");
  if (!function->is_object()) return expected_at(place + ".function", "an object with \"name\"", *function);
  const Json* name = find_member(*function, "name");
  if (name == nullptr) return needed_at(place + ".function.name");
  if (!name->is_string()) return expected_at(place + ".function.name", "a string", *name);
  const Json* strict = find_member(*function, "strict");
  if (strict != nullptr && !strict->is_boolean()) return expected_at(place + ".function.strict", "true or false", *strict);
  const Json* parameters = find_member(*function, "parameters");
  if (parameters != nullptr && !parameters->is_object()) return expected_at(place + ".function.parameters", "a JSON schema", *parameters);
  return {};
}

Status check_list(const std::string& place, const Json& value, std::size_t count_max,
                  Status (*check_entry)(const std::string&, const Json&)) {
  if (!value.is_array()) return expected_at(place, "a list of objects", value);
  if (value.size() > count_max) return field_error(place, "{}: expected at most {} entries, found {}", place, count_max, value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (Status checked = check_entry(fmt::format("{}[{}]", place, i), value[i]); !checked) return checked;
  }
  return {};
}

}  // namespace

Status read_messages(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_array() || value.empty()) return expected_at(place, "a list with at least one message", value);
  if (value.size() > kMessagesMax)
    return field_error(place, "{}: expected at most {} messages, found {}", place, kMessagesMax, value.size());
  spec.prompt.field = place;
  spec.chat.messages = Json::array();
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Json> message = message_of(fmt::format("{}[{}]", place, i), value[i]);
    if (!message) return forward_error(message);
    spec.chat.messages.push_back(std::move(*message));
  }
  return {};
}

Status read_tools(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (Status checked = check_list(place, value, kToolsMax, check_tool); !checked) return checked;
  if (const std::size_t bytes = value.dump().size(); bytes > kToolBytesMax) {
    return field_error(place, "{}: expected at most {} bytes of JSON, found {}", place, kToolBytesMax, bytes);
  }
  if (!value.empty()) spec.chat.tools = value;
  return {};
}

Status read_tool_choice(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  using Mode = ToolChoice::Mode;
  ToolChoice& choice = spec.chat.tool_choice;
  for (const auto& [word, mode] :
       {std::pair("none", Mode::none), std::pair("auto", Mode::automatic), std::pair("required", Mode::required)}) {
    if (value != word) continue;
    choice = {mode, {}};
    return {};
  }
  constexpr std::string_view expected = "\"none\", \"auto\", \"required\", or an object that names a function";
  if (!value.is_object()) return expected_at(place, expected, value);
  if (const Json* type = find_member(value, "type"); type == nullptr || *type != "function")
    return expected_at(place + ".type", "\"function\"", type == nullptr ? Json() : *type);
  const Json* function = find_member(value, "function");
  const Json* name = function != nullptr && function->is_object() ? find_member(*function, "name") : nullptr;
  if (name == nullptr) return needed_at(place + ".function.name");
  if (!name->is_string()) return expected_at(place + ".function.name", "a string", *name);
  choice = {Mode::named, name->get<std::string>()};
  return {};
}

Status check_tool_choice(const RequestSpec& spec, bool is_given) {
  const ToolChoice& choice = spec.chat.tool_choice;
  if (!is_given || choice.mode == ToolChoice::Mode::none) return {};
  // OpenAI's responses say "auto" where they have no tools either, and clients send it back.
  if (spec.endpoint == Endpoint::responses && spec.chat.tools.is_null() && choice.mode == ToolChoice::Mode::automatic) return {};
  if (spec.chat.tools.is_null()) return field_error("tool_choice", "tool_choice: expected tools to choose from in \"tools\", found none");
  if (choice.mode != ToolChoice::Mode::named) return {};
  std::vector<std::string> names;
  for (const Json& tool : spec.chat.tools) names.push_back(tool.at("function").at("name").get<std::string>());
  if (std::ranges::find(names, choice.name) != names.end()) return {};
  const char* field = spec.endpoint == Endpoint::responses ? "tool_choice.name" : "tool_choice.function.name";
  return field_error(field, "{}: expected one of the tools ({}), found {}", field, fmt::join(names, ", "), quote(choice.name));
}

Status read_documents(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  const auto check_document = [](const std::string& at, const Json& document) -> Status {
    if (!document.is_object()) return expected_at(at, "an object such as {\"title\": ..., \"text\": ...}", document);
    return {};
  };
  if (Status checked = check_list(place, value, kDocumentsMax, check_document); !checked) return checked;
  if (!value.empty()) spec.chat.documents = value;
  return {};
}

Status read_chat_template_kwargs(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  for (const char* taken : {"messages", "tools", "documents", "chat_template", "tokenize"}) {
    if (value.contains(taken)) {
      return field_error(fmt::format("{}.{}", place, taken), "{}: {} is no variable that can be set here", place, taken);
    }
  }
  spec.chat.template_variables = value;
  return {};
}

Status read_reasoning_effort(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  const Json schema = reasoning_effort_schema(vocabulary_size);
  const Json& words = schema["enum"];
  if (std::ranges::find(words, value) == words.end()) return expected_at(place, "one of " + words.dump(), value);
  spec.chat.reasoning_effort = value.get<std::string>();
  return {};
}

}  // namespace slora
