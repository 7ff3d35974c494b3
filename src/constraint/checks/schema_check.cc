#include "constraint/checks/schema_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "constraint/checks/format_patterns.h"
#include "constraint/checks/optional_groups.h"
#include "constraint/checks/regex_check.h"
#include "constraint/checks/schema_links.h"

namespace slora {
namespace {

using Names = std::vector<std::string_view>;

const Names kAnnotations = {"title",     "description",     "default",         "examples", "example",       "deprecated", "readOnly",
                            "writeOnly", "$comment",        "$schema",         "$id",      "discriminator", "$anchor",    "strict",
                            "enumNames", "contentEncoding", "contentMediaType"};
const Names kDefinitions = {"$defs", "definitions"};
const Names kTypes = {"string", "integer", "number", "boolean", "null", "array", "object"};
const Names kStringKeys = {"minLength", "maxLength", "pattern", "format"};
const Names kNumberKeys = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"};
const Names kArrayKeys = {"items", "prefixItems", "minItems", "maxItems"};
const Names kObjectKeys = {"properties",    "required",          "additionalProperties", "minProperties",
                           "maxProperties", "patternProperties", "propertyNames"};

bool is_one_of(std::string_view name, const Names& names) { return std::ranges::find(names, name) != names.end(); }

std::string_view json_type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_string()) return "string";
  if (value.is_array()) return "array";
  if (value.is_object()) return "object";
  return value.is_number_integer() ? "integer" : "number";
}

// One step of a JSON pointer.
std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

std::string below(const std::string& place, std::string_view name) { return place + "/" + escaped(name); }

tl::unexpected<Error> unsupported(const std::string& place, std::string_view keyword, std::string_view why) {
  return error("unsupported_constraint", "The schema at {}: the keyword \"{}\" is not served {}", place, keyword, why);
}

tl::unexpected<Error> wrong(const std::string& place, std::string_view expected, const Json& found) {
  return error("bad_constraint", "The schema at {}: expected {}, found {}", place, expected, shown(found));
}

// A count that may be absent.
Result<std::int64_t> count_at(const Json& schema, const char* key, std::int64_t if_absent, const std::string& place) {
  const auto found = schema.find(key);
  if (found == schema.end()) return if_absent;
  const double number = found->is_number() ? found->get<double>() : -1;
  if (number < 0 || number > 1e9 || number != std::floor(number)) return wrong(below(place, key), "a count", *found);
  const auto count = found->get<std::int64_t>();
  if (count > kCountMax) {
    return error("unsupported_constraint", "The schema at {}: expected a count of at most {}, found {}", below(place, key), kCountMax,
                 count);
  }
  return count;
}

// Of the places of all schemas and values in a schema together: each has the names above it in its own.
constexpr std::size_t kPlaceBytesMax = std::size_t{16} << 20;

// Walks one schema and rewrites it. One thread; used once.
class SchemaWalker {
 public:
  explicit SchemaWalker(OtherProperties other_properties) : other_properties_(other_properties) {}

  Result<Json> walk_root(Json schema) {
    if (Status walked = walk(schema, "#"); !walked) return forward_error(walked);
    if (Status linked = links_.check(); !linked) return forward_error(linked);
    return schema;
  }

 private:
  Status count(const std::string& place) {
    place_bytes_ += place.size();
    if (place_bytes_ <= kPlaceBytesMax) return {};
    return error("unsupported_constraint", "The schema has too many parts below long names");
  }

