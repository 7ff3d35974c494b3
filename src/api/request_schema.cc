#include "api/request_schema.h"

#include <nlohmann/json.hpp>
#include <type_traits>

#include "api/request_table.h"

namespace slora {
namespace {

// The initial value of a target as its default in the schema; null where there is none.
template <class Target>
Json default_of(const Target& target) {
  RequestSpec spec;
  const auto held = [&spec](auto member_of) -> Json {
    if constexpr (!std::is_same_v<decltype(member_of), std::monostate>) {
      const auto& value = member_of(spec);
      if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) return value;
    }
    return nullptr;
  };
  return std::visit(held, target);
}

Json schema_of_fields(FieldSet set, std::string_view needed, std::int32_t vocabulary_size);

// The schema of one field's values except null; a visitor over its kinds.
struct SchemaOf {
  std::int32_t vocabulary_size;

  Json operator()(const IntegerField& field) const { return {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}}; }
  Json operator()(const NumberField& field) const { return {{"type", "number"}, {"minimum", field.min}, {"maximum", field.max}}; }
  Json operator()(const FlagField&) const { return {{"type", "boolean"}}; }
  Json operator()(const TextField& field) const { return {{"type", "string"}, {"maxLength", field.bytes_max}}; }
  Json operator()(const FixedField& field) const { return {{"enum", Json::parse(field.accepted)}}; }
  Json operator()(const FormField& field) const { return field.schema(vocabulary_size); }
  Json operator()(const ModelField& field) const { return field.schema(); }
  Json operator()(const ObjectField& field) const { return schema_of_fields(field.members, "", vocabulary_size); }
};

Json default_of_field(const Field& field) {
  return std::visit(
      [](const auto& kind) -> Json {
        if constexpr (requires { kind.target; }) return default_of(kind.target);
        return nullptr;
      },
      field.kind);
}

Json or_null(Json schema) {
  if (schema.contains("enum")) {
    schema["enum"].push_back(nullptr);
  } else if (schema.contains("anyOf")) {
    schema["anyOf"].push_back({{"type", "null"}});
  } else {
    schema["type"] = Json::array({schema["type"], "null"});
  }
  return schema;
}

// Of an object with these fields; `needed` is the one that must be there, or empty.
Json schema_of_fields(FieldSet set, std::string_view needed, std::int32_t vocabulary_size) {
  Json properties = Json::object();
  for (const Field& field : request_fields()) {
    if ((field.sets & set) == 0) continue;
    Json schema = std::visit(SchemaOf{vocabulary_size}, field.kind);
    if (field.name != needed) schema = or_null(std::move(schema));
    schema["description"] = field.description;
    if (const Json by_default = default_of_field(field); !by_default.is_null()) schema["default"] = by_default;
    properties[field.name] = std::move(schema);
  }
  Json object = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!needed.empty()) object["required"] = Json::array({needed});
  return object;
}

}  // namespace

Json request_schema(Endpoint endpoint, std::int32_t vocabulary_size) {
  // SGLang takes token ids instead, and scores text_2.
  const std::string_view needed = endpoint == Endpoint::sglang || endpoint == Endpoint::score ? "" : words_of(endpoint).prompt;
  Json schema = schema_of_fields(field_set_of(endpoint), needed, vocabulary_size);
  schema["description"] = "Null is the same as absent. Fields that are not listed are ignored.";
  return schema;
}

}  // namespace slora
