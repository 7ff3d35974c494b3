#include "text/answer_format.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>

namespace slora {
namespace {

constexpr std::size_t kAnswerFieldsMax = 32;
constexpr std::size_t kLiteralsMax = 64;

tl::unexpected<Error> bad_format(const std::string& place, std::string_view what) {
  return error("E_ANSWER_FORMAT", "response_template{}: {}", place, what);
}

Status check_keys(const std::string& place, const Json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return bad_format(place, fmt::format("expected an object, found {}", type_name(object)));
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) == known.end()) return bad_format(place, fmt::format("{} is no known key", quote(key)));
  }
  return {};
}

// A mark: literal texts under one key, or a pattern under another.
Result<std::optional<StreamPattern>> mark_of(const std::string& place, const Json& object, const char* literal_key,
                                             const char* pattern_key) {
  const Json* literal = find_member(object, literal_key);
  const Json* pattern = find_member(object, pattern_key);
  if (literal != nullptr && pattern != nullptr) {
    return bad_format(place, fmt::format("expected either {} or {}, found both", literal_key, pattern_key));
  }
  if (literal == nullptr && pattern == nullptr) return std::nullopt;
  const auto in_place = [&](const Result<StreamPattern>& compiled) -> Result<std::optional<StreamPattern>> {
    if (!compiled) return bad_format(place, compiled.error().message);
    return *compiled;
  };
  if (pattern != nullptr) {
    if (!pattern->is_string()) return bad_format(place, fmt::format("{}: expected a string, found {}", pattern_key, type_name(*pattern)));
    return in_place(StreamPattern::compile(pattern->get_ref<const std::string&>()));
  }
  std::vector<std::string> texts;
  const Json list = literal->is_array() ? *literal : Json::array({*literal});
  for (const Json& text : list) {
    if (!text.is_string() || text == "") return bad_format(place, fmt::format("{}: expected texts that are not empty", literal_key));
    texts.push_back(text.get<std::string>());
  }
  if (texts.empty() || texts.size() > kLiteralsMax) {
    return bad_format(place, fmt::format("{}: expected 1 to {} texts, found {}", literal_key, kLiteralsMax, texts.size()));
  }
  return in_place(StreamPattern::compile_literals(texts));
}

// "{content.a}" as "content.a"; empty for other values.
std::string placeholder_in(const Json& value) {
  if (!value.is_string()) return {};
  const std::string& text = value.get_ref<const std::string&>();
  const bool is_whole = text.size() > 2 && text.front() == '{' && text.back() == '}';
  return is_whole ? text.substr(1, text.size() - 2) : std::string();
}

// Where a call's name and arguments are: {"function": {"name": "{content.name}", "arguments": "{content.arguments}"}}, or the same without
// "function"; "{content}" for what holds both.
Status read_transform(CallForm& form, const std::string& place, const Json& transform) {
  const Json* call = &transform;
  if (call->is_object()) {
    if (const Json* function = find_member(*call, "function")) call = function;
  }
  if (placeholder_in(*call) == "content") return {};
  const Json* name = call->is_object() ? find_member(*call, "name") : nullptr;
  const Json* arguments = call->is_object() ? find_member(*call, "arguments") : nullptr;
  if (name == nullptr || arguments == nullptr) {
    return bad_format(place + ".transform",
                      "expected an object with \"name\" and \"arguments\", which is the form that calls are served in");
  }
  const std::string name_from = placeholder_in(*name), arguments_from = placeholder_in(*arguments);
  constexpr std::string_view inside = "content.";
  if (arguments_from == "content" && !name_from.empty() && !name_from.starts_with("content")) {
    form.name_group = name_from;
  } else if (name_from.starts_with(inside) && arguments_from.starts_with(inside) &&
             arguments_from.find('.', inside.size()) == std::string::npos) {
    form.name_key = name_from.substr(inside.size());
    form.arguments_key = arguments_from.substr(inside.size());
  } else {
    return bad_format(place + ".transform",
                      fmt::format("a name from {} and arguments from {} are not supported", shown(*name), shown(*arguments)));
  }
  return {};
}

