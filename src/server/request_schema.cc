#include "server/request_schema.h"

#include <nlohmann/json.hpp>
#include <type_traits>

#include "server/request_table.h"

namespace slora {
namespace {

// What a member holds before a request says anything; null where nothing is held.
template <class Member>
Json default_of(const Member& member) {
  const RequestSpec spec;
  const auto held = [&spec](auto target) -> Json {
    if constexpr (std::is_same_v<decltype(target), std::monostate>) {
      return nullptr;
    } else {
      using Held = std::remove_cvref_t<decltype(spec.*target)>;
      if constexpr (std::is_arithmetic_v<Held>) return spec.*target;
      return nullptr;
    }
  };
  return std::visit(held, member);
}

// The schema of one field's values but null; a visitor over what it may be.
struct SchemaOf {
  std::int32_t vocabulary_size;

  Json operator()(const IntegerField& field) const { return {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}}; }
  Json operator()(const NumberField& field) const { return {{"type", "number"}, {"minimum", field.min}, {"maximum", field.max}}; }
  Json operator()(const FlagField&) const { return {{"type", "boolean"}}; }
  Json operator()(const TextField&) const { return {{"type", "string"}}; }
  Json operator()(const FixedField& field) const { return {{"enum", Json::parse(field.accepted)}}; }
  Json operator()(const FormField& field) const { return field.schema(vocabulary_size); }
};

Json default_of_field(const Field& field) {
  return std::visit(
      [](const auto& kind) -> Json {
        if constexpr (requires { kind.member; }) return default_of(kind.member);
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

}  // namespace

Json request_schema(Endpoint endpoint, std::int32_t vocabulary_size) {
  const std::string_view needed = endpoint == Endpoint::chat ? "messages" : "prompt";
  Json properties = Json::object();
  for (const Field& field : request_fields()) {
    if ((field.sets & field_set_of(endpoint)) == 0) continue;
    Json schema = std::visit(SchemaOf{vocabulary_size}, field.kind);
    if (field.name != needed) schema = or_null(std::move(schema));
    schema["description"] = field.description;
    if (const Json by_default = default_of_field(field); !by_default.is_null()) schema["default"] = by_default;
    properties[field.name] = std::move(schema);
  }
  return {{"type", "object"},
          {"description", "Null is the same as absent. Fields that are not listed are ignored."},
          {"properties", std::move(properties)},
          {"required", Json::array({needed})}};
}

}  // namespace slora
