#include "http/small_body.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "api/api_error.h"

namespace slora {
namespace {

constexpr std::string_view kNotEmpty = "a string that is not empty";

bool is_token_id(const Json& value, std::int32_t vocabulary_size) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() < static_cast<std::uint64_t>(vocabulary_size);
}

Status check_token_ids(const std::string& name, const Json& value, std::int32_t vocabulary_size) {
  if (!value.is_array()) return expected_at(name, "a list of token ids", value);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (is_token_id(value[i], vocabulary_size)) continue;
    return expected_at(fmt::format("{}[{}]", name, i), fmt::format("a token id from 0 to {}", vocabulary_size - 1), value[i]);
  }
  return {};
}

Status check_small_field(const SmallField& field, const Json& value, std::int32_t vocabulary_size) {
  const std::string name(field.name);
  const bool is_text = value.is_string() && !value.get_ref<const std::string&>().empty();
  switch (field.form) {
    case FieldForm::text:
      return is_text ? Status{} : expected_at(name, kNotEmpty, value);
    case FieldForm::flag:
      return value.is_boolean() ? Status{} : expected_at(name, "true or false", value);
    case FieldForm::integer:
      return value.is_number_integer() ? Status{} : expected_at(name, "an integer", value);
    case FieldForm::token_ids:
      return check_token_ids(name, value, vocabulary_size);
  }
  return {};
}

Json schema_of(FieldForm form, std::int32_t vocabulary_size) {
  switch (form) {
    case FieldForm::text:
      return {{"type", Json::array({"string"})}, {"minLength", 1}};
    case FieldForm::flag:
      return {{"type", Json::array({"boolean"})}};
    case FieldForm::integer:
      return {{"type", Json::array({"integer"})}};
    case FieldForm::token_ids:
      return {{"type", Json::array({"array"})}, {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", vocabulary_size - 1}}}};
  }
  return {};
}

}  // namespace

Result<Json> parse_small_body(std::span<const SmallField> fields, std::string_view body, std::int32_t vocabulary_size) {
  const Result<Json> json = parse_json(body);
  if (!json) return error("invalid_request_error", "The body is not the JSON that this path expects: {}", json.error().message);
  if (!json->is_object()) return error("invalid_request_error", "The body: expected a JSON object, found {}", type_name(*json));
  Json known = Json::object();
  for (const SmallField& field : fields) {
    const Json* value = find_member(*json, field.name);
    if (value == nullptr) {
      if (field.need == FieldNeed::needed) return field_error(std::string(field.name), "{}: this field is needed", field.name);
      continue;
    }
    if (Status fits = check_small_field(field, *value, vocabulary_size); !fits) return forward_error(fits);
    known[std::string(field.name)] = *value;
  }
  return known;
}

Json small_body_schema(std::span<const SmallField> fields, std::int32_t vocabulary_size) {
  Json properties = Json::object(), needed = Json::array();
  for (const SmallField& field : fields) {
    Json schema = schema_of(field.form, vocabulary_size);
    if (field.need == FieldNeed::needed) {
      needed.push_back(field.name);
    } else {
      schema["type"].push_back("null");
    }
    schema["description"] = field.description;
    properties[std::string(field.name)] = std::move(schema);
  }
  return {{"type", "object"},
          {"description", "Fields that are not listed are ignored."},
          {"properties", std::move(properties)},
          {"required", std::move(needed)}};
}

}  // namespace slora
