#include "api/response_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/api_error.h"
#include "api/constraint_fields.h"
#include "api/conversation_fields.h"
#include "api/response_items.h"

namespace slora {
namespace {

constexpr const char* kLogprobsInclude = "message.output_text.logprobs";

Json words(std::initializer_list<const char*> list) { return {{"enum", Json::array_t(list.begin(), list.end())}}; }

// One of a schema's words.
Status check_word(const std::string& place, const Json& value, const Json& schema) {
  const Json& list = schema["enum"];
  return std::ranges::find(list, value) != list.end() ? Status{} : expected_at(place, "one of " + list.dump(), value);
}

Json verbosity_schema() { return words({"low", "medium", "high"}); }
Json summary_schema() { return words({"auto", "concise", "detailed"}); }

// The function of a tool as chats have it: one level deeper.
Result<Json> function_of(const std::string& place, const Json& tool) {
  if (!tool.is_object()) return expected_at(place, "an object with \"type\" and \"name\"", tool);
  const Json* type = find_member(tool, "type");
  if (type == nullptr || *type != "function")
    return expected_at(place + ".type", "\"function\", the only kind of tool that is served", type == nullptr ? Json() : *type);
  const Json* name = find_member(tool, "name");
  if (name == nullptr || !name->is_string()) return expected_at(place + ".name", "a string", name == nullptr ? Json() : *name);
  const Json* parameters = find_member(tool, "parameters");
  if (parameters != nullptr && !parameters->is_object()) return expected_at(place + ".parameters", "a JSON schema", *parameters);
  const Json* strict = find_member(tool, "strict");
  if (strict != nullptr && !strict->is_boolean()) return expected_at(place + ".strict", "true or false", *strict);
  Json function = Json::object();
  for (const char* member : {"name", "description", "parameters", "strict"}) {
    if (const Json* given = find_member(tool, member)) function[member] = *given;
  }
  return Json{{"type", "function"}, {"function", std::move(function)}};
}

// As a chat's response_format, except that a schema stands one level higher.
Status read_text_format(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  spec.responses.text_format = value;
  const Json* type = value.is_object() ? find_member(value, "type") : nullptr;
  if (type == nullptr || *type != "json_schema") return read_response_format(spec, place, value, vocabulary_size);
  const Json* schema = find_member(value, "schema");
  if (schema == nullptr) return field_error(place + ".schema", "{}.schema: this field is needed", place);
  return read_schema_form(spec, place + ".schema", *schema, vocabulary_size);
}

}  // namespace

Status read_response_input(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  spec.prompt.field = place;
  if (value.is_string()) {
    spec.chat.messages = Json::array({Json{{"role", "user"}, {"content", value}}});
    return {};
  }
  if (!value.is_array() || value.empty()) return expected_at(place, "a string or a list with at least one item", value);
  if (value.size() > kMessagesMax) return field_error(place, "{}: expected at most {} items, found {}", place, kMessagesMax, value.size());
  Result<Json> messages = messages_of_items(place, value);
  if (!messages) return forward_error(messages);
  spec.chat.messages = std::move(*messages);
  return {};
}

Json response_input_schema(std::int32_t) {
  const Json item = {{"type", "object"},
                     {"properties", {{"type", words({"message", "function_call", "function_call_output", "reasoning"})}}},
                     {"description", "As OpenAI's. Content is a string or parts of text; a message's type may be absent."}};
  return {{"anyOf",
           Json::array({Json{{"type", "string"}}, Json{{"type", "array"}, {"items", item}, {"minItems", 1}, {"maxItems", kMessagesMax}}})}};
}

Status read_instructions(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  spec.responses.instructions = value.get<std::string>();
  return {};
}

Json instructions_schema(std::int32_t) { return {{"type", "string"}}; }

Status read_response_text(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  if (const Json* verbosity = find_member(value, "verbosity")) {
    if (Status known = check_word(place + ".verbosity", *verbosity, verbosity_schema()); !known) return known;
    spec.responses.verbosity = verbosity->get<std::string>();
  }
  const Json* format = find_member(value, "format");
  return format == nullptr ? Status{} : read_text_format(spec, place + ".format", *format, vocabulary_size);
}

Json response_text_schema(std::int32_t) {
  const Json schema = {{"type", {"object", "boolean", "string"}}, {"description", "A JSON schema. strict or not, it is enforced."}};
  const Json format = {{"type", {"object", "null"}},
                       {"properties",
                        {{"type", words({"text", "json_object", "json_schema"})},
                         {"name", {{"type", {"string", "null"}}}},
                         {"schema", schema},
                         {"strict", {{"type", {"boolean", "null"}}}}}},
                       {"required", {"type"}}};
  Json verbosity = verbosity_schema();
  verbosity["enum"].push_back(nullptr);
  return {{"type", "object"}, {"properties", {{"format", format}, {"verbosity", verbosity}}}};
}

Status read_response_tools(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_array()) return expected_at(place, "a list of functions", value);
  if (value.size() > kToolsMax) return field_error(place, "{}: expected at most {} entries, found {}", place, kToolsMax, value.size());
  Json functions = Json::array();
  for (std::size_t i = 0; i < value.size(); ++i) {
    Result<Json> function = function_of(fmt::format("{}[{}]", place, i), value[i]);
    if (!function) return forward_error(function);
    functions.push_back(std::move(*function));
  }
  spec.responses.tools = value;
  return read_tools(spec, place, functions, vocabulary_size);
}

