#include "api/constraint_fields.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/api_error.h"
#include "api/request_table.h"

namespace slora {
namespace {

constexpr const char* kAnyObject = R"({"type":"object"})";

Status set_form(RequestSpec& spec, const std::string& place, ConstraintKind kind, std::string text) {
  if (spec.constraint) {
    return field_error(place, "{}: expected one form of the answer, found another in {}", place,
                       spec.constraint_field == place ? "the same field" : spec.constraint_field);
  }
  spec.constraint = ConstraintSpec{.kind = kind, .text = std::move(text)};
  spec.constraint_field = place;
  return {};
}

// A form that may be written as JSON, or as text with JSON in it.
Status set_json_form(RequestSpec& spec, const std::string& place, ConstraintKind kind, const Json& value) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    return text.empty() ? Status{} : set_form(spec, place, kind, text);
  }
  const bool fits = value.is_object() || (kind == ConstraintKind::json_schema && value.is_boolean());
  return fits ? set_form(spec, place, kind, value.dump()) : Status(expected_at(place, "an object or its text", value));
}

Status set_text_form(RequestSpec& spec, const std::string& place, ConstraintKind kind, const Json& value) {
  if (!value.is_string()) return expected_at(place, "a string", value);
  const std::string& text = value.get_ref<const std::string&>();
  return text.empty() ? Status{} : set_form(spec, place, kind, text);
}

Json form_object(Json properties, const std::vector<std::string>& required) {
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

}  // namespace

Status read_response_format(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  const Json* type = value.is_object() ? find_member(value, "type") : nullptr;
  if (type == nullptr || !type->is_string()) return expected_at(place, "an object with a \"type\"", value);
  if (*type == "text") return {};
  if (*type == "json_object") {
    const Json* schema = find_member(value, "schema");
    if (schema != nullptr) return set_json_form(spec, place + ".schema", ConstraintKind::json_schema, *schema);
    return set_form(spec, place, ConstraintKind::json_schema, kAnyObject);
  }
  if (*type != "json_schema") return expected_at(place + ".type", R"("text", "json_object" or "json_schema")", *type);
  const Json* form = find_member(value, "json_schema");
  if (form == nullptr || !form->is_object()) return expected_at(place + ".json_schema", "an object", form == nullptr ? Json() : *form);
  const Json* schema = find_member(*form, "schema");
  if (schema == nullptr) return field_error(place + ".json_schema.schema", "{}.json_schema.schema: this field is needed", place);
  return set_json_form(spec, place + ".json_schema.schema", ConstraintKind::json_schema, *schema);
}

Json response_format_schema(std::int32_t) {
  const Json schema = {{"type", {"object", "boolean", "string"}}, {"description", "A JSON schema. strict or not, it is enforced."}};
  const Json named =
      form_object({{"name", {{"type", "string"}}}, {"schema", schema}, {"strict", {{"type", {"boolean", "null"}}}}}, {"schema"});
  return form_object({{"type", {{"enum", {"text", "json_object", "json_schema"}}}}, {"json_schema", named}, {"schema", schema}}, {"type"});
}

Status read_structured_outputs(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_object()) return expected_at(place, "an object", value);
  using Read = Status (*)(RequestSpec&, const std::string&, const Json&, std::int32_t);
  constexpr std::array<std::pair<std::string_view, Read>, 5> forms = {{{"json", read_schema_form},
                                                                       {"regex", read_regex_form},
                                                                       {"choice", read_choice_form},
                                                                       {"grammar", read_grammar_form},
                                                                       {"structural_tag", read_tag_form}}};
  bool any_whitespace = true, closes_objects = false;
  for (const auto& [key, member] : value.items()) {
    if (member.is_null()) continue;
    const std::string where = fmt::format("{}.{}", place, key);
    const auto form = std::ranges::find(forms, std::string_view(key), [](const auto& known) { return known.first; });
    if (form != forms.end()) {
      if (Status read = form->second(spec, where, member, vocabulary_size); !read) return read;
    } else if (key == "json_object" || key == "disable_any_whitespace" || key == "disable_additional_properties" ||
               key == "disable_fallback") {
      if (!member.is_boolean()) return expected_at(where, "true or false", member);
      if (key == "disable_any_whitespace") any_whitespace = !member.get<bool>();
      if (key == "disable_additional_properties") closes_objects = member.get<bool>();
      if (key != "json_object" || !member.get<bool>()) continue;
      if (Status set = set_form(spec, where, ConstraintKind::json_schema, kAnyObject); !set) return set;
    } else {
      return field_error(where, "{}: this field is not served, and would change the answer; leave it out", where);
    }
  }
  if (!spec.constraint || !spec.constraint_field.starts_with(place))
    return field_error(place, "{}: expected one of json, regex, choice, grammar, json_object and structural_tag, found none", place);
  spec.constraint->any_whitespace = any_whitespace;
  spec.constraint->disable_additional_properties = closes_objects;
  return {};
}

