#include "text/jinja_filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja_json.h"
#include "text/python_text.h"
#include "text/unicode.h"

namespace slora::jinja {
namespace {

constexpr std::int64_t kIndentMax = 1000;

// What a text or number is as a float.
std::optional<double> number_of(Machine& machine, const Value& value) {
  if (const std::optional<double> number = value.if_number()) return number;
  if (value.if_text() == nullptr) return std::nullopt;
  const std::string text(strip_left(strip_right(machine.text_of(value))));
  double number = 0;
  const std::from_chars_result end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> whole_number_of(Machine& machine, const Value& value, int base) {
  if (const std::optional<std::int64_t> integer = value.if_integer()) return integer;
  if (value.if_text() != nullptr) {
    std::string text(strip_left(strip_right(machine.text_of(value))));
    if (text.starts_with('+')) text.erase(0, 1);
    std::int64_t integer = 0;
    const std::from_chars_result end = std::from_chars(text.data(), text.data() + text.size(), integer, base);
    if (end.ec == std::errc() && end.ptr == text.data() + text.size()) return integer;
  }
  const std::optional<double> number = number_of(machine, value);
  if (!number || !(std::fabs(*number) < 9e18)) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

Value filter_trim(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string text = machine.text_of(input);
  if (arguments[0].is_undefined() || arguments[0].is_none()) return machine.make_text(std::string(strip_left(strip_right(text))));
  const std::string characters = machine.text_of(arguments[0]);
  if (!machine.spend_steps(text.size() * characters.size() / 64)) return Value();
  return machine.make_text(std::string(strip_left(strip_right(text, characters), characters)));
}

// Jinja's title: a word begins behind white space, "-" and opening brackets.
Value filter_title(Machine& machine, const Value& input, const Arguments&) {
  const std::string text = machine.text_of(input);
  constexpr std::string_view kOpening = "-({[<";
  std::string out;
  std::size_t begin = 0;
  const auto is_break = [&](std::size_t i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    return kOpening.find(text[i]) != std::string_view::npos || (byte < 0x80 && is_python_space(byte));
  };
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && !is_break(i)) continue;
    out += to_capitalized(std::string_view(text).substr(begin, i - begin));
    if (i < text.size()) out += text[i];
    begin = i + 1;
  }
  return machine.make_text(std::move(out));
}

Value filter_replace(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string text = machine.text_of(input);
  const std::string from = machine.text_of(arguments[0]);
  const std::string to = machine.text_of(arguments[1]);
  if (!machine.spend_bytes((text.size() / std::max<std::size_t>(from.size(), 1) + 1) * to.size())) return Value();
  return machine.make_text(replace_text(text, from, to, integer_or(machine, arguments[2], -1)));
}

Value filter_escape(Machine& machine, const Value& input, const Arguments&) {
  std::string out;
  for (const char c : machine.text_of(input)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return machine.make_text(std::move(out));
}

Value filter_indent(Machine& machine, const Value& input, const Arguments& arguments) {
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

Value filter_int(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::int64_t base = integer_or(machine, arguments[1], 10);
  if (base < 2 || base > 36) return machine.fail(fmt::format("the base {} is not supported", base));
  const std::optional<std::int64_t> integer = whole_number_of(machine, input, static_cast<int>(base));
  if (integer) return Value(*integer);
  return arguments[0].is_undefined() ? Value(std::int64_t{0}) : arguments[0];
}

Value filter_float(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::optional<double> number = number_of(machine, input);
  if (number) return Value(*number);
  return arguments[0].is_undefined() ? Value(0.0) : arguments[0];
}

Value filter_abs(Machine& machine, const Value& input, const Arguments&) {
  if (const double* number = input.if_double()) return Value(std::fabs(*number));
  const std::optional<std::int64_t> integer = input.if_integer();
  if (!integer || *integer == INT64_MIN) return machine.fail(fmt::format("abs needs a number, found '{}'", input.type_name()));
  return Value(*integer < 0 ? -*integer : *integer);
}

Value filter_round(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::optional<double> number = input.if_number();
  if (!number) return machine.fail(fmt::format("round needs a number, found '{}'", input.type_name()));
  const double scale = std::pow(10.0, static_cast<double>(std::clamp<std::int64_t>(integer_or(machine, arguments[0], 0), -300, 300)));
  const std::string method = text_or(machine, arguments[1], "common");
  const double scaled = *number * scale;
  if (method == "ceil") return Value(std::ceil(scaled) / scale);
  if (method == "floor") return Value(std::floor(scaled) / scale);
  if (method != "common") return machine.fail(fmt::format("round has no method '{}'", method));
  return Value(std::isfinite(scaled) ? std::nearbyint(scaled) / scale : *number);
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

}  // namespace

const std::vector<Filter>& scalar_filters() {
  static const std::vector<Filter> kFilters = {
      {"trim", {"chars"}, false, filter_trim},
      {"upper", {}, false, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_upper_case(m.text_of(v))); }},
      {"lower", {}, false, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_lower_case(m.text_of(v))); }},
      {"capitalize", {}, false, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_capitalized(m.text_of(v))); }},
      {"title", {}, false, filter_title},
      {"replace", {"old", "new", "count"}, false, filter_replace},
      {"string", {}, false, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(m.text_of(v)); }},
      {"safe", {}, false, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(m.text_of(v)); }},
      {"escape", {}, false, filter_escape},
      {"indent", {"width", "first", "blank"}, false, filter_indent},
      {"int", {"default", "base"}, false, filter_int},
      {"float", {"default"}, false, filter_float},
      {"abs", {}, false, filter_abs},
      {"round", {"precision", "method"}, false, filter_round},
      {"default", {"default_value", "boolean"}, false, filter_default},
      {"length", {}, false, filter_length},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, false, filter_tojson},
  };
  return kFilters;
}

const Filter* find_filter(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kAliases = {
      {{"d", "default"}, {"count", "length"}, {"e", "escape"}}};
  for (const auto& [alias, meant] : kAliases) {
    if (name == alias) name = meant;
  }
  for (const std::vector<Filter>* filters : {&scalar_filters(), &sequence_filters()}) {
    const auto filter = std::find_if(filters->begin(), filters->end(), [name](const Filter& entry) { return entry.name == name; });
    if (filter != filters->end()) return &*filter;
  }
  return nullptr;
}

Value apply(const Filter& filter, Machine& machine, const Value& input, const Arguments& arguments) {
  if (!machine.spend_steps(1 + input.weight() / 64)) return Value();
  if (filter.takes_any_arguments) return filter.run(machine, input, arguments);
  const Arguments bound = bind_arguments(machine, filter.name, filter.parameters, arguments);
  return machine.failed() ? Value() : filter.run(machine, input, bound);
}

}  // namespace slora::jinja