Json response_tools_schema(std::int32_t) {
  const Json text_or_null = {{"type", {"string", "null"}}};
  const Json function = {{"type", "object"},
                         {"properties",
                          {{"type", {{"const", "function"}}},
                           {"name", {{"type", "string"}}},
                           {"description", text_or_null},
                           {"parameters", {{"type", {"object", "null"}}}},
                           {"strict", {{"type", {"boolean", "null"}}}}}},
                         {"required", {"type", "name"}}};
  return {{"type", "array"}, {"items", function}, {"maxItems", kToolsMax}};
}

Status read_response_tool_choice(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  spec.responses.tool_choice = value;
  if (!value.is_object()) return read_tool_choice(spec, place, value, vocabulary_size);
  const Json* type = find_member(value, "type");
  if (type == nullptr || *type != "function")
    return expected_at(place + ".type", "\"function\", the only kind of tool that is served", type == nullptr ? Json() : *type);
  const Json* name = find_member(value, "name");
  if (name == nullptr || !name->is_string()) return expected_at(place + ".name", "a string", name == nullptr ? Json() : *name);
  spec.chat.tool_choice = {ToolChoice::Mode::named, name->get<std::string>()};
  return {};
}

Json response_tool_choice_schema(std::int32_t) {
  const Json named = {{"type", "object"},
                      {"properties", {{"type", {{"const", "function"}}}, {"name", {{"type", "string"}}}}},
                      {"required", {"type", "name"}}};
  return {{"anyOf", Json::array({words({"none", "auto", "required"}), named})}};
}

Status read_response_reasoning(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  for (const char* name : {"summary", "generate_summary"}) {
    const Json* summary = find_member(value, name);
    if (summary == nullptr) continue;
    if (Status known = check_word(fmt::format("{}.{}", place, name), *summary, summary_schema()); !known) return known;
  }
  const Json* effort = find_member(value, "effort");
  if (effort == nullptr) return {};
  if (Status read = read_reasoning_effort(spec, place + ".effort", *effort, vocabulary_size); !read) return read;
  spec.responses.reasoning_effort = spec.chat.reasoning_effort;
  return {};
}

Json response_reasoning_schema(std::int32_t vocabulary_size) {
  Json effort = reasoning_effort_schema(vocabulary_size), summary = summary_schema();
  for (Json* schema : {&effort, &summary}) (*schema)["enum"].push_back(nullptr);
  return {{"type", "object"}, {"properties", {{"effort", effort}, {"summary", summary}, {"generate_summary", summary}}}};
}

Status read_response_include(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_array()) return expected_at(place, "a list of strings", value);
  const Json entry = response_include_schema(vocabulary_size)["items"];
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (Status known = check_word(fmt::format("{}[{}]", place, i), value[i], entry); !known) return known;
    if (value[i] == kLogprobsInclude) spec.output.wants_logprobs = true;
  }
  return {};
}

Json response_include_schema(std::int32_t) {
  return {{"type", "array"},
          {"items", words({kLogprobsInclude, "reasoning.encrypted_content", "file_search_call.results", "web_search_call.results",
                           "web_search_call.action.sources", "message.input_image.image_url", "computer_call_output.output.image_url",
                           "code_interpreter_call.outputs"})}};
}

Status read_truncation(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (Status known = check_word(place, value, truncation_schema(vocabulary_size)); !known) return known;
  if (value == "auto") spec.prompt.truncate_tokens = -1;
  return {};
}

Json truncation_schema(std::int32_t) { return words({"disabled", "auto"}); }

Status read_metadata(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_object()) return expected_at(place, "an object of strings", value);
  if (value.size() > kMetadataMax) return field_error(place, "{}: expected at most {} labels, found {}", place, kMetadataMax, value.size());
  for (const auto& [key, label] : value.items()) {
    if (key.size() > kMetadataKeyBytesMax)
      return field_error(place, "{}: expected keys of at most {} bytes, found {}", place, kMetadataKeyBytesMax, key.size());
    if (!label.is_string() || label.get_ref<const std::string&>().size() > kMetadataValueBytesMax)
      return expected_at(place, fmt::format("strings of at most {} bytes", kMetadataValueBytesMax), label);
  }
  spec.responses.metadata = value;
  return {};
}

Json metadata_schema(std::int32_t) {
  return {{"type", "object"},
          {"propertyNames", {{"maxLength", kMetadataKeyBytesMax}}},
          {"maxProperties", kMetadataMax},
          {"additionalProperties", {{"type", "string"}, {"maxLength", kMetadataValueBytesMax}}}};
}

Status read_response_stream_options(RequestSpec&, const std::string& place, const Json& value, std::int32_t) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  const Json* obfuscation = find_member(value, "include_obfuscation");
  if (obfuscation != nullptr && !obfuscation->is_boolean())
    return expected_at(place + ".include_obfuscation", "true or false", *obfuscation);
  return {};
}

Json response_stream_options_schema(std::int32_t) {
  return {{"type", "object"}, {"properties", {{"include_obfuscation", {{"type", {"boolean", "null"}}}}}}};
}

Status refuse_stored(RequestSpec&, const std::string& place, const Json&, std::int32_t) {
  return field_error(place, "{}: this server stores no responses; send the whole conversation as input", place);
}

Json stored_schema(std::int32_t) { return {{"enum", Json::array()}}; }

void complete_response(RequestSpec& spec) {
  if (spec.output.top_logprobs.value_or(0) > 0) spec.output.wants_logprobs = true;
  if (!spec.responses.instructions) return;
  Json& messages = spec.chat.messages;
  messages.insert(messages.begin(), Json{{"role", "system"}, {"content", *spec.responses.instructions}});
}

}  // namespace slora