Json structured_outputs_schema(std::int32_t vocabulary_size) {
  const Json flag = {{"type", {"boolean", "null"}}};
  return form_object({{"json", schema_form_schema(vocabulary_size)},
                      {"regex", text_form_schema(vocabulary_size)},
                      {"choice", choice_form_schema(vocabulary_size)},
                      {"grammar", text_form_schema(vocabulary_size)},
                      {"json_object", flag},
                      {"structural_tag", schema_form_schema(vocabulary_size)},
                      {"disable_any_whitespace", flag},
                      {"disable_additional_properties", flag}},
                     {});
}

Status read_tgi_grammar(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  const Json* type = value.is_object() ? find_member(value, "type") : nullptr;
  const Json* form = value.is_object() ? find_member(value, "value") : nullptr;
  if (type == nullptr || form == nullptr) return expected_at(place, "an object with \"type\" and \"value\"", value);
  if (*type == "regex") return set_text_form(spec, place + ".value", ConstraintKind::regex, *form);
  if (*type == "json") return set_json_form(spec, place + ".value", ConstraintKind::json_schema, *form);
  if (*type != "json_schema") return expected_at(place + ".type", R"("json", "json_schema" or "regex")", *type);
  const Json* schema = form->is_object() ? find_member(*form, "schema") : nullptr;
  if (schema == nullptr) return expected_at(place + ".value", "an object with a \"schema\"", *form);
  return set_json_form(spec, place + ".value.schema", ConstraintKind::json_schema, *schema);
}

Json tgi_grammar_schema(std::int32_t) {
  return form_object({{"type", {{"enum", {"json", "json_schema", "regex"}}}}, {"value", {{"type", {"object", "string"}}}}},
                     {"type", "value"});
}

Status read_schema_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  return set_json_form(spec, place, ConstraintKind::json_schema, value);
}

Json schema_form_schema(std::int32_t) {
  return {{"anyOf", Json::array({Json{{"type", "object"}}, Json{{"type", "boolean"}}, Json{{"type", "string"}}})}};
}

Status read_regex_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  return set_text_form(spec, place, ConstraintKind::regex, value);
}

Status read_grammar_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  return set_text_form(spec, place, ConstraintKind::grammar, value);
}

Json text_form_schema(std::int32_t) { return {{"type", "string"}}; }

Status read_choice_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  const bool are_texts =
      value.is_array() && !value.empty() && std::ranges::all_of(value, [](const Json& choice) { return choice.is_string(); });
  if (!are_texts) return expected_at(place, "a list of at least one string", value);
  return set_form(spec, place, ConstraintKind::choice, value.dump());
}

Json choice_form_schema(std::int32_t) { return {{"type", "array"}, {"items", {{"type", "string"}}}, {"minItems", 1}}; }

Status read_tag_form(RequestSpec& spec, const std::string& place, const Json& value, std::int32_t) {
  return set_json_form(spec, place, ConstraintKind::structural_tag, value);
}

Status check_constraint_fields(const RequestSpec& spec) {
  if (!spec.constraint || !spec.output.ignore_eos) return {};
  const bool is_in_parameters = spec.endpoint == Endpoint::slora || spec.endpoint == Endpoint::tgi;
  const std::string field = spec.endpoint == Endpoint::sglang ? "sampling_params.ignore_eos"
                            : is_in_parameters                ? "parameters.ignore_eos"
                                                              : "ignore_eos";
  return field_error(field, "{}: expected false together with {}: an answer with a form ends where the form does, found true", field,
                     spec.constraint_field);
}

}  // namespace slora
