#include <nlohmann/json.hpp>

#include "api/conversation_fields.h"
#include "api/model_fields.h"
#include "api/request_fields.h"

namespace slora {
namespace {

Json token_id(std::int32_t vocabulary_size) { return {{"type", "integer"}, {"minimum", 0}, {"maximum", vocabulary_size - 1}}; }

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

// A list with at most as many entries as there may be prompts.
Json some_of(Json items) {
  Json schema = list_of(std::move(items));
  schema["minItems"] = 1;
  schema["maxItems"] = kPromptsMax;
  return schema;
}

// A member that may be null.
Json optional(Json schema) { return {{"anyOf", Json::array({std::move(schema), Json{{"type", "null"}}})}}; }

Json object(Json properties, const std::vector<std::string>& required) {
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

Json text() { return {{"type", "string"}}; }

Json function_type() { return {{"enum", Json::array({"function", nullptr})}}; }

Json tool_call() {
  const Json function = object(
      {{"name", text()}, {"arguments", {{"type", {"string", "object", "null"}}, {"description", "The object as JSON text, or itself."}}}},
      {"name"});
  return object({{"id", optional(text())}, {"type", function_type()}, {"function", function}}, {"function"});
}

Json tool_calls() {
  Json schema = list_of(tool_call());
  schema["maxItems"] = kToolsMax;
  return schema;
}

Json content() {
  const Json part = object({{"type", {{"const", "text"}}}, {"text", text()}}, {"type", "text"});
  return {{"anyOf", Json::array({text(), list_of(part)})}};
}

}  // namespace

Json texts_schema(std::int32_t) { return {{"anyOf", Json::array({text(), some_of(text())})}}; }

Json input_ids_schema(std::int32_t vocabulary_size) {
  Json ids = list_of(token_id(vocabulary_size));
  ids["minItems"] = 1;
  return {{"anyOf", Json::array({ids, some_of(ids)})}};
}

Json prompt_schema(std::int32_t vocabulary_size) {
  Json schema = texts_schema(vocabulary_size);
  const Json ids = input_ids_schema(vocabulary_size);
  for (const Json& form : ids["anyOf"]) schema["anyOf"].push_back(form);
  return schema;
}

Json input_schema(std::int32_t) { return text(); }

Json model_schema() {
  Json one = list_of(text());
  one["maxItems"] = 1;
  return {{"anyOf", Json::array({Json{{"type", "string"}, {"maxLength", kAdapterNameBytesMax}}, std::move(one)})}};
}

Json adapter_schema() {
  const Json name = {{"type", "string"}, {"maxLength", kAdapterNameBytesMax}}, named = {{"type", "object"}};
  return {{"anyOf", Json::array({name, named, list_of({{"anyOf", Json::array({name, named, Json{{"type", "null"}}})}})})}};
}

Json unserved_adapter_schema() { return {{"enum", Json::array()}}; }

Json logit_bias_schema(std::int32_t) {
  return {{"type", "object"},
          {"propertyNames", {{"pattern", "^[0-9]+$"}}},
          {"maxProperties", kLogitBiasMax},
          {"additionalProperties", {{"type", "number"}, {"minimum", -kLogitBiasSizeMax}, {"maximum", kLogitBiasSizeMax}}}};
}

Json stop_schema(std::int32_t) {
  Json one = {{"type", "string"}, {"minLength", 1}, {"maxLength", kStopBytesMax}};
  Json alone = one;
  alone.erase("minLength");  // an empty string counts as absent
  Json list = list_of(std::move(one));
  list["maxItems"] = kStopsMax;
  return {{"anyOf", Json::array({std::move(alone), std::move(list)})}};
}

Json stop_token_ids_schema(std::int32_t vocabulary_size) {
  Json schema = list_of(token_id(vocabulary_size));
  schema["maxItems"] = kStopTokensMax;
  return schema;
}

Json truncation_side_schema(std::int32_t) { return {{"enum", {"left", "right"}}}; }

Json stream_options_schema(std::int32_t) {
  const Json flag = {{"type", {"boolean", "null"}}};
  return object({{"include_usage", flag}, {"continuous_usage_stats", flag}}, {});
}

Json messages_schema(std::int32_t) {
  const Json role = {{"type", "string"}, {"minLength", 1}};
  const Json more = {{"name", optional(text())},      {"tool_call_id", optional(text())},
                     {"reasoning", optional(text())}, {"reasoning_content", optional(text())},
                     {"thinking", optional(text())},  {"function_call", {{"type", "null"}}},
                     {"audio", {{"type", "null"}}},   {"tool_calls", optional(tool_calls())}};
  Json spoken = more;
  spoken.update({{"role", {{"const", "assistant"}}}, {"content", optional(content())}});
  Json other = more;
  other.update({{"role", role}, {"content", content()}});
  Json schema = list_of({{"anyOf", Json::array({object(std::move(other), {"role", "content"}), object(std::move(spoken), {"role"})})}});
  schema["minItems"] = 1;
  schema["maxItems"] = kMessagesMax;
  return schema;
}

Json tools_schema(std::int32_t) {
  const Json function = object({{"name", text()},
                                {"description", optional(text())},
                                {"strict", {{"type", {"boolean", "null"}}}},
                                {"parameters", {{"type", {"object", "null"}}}}},
                               {"name"});
  Json schema = list_of(object({{"type", function_type()}, {"function", function}}, {"function"}));
  schema["maxItems"] = kToolsMax;
  return schema;
}

Json tool_choice_schema(std::int32_t) {
  const Json named = object({{"type", {{"const", "function"}}}, {"function", object({{"name", text()}}, {"name"})}}, {"type", "function"});
  return {{"anyOf", Json::array({Json{{"enum", {"none", "auto", "required"}}}, named})}};
}

Json documents_schema(std::int32_t) {
  Json schema = list_of({{"type", "object"}});
  schema["maxItems"] = kDocumentsMax;
  return schema;
}

Json chat_template_kwargs_schema(std::int32_t) { return {{"type", "object"}}; }

Json reasoning_effort_schema(std::int32_t) { return {{"enum", {"none", "minimal", "low", "medium", "high", "xhigh", "max"}}}; }

}  // namespace slora
