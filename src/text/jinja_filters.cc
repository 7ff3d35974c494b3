#include "text/jinja_filters.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "text/jinja_json.h"
#include "text/jinja_methods.h"
#include "text/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

constexpr std::int64_t kIndentMax = 1000;

// The text of a number without what Python ignores: white space around it and underscores between digits.
std::string digits_of(std::string_view text) {
  text = strip_left(strip_right(text));
  const auto is_digit = [&](std::size_t i) { return i < text.size() && std::isalnum(static_cast<unsigned char>(text[i])) != 0; };
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool separates = text[i] == '_' && i > 0 && is_digit(i - 1) && is_digit(i + 1);
    if (!separates && !(i == 0 && text[i] == '+')) digits += text[i];
  }
  return digits;
}

// The value as a float; nothing if it is neither a number nor the text of one.
std::optional<double> number_of(Machine& machine, const Value& value) {
  if (const std::optional<double> number = value.if_number()) return number;
  if (value.if_text() == nullptr) return std::nullopt;
  const std::string digits = digits_of(machine.text_of(value));
  double number = 0;
  const std::from_chars_result end = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (end.ec != std::errc() || end.ptr != digits.data() + digits.size()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> whole_number_of(Machine& machine, const Value& value) {
  if (const std::optional<std::int64_t> integer = value.if_integer()) return integer;
  if (value.if_text() != nullptr) {
    const std::string digits = digits_of(machine.text_of(value));
    std::int64_t integer = 0;
    const std::from_chars_result end = std::from_chars(digits.data(), digits.data() + digits.size(), integer);
    if (end.ec == std::errc() && end.ptr == digits.data() + digits.size()) return integer;
  }
  const std::optional<double> number = number_of(machine, value);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  if (std::fabs(*number) >= 9e18) {
    machine.fail("an integer is too large");
    return std::nullopt;
  }
  return static_cast<std::int64_t>(*number);
}

Value filter_trim(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string text = machine.text_of(input);
  const std::optional<std::string> characters = optional_text(machine, arguments[0]);
  if (characters && !machine.spend_traversal(text.size() * characters->size())) return Value();
  return machine.make_text(std::string(strip_left(strip_right(text, characters), characters)));
}

// Jinja's title, unlike str.title: a word begins after white space, "-" and opening brackets.
Value filter_title(Machine& machine, const Value& input, const Arguments&) {
  const std::string text = machine.text_of(input);
  if (!machine.spend_characters(2 * text.size())) return Value();
  constexpr std::u32string_view kOpening = U"-({[<";
  std::string out;
  bool begins_word = true;
  for (std::string_view rest = text; !rest.empty();) {
    const CodePoint next = first_code_point(rest);
    const std::string_view character = rest.substr(0, next.bytes);
    out += begins_word ? to_upper_case(character) : to_lower_case(character);
    begins_word = is_python_space(next.value) || kOpening.find(next.value) != std::u32string_view::npos;
    rest.remove_prefix(next.bytes);
  }
  return machine.make_text(std::move(out));
}

Value text_in_case(Machine& machine, const Value& input, std::string (*change)(std::string_view)) {
  const std::string text = machine.text_of(input);
  return machine.spend_characters(text.size()) ? machine.make_text(change(text)) : Value();
}

Value filter_string(Machine& machine, const Value& input, const Arguments&) {
  return input.is_safe_text() ? input : machine.make_text(machine.text_of(input));
}

Value filter_safe(Machine& machine, const Value& input, const Arguments&) { return Value::safe_text(machine.text_of(input)); }

Value filter_replace(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string text = machine.text_of(input);
  const std::string from = machine.text_of(arguments[0]);
  const std::string to = machine.text_of(arguments[1]);
  if (!can_replace(machine, text, from, to)) return Value();
  return machine.make_text(replace_text(text, from, to, integer_or(machine, arguments[2], -1)));
}

Value filter_indent(Machine& machine, const Value& input, const Arguments& arguments) {
  if (input.if_text() == nullptr) return machine.fail(fmt::format("indent needs a string, found '{}'", input.type_name()));
  const std::string* text_width = arguments[0].if_text();
  const std::int64_t width = text_width != nullptr ? 0 : std::clamp<std::int64_t>(integer_or(machine, arguments[0], 4), 0, kIndentMax);
  const std::string indent = text_width != nullptr ? *text_width : std::string(static_cast<std::size_t>(width), ' ');
  const std::string text = machine.text_of(input) + "\n";
  const bool first = arguments[1].is_true();
  const bool blank = arguments[2].is_true();
  const std::vector<std::string_view> lines = split_lines(text);
  if (!machine.spend_bytes(lines.size() * indent.size() + text.size())) return Value();
  std::string out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += indent;
    out += lines[i];
  }
  return machine.make_text(std::move(out));
}

Value fail_undefined(Machine& machine, const Value& input) {
  const Undefined* undefined = input.if_undefined();
  return machine.fail(fmt::format("{} is undefined", undefined->name == nullptr ? "a value" : *undefined->name));
}

Value filter_int(Machine& machine, const Value& input, const Arguments& arguments) {
  if (input.is_undefined()) return fail_undefined(machine, input);
  const std::optional<std::int64_t> integer = whole_number_of(machine, input);
  if (integer) return Value(*integer);
  return arguments[0].is_undefined() ? Value(std::int64_t{0}) : arguments[0];
}

Value filter_float(Machine& machine, const Value& input, const Arguments& arguments) {
  if (input.is_undefined()) return fail_undefined(machine, input);
  const std::optional<double> number = number_of(machine, input);
  if (number) return Value(*number);
  return arguments[0].is_undefined() ? Value(0.0) : arguments[0];
}

Value filter_default(Machine&, const Value& input, const Arguments& arguments) {
  const bool absent = input.is_undefined() || (arguments[1].is_true() && !input.is_true());
  if (!absent) return input;
  return arguments[0].is_undefined() ? Value(std::string()) : arguments[0];
}

Value filter_length(Machine& machine, const Value& input, const Arguments&) {
  const std::optional<std::int64_t> length = length_of(input);
  if (!length) return machine.fail(fmt::format("object of type '{}' has no length", input.type_name()));
  return Value(*length);
}

Value filter_tojson(Machine& machine, const Value& input, const Arguments& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments[0].is_true();
  if (const Value& indent = arguments[1]; !indent.is_undefined() && !indent.is_none()) {
    const std::int64_t width = indent.if_text() != nullptr ? 0 : std::clamp<std::int64_t>(integer_or(machine, indent, 0), 0, kIndentMax);
    style.indent = indent.if_text() != nullptr ? *indent.if_text() : std::string(static_cast<std::size_t>(width), ' ');
    style.item_separator.assign(1, ',');
  }
  if (const List* separators = arguments[2].if_list(); separators != nullptr && separators->members.size() == 2) {
    style.item_separator = machine.text_of(separators->members[0]);
    style.key_separator = machine.text_of(separators->members[1]);
  }
  style.sort_keys = arguments[3].is_true();
  return machine.make_text(to_json(machine, input, style));
}

// Templates ask for the length of all messages with each message, which must not cost what the messages weigh.
bool visits_members(const Filter& filter, const Value& input) {
  return filter.name != "default" && (filter.name != "length" || input.if_text() != nullptr);
}

}  // namespace

