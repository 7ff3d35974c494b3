#include "constraint/checks/tag_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "constraint/checks/grammar_check.h"
#include "constraint/checks/optional_groups.h"
#include "constraint/checks/regex_check.h"

namespace slora {
namespace {

constexpr std::int64_t kWhitespaceMax = 8;

constexpr std::array<std::string_view, 17> kFormatTypes = {
    "const_string", "json_schema", "any_text", "sequence",           "or",      "tag",   "triggered_tags",       "tags_with_separator",
    "optional",     "plus",        "star",     "qwen_xml_parameter", "grammar", "regex", "token_triggered_tags", "token",
    "exclude_token"};

// Of all types together.
constexpr std::array<std::string_view, 25> kFormatKeys = {"type",
                                                          "value",
                                                          "json_schema",
                                                          "style",
                                                          "any_order",
                                                          "max_whitespace_cnt",
                                                          "pattern",
                                                          "grammar",
                                                          "syntax",
                                                          "excludes",
                                                          "elements",
                                                          "content",
                                                          "tags",
                                                          "triggers",
                                                          "begin",
                                                          "end",
                                                          "token",
                                                          "separator",
                                                          "exclude_tokens",
                                                          "min",
                                                          "trigger_tokens",
                                                          "at_least_one",
                                                          "stop_after_first",
                                                          "max",
                                                          "loop"};

// Walks the formats of a tag. One thread; used once.
class TagWalker {
 public:
  explicit TagWalker(OtherProperties other_properties) : other_properties_(other_properties) {}

  Status walk_root(Json& tag) {
    if (!tag.is_object()) return error("bad_constraint", "The structural tag: expected an object, found {}", type_name(tag));
    if (tag.contains("structures")) {
      if (Status rewritten = rewrite_structures(tag); !rewritten) return rewritten;
    }
    const auto format = tag.find("format");
    if (format == tag.end()) return error("bad_constraint", "The structural tag: expected \"format\", or \"structures\" and \"triggers\"");
    return walk(*format, "format");
  }

 private:
  // From the older form, a list of structures and what they are triggered by, which the library itself does not read.
  static Status rewrite_structures(Json& tag) {
    const auto wrong = [](std::string_view place, std::string_view expected, const Json& found) {
      return error("bad_constraint", "The structural tag: {}: expected {}, found {}", place, expected, shown(found));
    };
    const Json& structures = tag["structures"];
    if (!structures.is_array() || structures.empty()) return wrong("structures", "a list of at least one", structures);
    const Json triggers = tag.value("triggers", Json());
    const auto is_text = [](const Json& text) { return text.is_string() && !text.get_ref<const std::string&>().empty(); };
    if (!triggers.is_array() || triggers.empty() || !std::ranges::all_of(triggers, is_text))
      return wrong("triggers", "a list of texts that are not empty", triggers);
    Json tags = Json::array();
    for (std::size_t i = 0; i < structures.size(); ++i) {
      const Json& structure = structures[i];
      const std::string place = fmt::format("structures[{}]", i);
      if (!structure.is_object() || !structure.contains("schema")) return wrong(place, "an object with begin, schema and end", structure);
      const Json begin = structure.value("begin", Json()), end = structure.value("end", Json());
      if (!begin.is_string()) return wrong(place + ".begin", "a text", begin);
      if (!end.is_string()) return wrong(place + ".end", "a text", end);
      const auto starts = [&](const Json& trigger) {
        return begin.get_ref<const std::string&>().starts_with(trigger.get_ref<const std::string&>());
      };
      if (std::ranges::count_if(triggers, starts) != 1)
        return wrong(place + ".begin", "a text that begins with exactly one of the triggers", begin);
      Json content = {{"type", "json_schema"}, {"json_schema", structure["schema"]}};
      tags.push_back({{"type", "tag"}, {"begin", begin}, {"content", std::move(content)}, {"end", end}});
    }
    tag = {{"type", "structural_tag"}, {"format", {{"type", "triggered_tags"}, {"triggers", triggers}, {"tags", std::move(tags)}}}};
    return {};
  }