  Status walk(Json& schema, const std::string& place) {
    if (Status counted = count(place); !counted) return counted;
    links_.add_schema(place);
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) return error("unsupported_constraint", "The schema at {}: false allows nothing", place);
      schema = Json::object();
      return {};
    }
    if (!schema.is_object()) return wrong(place, "an object", schema);
    for (const std::string_view key : kAnnotations) schema.erase(std::string(key));
    for (const std::string_view key : kDefinitions) {
      if (Status walked = walk_map(schema, key, place); !walked) return walked;
    }
    for (const char* key : {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"}) {
      if (schema.contains(key)) return walk_whole(schema, key, place);
    }
    return walk_typed(schema, place);
  }

  // A map from names to schemas.
  Status walk_map(Json& schema, std::string_view key, const std::string& place) {
    const auto found = schema.find(std::string(key));
    if (found == schema.end()) return {};
    if (!found->is_object()) return wrong(below(place, key), "an object of schemas", *found);
    for (auto& [name, member] : found->items()) {
      if (Status walked = walk(member, below(below(place, key), name)); !walked) return walked;
    }
    return {};
  }

  // Refuses what stands next to the keywords that decide.
  Status check_alone(const Json& schema, const Names& allowed, std::string_view decisive, const std::string& place) const {
    for (const auto& [key, value] : schema.items()) {
      if (is_one_of(key, allowed) || is_one_of(key, kDefinitions)) continue;
      const bool is_known = is_one_of(key, kStringKeys) || is_one_of(key, kNumberKeys) || is_one_of(key, kArrayKeys) ||
                            is_one_of(key, kObjectKeys) || key == "type" || key == "anyOf" || key == "oneOf" || key == "allOf" ||
                            key == "enum" || key == "const";
      if (is_known && !decisive.empty()) return unsupported(place, key, fmt::format("next to {}", decisive));
      if (is_known) return unsupported(place, key, "without its \"type\"");
      return unsupported(place, key, "(nor are others that restrict values and are not in the list of docs/structured_output.md)");
    }
    return {};
  }

  // Schemas of which one keyword says all.
  Status walk_whole(Json& schema, const std::string& key, const std::string& place) {
    const bool is_value = key == "const" || key == "enum";
    Names allowed = {key};
    if (is_value) allowed.push_back("type");
    if (Status alone = check_alone(schema, allowed, fmt::format("\"{}\"", key), place); !alone) return alone;
    Json& value = schema[key];
    if (key == "$ref") {
      if (!value.is_string()) return wrong(below(place, key), "a string", value);
      links_.add_reference(place, value.get<std::string>());
      return {};
    }
    if (key == "const") return check_value(schema, value, below(place, key), place);
    if (!value.is_array() || value.empty()) return wrong(below(place, key), "a list of at least one", value);
    if (key == "allOf" && value.size() != 1) return unsupported(place, key, "with more than one schema");
    for (std::size_t i = 0; i < value.size(); ++i) {
      const std::string item = fmt::format("{}/{}/{}", place, key, i);
      if (is_value) {
        if (Status counted = count(item); !counted) return counted;
        if (Status fits = check_value(schema, value[i], item, place); !fits) return fits;
        continue;
      }
      links_.add_alternative(place, item);
      if (Status walked = walk(value[i], item); !walked) return walked;
    }
    return {};
  }

  // A value of const or enum: of a type that is allowed, and one that is written and read as the same.
  Status check_value(const Json& schema, const Json& value, const std::string& value_place, const std::string& place) const {
    const bool is_exact =
        !value.is_number_unsigned() || value.get<std::uint64_t>() <= std::uint64_t(std::numeric_limits<std::int64_t>::max());
    if (!is_exact) return wrong(value_place, "an integer of at most 63 bits", value);
    const Result<Names> types = types_of(schema, place);
    if (!types) return tl::unexpected<Error>(types.error());
    const std::string_view type = json_type_of(value);
    if (types->empty() || is_one_of(type, *types) || (type == "integer" && is_one_of("number", *types))) return {};
    return wrong(value_place, "a value of the schema's type", value);
  }

  // Empty: the schema names none.
  Result<Names> types_of(const Json& schema, const std::string& place) const {
    const auto found = schema.find("type");
    if (found == schema.end()) return Names();
    Names types;
    const auto add = [&](const Json& name) {
      const auto known = name.is_string() ? std::ranges::find(kTypes, name.get_ref<const std::string&>()) : kTypes.end();
      if (known != kTypes.end()) types.push_back(*known);
      return known != kTypes.end();
    };
    const bool is_list = found->is_array() && !found->empty();
    const bool are_known = is_list ? std::ranges::all_of(*found, add) : add(*found);
    if (!are_known) return wrong(below(place, "type"), "a type or a list of types", *found);
    return types;
  }

  Status walk_typed(Json& schema, const std::string& place) {
    Result<Names> types = types_of(schema, place);
    if (!types) return forward_error(types);
    if (types->empty()) {
      const auto has_any = [&](const Names& keys) {
        return std::ranges::any_of(keys, [&](auto key) { return schema.contains(std::string(key)); });
      };
      if (has_any({"properties", "additionalProperties"}))
        types->push_back("object");
      else if (has_any({"items", "prefixItems"}))
        types->push_back("array");
      if (!types->empty()) schema["type"] = types->front();
    }
    Names allowed = {"type"};
    const auto allow = [&](const Names& keys) { allowed.insert(allowed.end(), keys.begin(), keys.end()); };
    if (is_one_of("string", *types)) allow(kStringKeys);
    if (is_one_of("integer", *types) || is_one_of("number", *types)) allow(kNumberKeys);
    if (is_one_of("array", *types)) allow(kArrayKeys);
    if (is_one_of("object", *types)) allow(kObjectKeys);
    const std::string decisive = types->empty() ? "" : fmt::format("\"type\": \"{}\"", fmt::join(*types, "\" or \""));
    if (Status alone = check_alone(schema, allowed, decisive, place); !alone) return alone;
    if (is_one_of("string", *types)) {
      if (Status walked = walk_string(schema, place); !walked) return walked;
    }
    if (is_one_of("integer", *types) || is_one_of("number", *types)) {
      if (Status walked = walk_number(schema, *types, place); !walked) return walked;
    }
    if (is_one_of("array", *types)) {
      if (Status walked = walk_array(schema, place); !walked) return walked;
    }
    return is_one_of("object", *types) ? walk_object(schema, place) : Status{};
  }

  Status walk_string(Json& schema, const std::string& place) const {
    const bool has_length = schema.contains("minLength") || schema.contains("maxLength");
    if (schema.contains("pattern") && (has_length || schema.contains("format")))
      return unsupported(place, "pattern", "together with minLength, maxLength or format");
    if (schema.contains("format") && has_length) return unsupported(place, "format", "together with minLength or maxLength");
    if (schema.contains("format")) {
      const Json& format = schema["format"];
      if (!format.is_string() || std::ranges::find(known_formats(), format.get_ref<const std::string&>()) == known_formats().end())
        return error("unsupported_constraint", "The schema at {}: expected one of {}, found {}", below(place, "format"),
                     fmt::join(known_formats(), ", "), shown(format));
      if (std::string pattern = pattern_of_format(format.get_ref<const std::string&>()); !pattern.empty()) {
        schema.erase("format");
        schema["pattern"] = std::move(pattern);
      }
    }
    if (schema.contains("pattern")) {
      Json& pattern = schema["pattern"];
      if (!pattern.is_string()) return wrong(below(place, "pattern"), "a string", pattern);
      const auto& regex = pattern.get_ref<const std::string&>();
      if (Status served = check_regex(regex, RegexUse::json_string, "The schema at " + below(place, "pattern")); !served) return served;
      pattern = without_optional_groups(regex);
      return {};
    }
    if (!has_length) return {};
    const Result<std::int64_t> least = count_at(schema, "minLength", 0, place);
    if (!least) return tl::unexpected<Error>(least.error());
    const Result<std::int64_t> most = count_at(schema, "maxLength", -1, place);
    if (!most) return tl::unexpected<Error>(most.error());
    if (*most >= 0 && *most < *least) return wrong(below(place, "maxLength"), "at least minLength", schema["maxLength"]);
    schema.erase("minLength");
    schema.erase("maxLength");
    // The library's own lengths count control characters, which JSON strings do not have.
    if (*most == 0) {
      if (schema["type"].is_array()) return unsupported(place, "maxLength", "as 0 where other types are allowed too");
      schema = {{"const", ""}};
    } else {
      schema["pattern"] = *most < 0 ? fmt::format("^.{{{},}}$", *least) : fmt::format("^.{{{},{}}}$", *least, *most);
    }
    return {};
  }

  static Status walk_number(Json& schema, const Names& types, const std::string& place) {
    const bool is_integer = !is_one_of("number", types);
    for (const std::string_view key : kNumberKeys) {
      const auto found = schema.find(std::string(key));
      if (found == schema.end()) continue;
      if (!found->is_number()) return wrong(below(place, key), "a number", *found);
      if (key == "multipleOf" && !is_integer) return unsupported(place, key, "for numbers that are no integers");
      constexpr double exact_max = 1e15;
      if (std::abs(found->get<double>()) > exact_max) return wrong(below(place, key), "a number of at most 15 digits", *found);
      if (is_integer && found->get<double>() != std::round(found->get<double>())) return wrong(below(place, key), "an integer", *found);
      // Bounds of numbers are compared digit by digit, to six of them after the point.
      const std::string digits = found->dump();
      const std::size_t point = std::min(digits.find('.'), digits.size());
      if (digits.size() - point > 7 || digits.find("e-") != std::string::npos)
        return wrong(below(place, key), "a number of at most six digits after the point", *found);
    }
    return {};
  }

  Status walk_array(Json& schema, const std::string& place) {
    for (const char* key : {"minItems", "maxItems"}) {
      if (const Result<std::int64_t> count = count_at(schema, key, 0, place); !count) return tl::unexpected<Error>(count.error());
    }
    if (const auto prefix = schema.find("prefixItems"); prefix != schema.end()) {
      if (!prefix->is_array() || prefix->empty()) return wrong(below(place, "prefixItems"), "a list of schemas", *prefix);
      for (std::size_t i = 0; i < prefix->size(); ++i) {
        if (Status walked = walk((*prefix)[i], fmt::format("{}/prefixItems/{}", place, i)); !walked) return walked;
      }
    }
    if (!schema.contains("items")) schema["items"] = Json::object();
    Json& items = schema["items"];
    if (items.is_boolean() && !items.get<bool>()) return {};
    if (items.is_array()) return unsupported(place, "items", "as a list; use prefixItems");
    return walk(items, below(place, "items"));
  }

  Status walk_object(Json& schema, const std::string& place) {
    for (const char* key : {"properties", "patternProperties"}) {
      if (Status walked = walk_map(schema, key, place); !walked) return walked;
    }
    if (!schema.contains("additionalProperties"))
      schema["additionalProperties"] = other_properties_ == OtherProperties::none ? Json(false) : Json::object();
    Json& additional = schema["additionalProperties"];
    const bool is_closed = additional.is_boolean() && !additional.get<bool>();
    if (!is_closed) {
      if (Status walked = walk(additional, below(place, "additionalProperties")); !walked) return walked;
    }
    if (Status required = check_required(schema, place); !required) return required;
    return check_names(schema, place, is_closed);
  }

  static Status check_required(const Json& schema, const std::string& place) {
    const auto required = schema.find("required");
    if (required == schema.end()) return {};
    if (!required->is_array()) return wrong(below(place, "required"), "a list of names", *required);
    const auto properties = schema.find("properties");
    for (const Json& name : *required) {
      if (!name.is_string()) return wrong(below(place, "required"), "a list of names", *required);
      if (properties == schema.end() || !properties->contains(name.get_ref<const std::string&>()))
        return error("unsupported_constraint", "The schema at {}: expected names of \"properties\", found {}", below(place, "required"),
                     shown(name));
    }
    return {};
  }

  // What restricts the names of properties, or how many there are: served where a name can't be under two rules.
  Status check_names(Json& schema, const std::string& place, bool is_closed) {
    const bool has_properties = schema.contains("properties") && !schema["properties"].empty();
    if (schema.contains("patternProperties")) {
      if (has_properties || schema["patternProperties"].size() != 1 || !is_closed)
        return unsupported(place, "patternProperties",
                           "except for one pattern, without \"properties\" and with \"additionalProperties\": false");
      const std::string pattern = schema["patternProperties"].begin().key();
      const std::string where = "The schema at " + below(place, "patternProperties");
      if (Status served = check_regex(pattern, RegexUse::json_string, where); !served) return served;
      Json value = std::move(schema["patternProperties"].front());
      schema["patternProperties"] = Json::object();
      schema["patternProperties"][without_optional_groups(pattern)] = std::move(value);
    }
    if (schema.contains("propertyNames")) {
      if (has_properties || is_closed)
        return unsupported(place, "propertyNames", "together with \"properties\" or without additionalProperties");
      Json& names = schema["propertyNames"];
      if (names.is_object() && !names.contains("type")) names["type"] = "string";
      if (Status walked = walk(names, below(place, "propertyNames")); !walked) return walked;
      if (names.value("type", Json()) != "string") return unsupported(place, "propertyNames", "except for strings");
    }
    const Result<std::int64_t> least = count_at(schema, "minProperties", 0, place);
    if (!least) return tl::unexpected<Error>(least.error());
    const Result<std::int64_t> most = count_at(schema, "maxProperties", 0, place);
    if (!most) return tl::unexpected<Error>(most.error());
    if (schema.contains("maxProperties") && has_properties) return unsupported(place, "maxProperties", "together with \"properties\"");
    // A name may come twice, which counts once.
    if (*least > 1 || (*least > 0 && has_properties)) return unsupported(place, "minProperties", "except as 1, without \"properties\"");
    return {};
  }

  const OtherProperties other_properties_;
  std::size_t place_bytes_ = 0;
  SchemaLinks links_;
};

}  // namespace

Result<Json> check_schema(const Json& schema, OtherProperties other_properties) { return SchemaWalker(other_properties).walk_root(schema); }

Result<Json> check_schema_text(std::string_view text, OtherProperties other_properties) {
  Result<Json> schema = parse_json(text, {.bytes_max = kFormBytesMax});
  if (!schema) return error("bad_constraint", "The schema: {}", schema.error().message);
  return check_schema(*schema, other_properties);
}

}  // namespace slora