const std::vector<Filter>& scalar_filters() {
  static const std::vector<Filter> kFilters = {
      {"trim", {"chars"}, false, filter_trim},
      {"upper", {}, false, [](Machine& m, const Value& v, const Arguments&) { return text_in_case(m, v, to_upper_case); }},
      {"lower", {}, false, [](Machine& m, const Value& v, const Arguments&) { return text_in_case(m, v, to_lower_case); }},
      {"capitalize", {}, false, [](Machine& m, const Value& v, const Arguments&) { return text_in_case(m, v, to_capitalized); }},
      {"title", {}, false, filter_title},
      {"replace", {"old", "new", "count"}, false, filter_replace},
      {"string", {}, false, filter_string},
      {"safe", {}, false, filter_safe},
      {"indent", {"width", "first", "blank"}, false, filter_indent},
      {"int", {"default"}, false, filter_int},
      {"float", {"default"}, false, filter_float},
      {"default", {"default_value", "boolean"}, false, filter_default},
      {"length", {}, false, filter_length},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, false, filter_tojson},
  };
  return kFilters;
}

const Filter* find_filter(std::string_view name) {
  if (name == "d") name = "default";
  if (name == "count") name = "length";
  for (const std::vector<Filter>* filters : {&scalar_filters(), &sequence_filters()}) {
    const auto filter = std::find_if(filters->begin(), filters->end(), [name](const Filter& entry) { return entry.name == name; });
    if (filter != filters->end()) return &*filter;
  }
  return nullptr;
}

std::string unsupported_filter(std::string_view name) { return fmt::format("the filter '{}' is not supported", name); }

Value apply(const Filter& filter, Machine& machine, const Value& input, const Arguments& arguments) {
  if (!machine.spend_traversal(visits_members(filter, input) ? input.weight() : 1)) return Value();
  constexpr std::array<std::string_view, 6> kKeepMark = {"capitalize", "indent", "lower", "reverse", "trim", "upper"};  // in Jinja
  if (std::find(kKeepMark.begin(), kKeepMark.end(), filter.name) != kKeepMark.end() && !machine.check_not_safe(input)) return Value();
  if (filter.takes_any_arguments) return filter.run(machine, input, arguments);
  const Arguments bound = bind_arguments(machine, filter.name, filter.parameters, arguments);
  return machine.failed() ? Value() : filter.run(machine, input, bound);
}

}  // namespace slora::jinja