  Status walk_schema(Json& schema, const std::string& place) {
    Result<Json> checked = schema.is_string() ? check_schema_text(schema.get_ref<const std::string&>(), other_properties_)
                                              : check_schema(schema, other_properties_);
    if (!checked) return error(checked.error().code, "The structural tag: {}: {}", place, checked.error().message);
    schema = std::move(*checked);
    return {};
  }

  // A format, or a list of formats.
  Status walk(Json& format, const std::string& place) {
    if (format.is_array()) {
      for (std::size_t i = 0; i < format.size(); ++i) {
        if (!format[i].is_object()) continue;  // texts, such as triggers
        if (Status walked = walk(format[i], fmt::format("{}[{}]", place, i)); !walked) return walked;
      }
      return {};
    }
    if (!format.is_object() || !format.contains("type") || !format["type"].is_string())
      return error("bad_constraint", "The structural tag: {}: expected an object with a \"type\", found {}", place, shown(format));
    const std::string type = format["type"];
    if (std::ranges::find(kFormatTypes, type) == kFormatTypes.end())
      return error("unsupported_constraint", "The structural tag: {}: expected a type of {}, found {}", place,
                   fmt::join(kFormatTypes, ", "), quote(type));
    for (const auto& [key, value] : format.items()) {
      if (std::ranges::find(kFormatKeys, key) == kFormatKeys.end())
        return error("unsupported_constraint", "The structural tag: {}: the key {} is not known", place, quote(key));
    }
    if (Status checked = check_leaf(format, type, place); !checked) return checked;
    for (const char* key : {"content", "elements", "tags"}) {
      const auto inner = format.find(key);
      if (inner == format.end() || !inner->is_structured()) continue;
      if (Status walked = walk(*inner, fmt::format("{}.{}", place, key)); !walked) return walked;
    }
    return {};
  }

  Status check_leaf(Json& format, const std::string& type, const std::string& place) {
    const auto text_at_key = [&](const char* key) -> Result<std::string> {
      const auto found = format.find(key);
      if (found != format.end() && found->is_string()) return found->get<std::string>();
      return error("bad_constraint", "The structural tag: {}.{}: expected a string", place, key);
    };
    if (type == "json_schema" || type == "qwen_xml_parameter") {
      if (!format.contains("json_schema")) return error("bad_constraint", "The structural tag: {}.json_schema: expected a schema", place);
      if (format.contains("any_order") && !is_off(format["any_order"]))
        return error("unsupported_constraint", "The structural tag: {}.any_order: expected false", place);
      if (type == "json_schema") format["max_whitespace_cnt"] = kWhitespaceMax;
      return walk_schema(format["json_schema"], place + ".json_schema");
    }
    if (type == "regex") {
      const Result<std::string> pattern = text_at_key("pattern");
      if (!pattern) return tl::unexpected(pattern.error());
      if (Status served = check_regex(*pattern, RegexUse::answer, "The structural tag: " + place + ".pattern"); !served) return served;
      format["pattern"] = without_optional_groups(*pattern);
      return {};
    }
    if (type != "grammar") return {};
    if (format.contains("syntax") && format["syntax"] != "ebnf")
      return error("unsupported_constraint", "The structural tag: {}.syntax: expected \"ebnf\", found {}", place, shown(format["syntax"]));
    const Result<std::string> grammar = text_at_key("grammar");
    return grammar ? check_grammar(*grammar) : Status(tl::unexpected(grammar.error()));
  }

  const OtherProperties other_properties_;
};

}  // namespace

Result<Json> check_tag(std::string_view text, OtherProperties other_properties) {
  Result<Json> tag = parse_json(text, {.bytes_max = kFormBytesMax});
  if (!tag) return error("bad_constraint", "The structural tag: {}", tag.error().message);
  if (Status walked = TagWalker(other_properties).walk_root(*tag); !walked) return forward_error(walked);
  return tag;
}

}  // namespace slora