Status read_dialect(JsonDialect& dialect, const std::string& place, const Json& arguments) {
  if (Status known = check_keys(place, arguments, {"unquoted_keys", "string_delims", "allow_non_json"}); !known) return known;
  const Result<std::optional<bool>> unquoted = optional_bool_at(arguments, "unquoted_keys");
  if (!unquoted) return bad_format(place, unquoted.error().message);
  dialect.unquoted_keys = unquoted->value_or(false);
  const Json* delims = find_member(arguments, "string_delims");
  if (delims == nullptr) return {};
  for (const Json& pair : *delims) {
    const bool is_pair =
        pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string() && pair[0] != "" && pair[1] != "";
    if (!is_pair) return bad_format(place + ".string_delims", fmt::format("expected pairs of texts, found {}", shown(pair)));
    dialect.string_delims.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  }
  return {};
}

// Cuts a pattern for a whole pair into what comes before the value and what follows, so that a value can be passed on while it grows.
Status read_pairs(CallForm& form, const std::string& place, const Json& arguments) {
  if (Status known = check_keys(place, arguments, {"tag_pattern"}); !known) return known;
  const Result<std::string> pattern = string_at(arguments, "tag_pattern");
  if (!pattern) return bad_format(place, pattern.error().message);
  constexpr std::string_view begin = "(?P<value>";
  const std::size_t at = pattern->find(begin);
  if (at == std::string::npos) return bad_format(place, "tag_pattern: expected a group \"value\"");
  std::size_t end = at + begin.size();
  for (int depth = 1; end < pattern->size(); ++end) {
    const char c = (*pattern)[end];
    if (c == '\\') {
      ++end;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && --depth == 0) {
      break;
    }
  }
  if (end >= pattern->size()) return bad_format(place, "tag_pattern: expected an end of the group \"value\"");
  Result<StreamPattern> head = StreamPattern::compile(std::string_view(*pattern).substr(0, at));
  if (!head) return bad_format(place, head.error().message);
  Result<StreamPattern> tail = StreamPattern::compile(std::string_view(*pattern).substr(end + 1));
  if (!tail) return bad_format(place, tail.error().message);
  if (!head->has_group("key")) return bad_format(place, "tag_pattern: expected a group \"key\" before the group \"value\"");
  form.pair_head = std::move(*head);
  form.pair_tail = std::move(*tail);
  return {};
}

Status read_calls(AnswerField& field, const std::string& place, const Json& value) {
  const Json* content = find_member(value, "content");
  const std::string kind = content != nullptr && content->is_string() ? content->get<std::string>() : "text";
  const Json* given = find_member(value, "content_args");
  const Json arguments = given == nullptr ? Json::object() : *given;
  const std::string inner = place + ".content_args";
  if (const Json* transform = find_member(value, "transform")) {
    if (Status read = read_transform(field.call, place, *transform); !read) return read;
  }
  if (kind == "json") {
    field.call.body = CallForm::Body::json;
    if (Status read = read_dialect(field.call.dialect, inner, arguments); !read) return read;
  } else if (kind == "xml-inline") {
    field.call.body = CallForm::Body::pairs;
    if (Status read = read_pairs(field.call, inner, arguments); !read) return read;
  } else if (kind == "python-call-list") {
    field.call.body = CallForm::Body::python;
  } else {
    return bad_format(place + ".content",
                      fmt::format("expected json, xml-inline or python-call-list for tool calls, found {}", quote(kind)));
  }
  const std::string& group = field.call.name_group;
  if (field.call.body == CallForm::Body::pairs && group.empty()) {
    return bad_format(place + ".transform", "expected the name of a function from a group of open_pattern");
  }
  if (!group.empty() && (!field.open || !field.open->has_group(group))) {
    return bad_format(place + ".open_pattern", fmt::format("expected a group {}, which transform names", quote(group)));
  }
  if (!field.close && (field.call.body == CallForm::Body::pairs || !field.call.dialect.is_standard())) {
    return bad_format(place, "expected a closing mark");
  }
  return {};
}

