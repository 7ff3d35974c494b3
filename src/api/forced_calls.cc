#include "api/forced_calls.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api_error.h"
#include "formats/json.h"
#include "text/json_characters.h"

namespace slora {
namespace {

constexpr std::size_t kForcedBytesMax = std::size_t{1} << 20;  // of what is built; far more than a form may have

Json constant(std::string_view text) { return {{"type", "const_string"}, {"value", text}}; }
Json sequence(Json elements) { return {{"type", "sequence"}, {"elements", std::move(elements)}}; }
Json schema_form(Json schema, std::string_view style = "json") {
  return {{"type", "json_schema"}, {"json_schema", std::move(schema)}, {"style", style}};
}

std::string with_name(std::string_view pattern, const std::string& name) {
  std::string text(pattern);
  const std::size_t at = text.find("{name}");
  if (at == std::string::npos) return text;
  std::string written = name;
  if (at > 0 && text[at - 1] == '"') {
    written.clear();
    append_json_text(written, name);
  }
  return text.replace(at, std::string_view("{name}").size(), written);
}

Json parameters_of(const Json& tool) {
  const Json* parameters = find_member(tool.at("function"), "parameters");
  return parameters == nullptr || parameters->empty() ? Json{{"type", "object"}} : *parameters;
}

// a=1, b="x": those that are required, then any of the others, in the schema's order, with values in JSON.
Json python_arguments(const Json& schema) {
  std::vector<Json> required, optional;
  const Json* properties = find_member(schema, "properties");
  const Json* needed = find_member(schema, "required");
  const Json none = Json::object();
  for (const auto& [key, value] : (properties == nullptr ? none : *properties).items()) {
    Json own = value;
    for (const char* definitions : {"$defs", "definitions"}) {
      if (const Json* found = own.is_object() ? find_member(schema, definitions) : nullptr) own[definitions] = *found;
    }
    const bool is_needed = needed != nullptr && std::ranges::find(*needed, Json(key)) != needed->end();
    (is_needed ? required : optional).push_back(sequence(Json::array({constant(key + "="), schema_form(std::move(own))})));
  }
  Json elements = Json::array();
  for (Json& argument : required) {
    if (!elements.empty()) elements.push_back(constant(", "));
    elements.push_back(std::move(argument));
  }
  const auto may_follow = [](Json form) { return Json{{"type", "optional"}, {"content", std::move(form)}}; };
  const auto after_comma = [&](const Json& argument) { return may_follow(sequence(Json::array({constant(", "), argument}))); };
  if (!required.empty()) {
    for (const Json& argument : optional) elements.push_back(after_comma(argument));
  } else if (!optional.empty()) {
    Json firsts = Json::array();  // any may be the first, and has no comma
    for (std::size_t i = 0; i < optional.size(); ++i) {
      Json from_here = Json::array({optional[i]});
      for (std::size_t next = i + 1; next < optional.size(); ++next) from_here.push_back(after_comma(optional[next]));
      firsts.push_back(sequence(std::move(from_here)));
    }
    elements.push_back(may_follow(Json{{"type", "or"}, {"elements", std::move(firsts)}}));
  }
  return elements.empty() ? constant("") : sequence(std::move(elements));
}

// About as many bytes as python_arguments() gives: without a required argument each of the others may be the first, and every argument
// has its own copy of the definitions.
std::size_t python_arguments_bytes(const Json& schema) {
  const Json* properties = find_member(schema, "properties");
  if (properties == nullptr) return 0;
  const Json* needed = find_member(schema, "required");
  const auto is_property = [&](const Json& name) { return name.is_string() && properties->contains(name.get_ref<const std::string&>()); };
  const bool has_required = needed != nullptr && std::ranges::any_of(*needed, is_property);
  const std::size_t copies = has_required ? 1 : properties->size();
  std::size_t definition_bytes = 0;
  for (const char* definitions : {"$defs", "definitions"}) {
    if (const Json* found = find_member(schema, definitions)) definition_bytes += found->dump().size();
  }
  return copies * (properties->dump().size() + properties->size() * definition_bytes);
}

// A call of one tool.
Json tag_of(const ForcedCallForm& form, const Json& tool) {
  const auto name = tool.at("function").at("name").get<std::string>();
  Json schema = parameters_of(tool);
  Json content = form.style == "python" ? python_arguments(schema) : schema_form(std::move(schema), form.style);
  return {{"type", "tag"}, {"begin", with_name(form.begin, name)}, {"content", std::move(content)}, {"end", form.end}};
}

// One call or more; exactly one where it has to be a single one.
Json calls_of(const ForcedCallForm& form, const Json& tags, bool is_single) {
  Json calls = {{"type", "tags_with_separator"},
                {"tags", tags},
                {"separator", form.separator},
                {"at_least_one", true},
                {"stop_after_first", is_single}};
  if (form.before.empty() && form.after.empty()) return calls;
  return sequence(Json::array({constant(form.before), std::move(calls), constant(form.after)}));
}

// Free text in which whatever begins as a call is one.
Json text_with_calls(const ForcedCallForm& form, const Json& tags, bool is_single) {
  if (!form.trigger.empty()) {
    return {{"type", "triggered_tags"}, {"triggers", Json::array({form.trigger})}, {"tags", tags}, {"stop_after_first", is_single}};
  }
  const bool has_mark = form.before.size() > 1;
  if (has_mark) {
    Json calls = calls_of({.begin = {}, .end = {}, .separator = form.separator, .before = {}, .after = {}, .trigger = {}}, tags, is_single);
    const Json tag = {{"type", "tag"}, {"begin", form.before}, {"content", std::move(calls)}, {"end", form.after}};
    return {{"type", "triggered_tags"}, {"triggers", Json::array({form.before})}, {"tags", Json::array({tag})}, {"stop_after_first", true}};
  }
  // Without a mark the answer is calls or text: text that begins like neither list nor object.
  const Json text = {{"type", "regex"}, {"pattern", "[^\\s\\[{](.|\\n)*"}};
  return {{"type", "or"}, {"elements", Json::array({calls_of(form, tags, is_single), text})}};
}

bool is_strict(const Json& tool) {
  const Json* strict = find_member(tool.at("function"), "strict");
  return strict != nullptr && *strict == true;
}

}  // namespace

bool has_forced_calls(const RequestSpec& spec) {
  const ToolChoice::Mode mode = spec.chat.tool_choice.mode;
  return !spec.chat.tools.is_null() && (mode == ToolChoice::Mode::required || mode == ToolChoice::Mode::named);
}

Status force_calls(RequestSpec& spec, const AnswerForms& forms) {
  using Mode = ToolChoice::Mode;
  const ToolChoice& choice = spec.chat.tool_choice;
  if (spec.chat.tools.is_null() || choice.mode == Mode::none) return {};
  const bool is_free = !has_forced_calls(spec);
  if (is_free && std::ranges::none_of(spec.chat.tools, is_strict)) return {};
  const std::string field = is_free ? "tools" : "tool_choice";
  if (forms.calls == nullptr || !forms.calls->forced) {
    return field_error(
        field, "{}: calls can't be forced, because this server leaves them in the text; start it without --tool-call-parser none", field);
  }
  if (is_free && !forms.finds_calls()) return {};  // the answer is text, whatever the model writes
  if (spec.constraint && is_free) return {};       // either a call or the form that the request has
  if (spec.constraint) return field_error(field, "{}: expected either this or {}, found both", field, spec.constraint_field);
  Json tags = Json::array();
  std::size_t bytes = 0;
  for (const Json& tool : spec.chat.tools) {
    const bool is_chosen = choice.mode != Mode::named || tool.at("function").at("name") == choice.name;
    Json described = tool;
    // The arguments of tools that are not strict are free.
    if (is_free && !is_strict(tool)) described["function"]["parameters"] = Json{{"type", "object"}};
    if (!is_chosen) continue;
    if (forms.calls->forced->style == "python") bytes += python_arguments_bytes(parameters_of(described));
    if (bytes > kForcedBytesMax) {
      return field_error(field, "{}: the tools have more or larger parameters than calls in this model's form can be forced of", field);
    }
    tags.push_back(tag_of(*forms.calls->forced, described));
  }
  const bool is_single = choice.mode == Mode::named || !spec.chat.parallel_tool_calls.value_or(true);
  const Json format = is_free ? text_with_calls(*forms.calls->forced, tags, is_single) : calls_of(*forms.calls->forced, tags, is_single);
  spec.constraint = ConstraintSpec{ConstraintKind::structural_tag, Json{{"type", "structural_tag"}, {"format", format}}.dump()};
  spec.constraint_field = field;
  return {};
}

}  // namespace slora
