// Texts drawn at random from what forms allow, against a validator of JSON schemas that is written for this test alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "forms/demo_forms.h"

namespace slora {
namespace {

// Its characters, for expressions that count them.
std::wstring characters_of(const std::string& utf8) {
  std::wstring characters;
  for (const char byte : utf8) {
    const auto bits = static_cast<unsigned char>(byte);
    if ((bits & 0xc0) != 0x80) {
      characters += static_cast<wchar_t>(bits < 0x80 ? bits : bits < 0xe0 ? bits & 0x1f : bits < 0xf0 ? bits & 0x0f : bits & 0x07);
    } else {
      characters.back() = static_cast<wchar_t>(characters.back() << 6 | (bits & 0x3f));
    }
  }
  return characters;
}

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_search(characters_of(text), std::wregex(characters_of(pattern)));
}

// Whether a value follows a schema of the keywords below; others are an error.
class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  bool is_valid(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [key, rule] : schema.items()) {
      if (!follows(value, schema, key, rule)) return false;
    }
    return true;
  }

 private:
  static bool has_type(const Json& value, const Json& type) {
    if (type.is_array()) return std::ranges::any_of(type, [&](const Json& one) { return has_type(value, one); });
    if (type == "integer")
      return value.is_number_integer() || (value.is_number() && value.get<double>() == std::floor(value.get<double>()));
    if (type == "number") return value.is_number();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "array") return value.is_array();
    return type == "object" && value.is_object();
  }

  static std::size_t characters(const Json& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text.get_ref<const std::string&>(), [](char c) { return (c & 0xc0) != 0x80; }));
  }

  int count_valid(const Json& value, const Json& schemas) const {
    return static_cast<int>(std::ranges::count_if(schemas, [&](const Json& schema) { return is_valid(value, schema); }));
  }

  bool follows(const Json& value, const Json& schema, const std::string& key, const Json& rule) const {
    if (key == "type") return has_type(value, rule);
    if (key == "const") return value == rule;
    if (key == "enum") return std::ranges::find(rule, value) != rule.end();
    if (key == "$ref") return is_valid(value, rule == "#" ? root_ : root_.at(Json::json_pointer(rule.get<std::string>().substr(1))));
    if (key == "anyOf") return count_valid(value, rule) >= 1;
    if (key == "oneOf") return count_valid(value, rule) == 1;
    if (key == "allOf") return count_valid(value, rule) == static_cast<int>(rule.size());
    if (key == "minimum") return !value.is_number() || value.get<double>() >= rule.get<double>();
    if (key == "maximum") return !value.is_number() || value.get<double>() <= rule.get<double>();
    if (key == "exclusiveMinimum") return !value.is_number() || value.get<double>() > rule.get<double>();
    if (key == "exclusiveMaximum") return !value.is_number() || value.get<double>() < rule.get<double>();
    if (key == "multipleOf") {
      const double number = value.is_number() ? value.get<double>() : 0;
      return std::abs(number) > 9e15 || std::fmod(number, rule.get<double>()) == 0;  // larger ones are not exact here
    }
    if (key == "minLength") return !value.is_string() || characters(value) >= rule.get<std::size_t>();
    if (key == "maxLength") return !value.is_string() || characters(value) <= rule.get<std::size_t>();
    if (key == "pattern") return !value.is_string() || matches(value.get<std::string>(), rule.get<std::string>());
    if (key == "minItems") return !value.is_array() || value.size() >= rule.get<std::size_t>();
    if (key == "maxItems") return !value.is_array() || value.size() <= rule.get<std::size_t>();
    if (key == "prefixItems" || key == "items") return !value.is_array() || follows_items(value, schema);
    if (key == "maxProperties") return !value.is_object() || value.size() <= rule.get<std::size_t>();
    if (key == "minProperties") return !value.is_object() || value.size() >= rule.get<std::size_t>();
    if (key == "required")
      return !value.is_object() || std::ranges::all_of(rule, [&](const Json& name) { return value.contains(name.get<std::string>()); });
    if (key == "propertyNames") {
      return !value.is_object() ||
             std::ranges::all_of(value.items(), [&](const auto& member) { return is_valid(Json(member.key()), rule); });
    }
    if (key == "properties" || key == "additionalProperties" || key == "patternProperties")
      return !value.is_object() || follows_properties(value, schema);
    const std::set<std::string> annotations = {"title", "description", "default", "format", "$defs", "definitions", "$schema"};
    EXPECT_TRUE(annotations.contains(key)) << key;
    return true;
  }

  bool follows_items(const Json& value, const Json& schema) const {
    const Json prefix = schema.value("prefixItems", Json::array());
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!is_valid(value[i], i < prefix.size() ? prefix[i] : schema.value("items", Json(true)))) return false;
    }
    return true;
  }

  bool follows_properties(const Json& value, const Json& schema) const {
    const Json properties = schema.value("properties", Json::object()), patterns = schema.value("patternProperties", Json::object());
    for (const auto& [name, member] : value.items()) {
      bool is_named = properties.contains(name);
      if (is_named && !is_valid(member, properties[name])) return false;
      for (const auto& [pattern, rule] : patterns.items()) {
        if (!matches(name, pattern)) continue;
        is_named = true;
        if (!is_valid(member, rule)) return false;
      }
      if (!is_named && !is_valid(member, schema.value("additionalProperties", Json(true)))) return false;
    }
    return true;
  }

  const Json& root_;
};