// Several fields may have one role: "content:final" is one of content's.
AnswerField::Role role_of(std::string_view name) {
  name = name.substr(0, name.find(':'));
  if (name == "content") return AnswerField::Role::content;
  if (name == "thinking" || name == "reasoning_content" || name == "reasoning") return AnswerField::Role::reasoning;
  return name == "tool_calls" ? AnswerField::Role::calls : AnswerField::Role::dropped;
}

Result<AnswerField> field_of(const std::string& name, const Json& value) {
  const std::string place = ".fields." + name;
  if (Status known = check_keys(place, value,
                                {"open", "open_pattern", "close", "close_pattern", "content", "content_args", "repeats", "join", "optional",
                                 "transform", "transform_each"});
      !known) {
    return forward_error(known);
  }
  AnswerField field;
  field.name = name;
  field.role = role_of(name);
  Result<std::optional<StreamPattern>> open = mark_of(place, value, "open", "open_pattern");
  if (!open) return forward_error(open);
  Result<std::optional<StreamPattern>> close = mark_of(place, value, "close", "close_pattern");
  if (!close) return forward_error(close);
  field.open = std::move(*open);
  field.close = std::move(*close);
  if (field.role == AnswerField::Role::calls) {
    if (!field.open) return bad_format(place, "expected an opening mark for tool calls");
    if (Status read = read_calls(field, place, value); !read) return forward_error(read);
  }
  return field;
}

}  // namespace

Result<AnswerFormat> AnswerFormat::from_json(const Json& response_template) {
  if (Status known = check_keys("", response_template, {"version", "defaults", "start_anchor", "start_anchor_pattern", "fields"}); !known) {
    return forward_error(known);
  }
  if (const Json* version = find_member(response_template, "version"); version != nullptr && *version != 1) {
    return bad_format(".version", fmt::format("expected 1, found {}", shown(*version)));
  }
  const Json* fields = find_member(response_template, "fields");
  if (fields == nullptr || !fields->is_object() || fields->empty() || fields->size() > kAnswerFieldsMax) {
    return bad_format(".fields", fmt::format("expected an object with 1 to {} fields", kAnswerFieldsMax));
  }
  AnswerFormat format;
  Result<std::optional<StreamPattern>> start = mark_of("", response_template, "start_anchor", "start_anchor_pattern");
  if (!start) return forward_error(start);
  format.start = std::move(*start);
  bool has_rest = false;
  for (const auto& [name, value] : fields->items()) {
    Result<AnswerField> field = field_of(name, value);
    if (!field) return forward_error(field);
    if (!field->open && std::exchange(has_rest, true))
      return bad_format(".fields." + name, "expected one field without an opening mark at most");
    format.fields.push_back(std::move(*field));
  }
  return format;
}

bool AnswerFormat::has(AnswerField::Role role) const { return std::ranges::find(fields, role, &AnswerField::role) != fields.end(); }

bool AnswerFormat::is_in_mark(std::string_view token_text) const {
  const auto mentions = [&](const std::optional<StreamPattern>& mark) { return mark && mark->mentions(token_text); };
  return std::ranges::any_of(fields, [&](const AnswerField& field) {
    const auto is_delim = [&](const auto& pair) { return pair.first == token_text || pair.second == token_text; };
    return mentions(field.open) || mentions(field.close) || mentions(field.call.pair_head) || mentions(field.call.pair_tail) ||
           std::ranges::any_of(field.call.dialect.string_delims, is_delim);
  });
}

}  // namespace slora