// One text that the form allows, a token after the other, each as likely as the others; after a while only tokens that bring its end
// nearer.
std::optional<std::string> draw(const CompiledConstraint& form, std::mt19937& random) {
  constexpr int free_tokens = 40, tokens_max = 2000;
  const DemoForms& demo = demo_forms();
  const std::unique_ptr<TokenConstraint> constraint = form.start();
  std::vector<std::uint32_t> mask = demo_mask();
  std::string text;
  for (int i = 0; i < tokens_max && !constraint->is_complete(); ++i) {
    const Status filled = constraint->fill(mask);
    EXPECT_TRUE(filled) << filled.error().message;
    std::vector<TokenId> allowed = tokens_in(mask);
    if (!filled || allowed.empty()) return std::nullopt;
    const bool may_end = std::ranges::find(allowed, kDemoEnd) != allowed.end();
    if (may_end && (i >= free_tokens || random() % 4 == 0)) return text;
    std::erase(allowed, kDemoEnd);
    if (i >= free_tokens) {
      for (const char* end : {"\"", "]", "}", "null", "\"}", "1", "\":"}) {
        const std::optional<TokenId> token = demo.tokenizer->token_id(end);
        if (token && std::ranges::find(allowed, *token) != allowed.end()) {
          allowed = {*token};
          break;
        }
      }
    }
    const TokenId next = allowed[random() % allowed.size()];
    EXPECT_TRUE(constraint->accept(next));
    text += demo.texts[static_cast<std::size_t>(next)];
  }
  return constraint->is_complete() ? std::optional(text) : std::nullopt;
}

TEST(FormSamples, AreValid) {
  constexpr int samples = 50;
  const Json schemas = read_json_file(source_path("tests/golden/forms/schemas.json")).value();
  ASSERT_GE(schemas.size(), 60u);
  std::size_t ended = 0;
  for (const Json& schema : schemas) {
    const auto form =
        demo_forms().compiler.compile({.kind = ConstraintKind::json_schema, .text = schema.dump()}, demo_forms().ends, kClient);
    ASSERT_TRUE(form) << schema.dump() << ": " << form.error().message;
    std::mt19937 random(1);
    for (int i = 0; i < samples; ++i) {
      const std::optional<std::string> text = draw(**form, random);
      if (!text) continue;
      ++ended;
      const Json value = Json::parse(*text, nullptr, false);
      // JSON has numbers of any size; this parser takes those of a double.
      if (value.is_discarded() && std::regex_search(*text, std::regex("[eE][+-]?[0-9]{3,}|[0-9]{300,}"))) continue;
      ASSERT_FALSE(value.is_discarded()) << schema.dump() << ": " << *text;
      EXPECT_TRUE(Validator(schema).is_valid(value, schema)) << schema.dump() << ": " << *text;
    }
  }
  EXPECT_GT(ended, schemas.size() * samples * 9 / 10);
}

}  // namespace
}  // namespace slora
