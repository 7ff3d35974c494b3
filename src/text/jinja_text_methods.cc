#include <algorithm>

#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

const std::string& text_of_object(const Value& object) { return *object.if_text(); }

std::optional<std::string> optional_text(Machine& machine, const Value& argument) {
  if (argument.is_undefined() || argument.is_none()) return std::nullopt;
  if (argument.if_text() == nullptr) machine.fail(fmt::format("expected a string, found '{}'", argument.type_name()));
  return machine.text_of(argument);
}

std::string required_text(Machine& machine, const Value& argument) {
  if (argument.if_text() == nullptr) machine.fail(fmt::format("expected a string, found '{}'", argument.type_name()));
  return machine.text_of(argument);
}

// What becomes part of `object`: markup takes every value, and escapes what is no markup.
std::string text_for(Machine& machine, const Value& object, const Value& argument) {
  if (!object.is_markup()) return required_text(machine, argument);
  return argument.is_markup() ? machine.text_of(argument) : escape_html(machine.text_of(argument));
}

enum class Side { left, right, both };
template <Side side>
Value strip(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::optional<std::string> characters = optional_text(machine, arguments[0]);
  std::string_view text = text_of_object(object);
  if (characters && !machine.spend_walk(text.size() * characters->size())) return Value();
  if (side != Side::right) text = strip_left(text, characters);
  if (side != Side::left) text = strip_right(text, characters);
  return machine.make_text(std::string(text));
}

Value list_of_texts(Machine& machine, const std::vector<std::string_view>& parts) {
  std::vector<Value> members;
  for (const std::string_view part : parts) members.push_back(machine.make_text(std::string(part)));
  return machine.make_list(std::move(members));
}

template <Side side>
Value split(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::optional<std::string> separator = optional_text(machine, arguments[0]);
  if (separator && separator->empty()) return machine.fail("empty separator");
  const std::int64_t splits_max = integer_or(machine, arguments[1], -1);
  const std::string& text = text_of_object(object);
  if (!machine.spend_bytes(text.size() * 2)) return Value();
  return list_of_texts(machine, side == Side::left ? split_left(text, separator, splits_max) : split_right(text, separator, splits_max));
}

template <Side side>
Value partition(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string separator = required_text(machine, arguments[0]);
  if (separator.empty()) return machine.fail("empty separator");
  const std::string_view text = text_of_object(object);
  const std::size_t at = side == Side::left ? find_first(text, separator) : find_last(text, separator);
  std::vector<Value> parts;
  if (at == std::string_view::npos) {
    parts = {Value(side == Side::left ? text : ""), Value(std::string()), Value(side == Side::left ? "" : text)};
  } else {
    parts = {Value(text.substr(0, at)), Value(separator), Value(text.substr(at + separator.size()))};
  }
  return machine.spend_bytes(text.size()) ? machine.make_list(std::move(parts), ListKind::tuple) : Value();
}

// The part of a text that a method looks at: object[start:stop] for its last two arguments. Nothing where it begins behind the
// end, which holds not even the empty text.
struct Window {
  std::string_view text;
  std::int64_t begin;  // in code points
};
std::optional<Window> window_of(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string_view text = text_of_object(object);
  const Value& start = arguments[1];
  const Value& stop = arguments[2];
  if (start.is_undefined() && stop.is_undefined()) return Window{text, 0};
  const std::vector<std::size_t> offsets = code_point_offsets(text);
  const std::int64_t length = std::ssize(offsets) - 1;
  if (!machine.spend_bytes(offsets.size() * sizeof(std::size_t))) return std::nullopt;
  const auto bound = [&](const Value& value, std::int64_t fallback) {
    const std::int64_t index = integer_or(machine, value, fallback);
    return index < 0 ? std::max<std::int64_t>(index + length, 0) : index;
  };
  const std::int64_t begin = bound(start, 0);
  const std::int64_t end = std::min(bound(stop, length), length);
  if (begin > length || begin > end) return std::nullopt;
  const std::size_t first = offsets[static_cast<std::size_t>(begin)];
  return Window{text.substr(first, offsets[static_cast<std::size_t>(end)] - first), begin};
}

// startswith and endswith: one affix, or any of a tuple's.
template <Side side>
Value has_affix(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::optional<Window> window = window_of(machine, object, arguments);
  const List* list = arguments[0].if_list();
  const bool is_tuple = list != nullptr && list->kind == ListKind::tuple;
  for (const Value& affix : is_tuple ? list->members : std::vector<Value>{arguments[0]}) {
    const std::string wanted = required_text(machine, affix);
    if (window && (side == Side::left ? window->text.starts_with(wanted) : window->text.ends_with(wanted))) return Value(true);
  }
  return Value(false);
}

template <Side side>
Value remove_affix(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string affix = required_text(machine, arguments[0]);
  std::string_view text = text_of_object(object);
  if (side == Side::left && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (side == Side::right && text.ends_with(affix)) text.remove_suffix(affix.size());
  return machine.make_text(std::string(text));
}

template <Side side>
Value find(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string wanted = required_text(machine, arguments[0]);
  const std::optional<Window> window = window_of(machine, object, arguments);
  if (!window) return Value(std::int64_t{-1});
  const std::size_t at = side == Side::left ? find_first(window->text, wanted) : find_last(window->text, wanted);
  return Value(at == std::string_view::npos ? std::int64_t{-1} : window->begin + count_code_points(window->text.substr(0, at)));
}

// index and rindex: find, but it must be there.
template <Side side>
Value index(Machine& machine, const Value& object, const Arguments& arguments) {
  Value at = find<side>(machine, object, arguments);
  return at.if_integer().value_or(0) < 0 ? machine.fail("substring not found") : at;
}

Value count_text(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string wanted = required_text(machine, arguments[0]);
  const std::optional<Window> window = window_of(machine, object, arguments);
  if (!window) return Value(std::int64_t{0});
  if (wanted.empty()) return Value(count_code_points(window->text) + 1);
  return Value(std::ssize(split_left(window->text, wanted, -1)) - 1);
}

Value lines(Machine& machine, const Value& object, const Arguments& arguments) {
  const LineEnds ends = arguments[0].is_true() ? LineEnds::keep : LineEnds::drop;
  return list_of_texts(machine, split_lines(text_of_object(object), ends));
}

// ljust, rjust and center: the text with `fill` around it, `width` code points wide.
template <Side text_side>
Value justify(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::int64_t width = integer_or(machine, arguments[0], 0);
  const std::string fill = arguments[1].is_undefined() ? " " : text_for(machine, object, arguments[1]);
  if (count_code_points(fill) != 1) return machine.fail("the fill character must be exactly one character long");
  const std::int64_t missing = std::max<std::int64_t>(width - count_code_points(text_of_object(object)), 0);
  if (!machine.spend_bytes(static_cast<std::size_t>(std::min<std::int64_t>(missing, std::int64_t{1} << 40)) * fill.size())) return Value();
  // Python's center puts the odd character to the left of texts of odd width.
  const std::int64_t left = text_side == Side::left ? 0 : text_side == Side::right ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (std::int64_t i = 0; i < left; ++i) out += fill;
  out += text_of_object(object);
  for (std::int64_t i = left; i < missing; ++i) out += fill;
  return machine.make_text(std::move(out));
}

Value fill_with_zeros(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string& text = text_of_object(object);
  const std::int64_t missing = std::max<std::int64_t>(integer_or(machine, arguments[0], 0) - count_code_points(text), 0);
  if (!machine.spend_bytes(static_cast<std::size_t>(missing))) return Value();
  const std::size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  return machine.make_text(text.substr(0, sign) + std::string(static_cast<std::size_t>(missing), '0') + text.substr(sign));
}

Value replace(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string from = required_text(machine, arguments[0]);
  const std::string to = text_for(machine, object, arguments[1]);
  const std::string& text = text_of_object(object);
  if (!machine.spend_bytes((text.size() / std::max<std::size_t>(from.size(), 1) + 1) * to.size())) return Value();
  return machine.make_text(replace_text(text, from, to, integer_or(machine, arguments[2], -1)));
}

Value join(Machine& machine, const Value& object, const Arguments& arguments) {
  std::string out;
  bool is_first = true;
  for (const Value& member : machine.iterate(arguments[0])) {
    if (!is_first) out += text_of_object(object);
    is_first = false;
    out += text_for(machine, object, member);
    if (!machine.spend_bytes(text_of_object(object).size())) break;
  }
  return machine.make_text(std::move(out));
}

Value format(Machine& machine, const Value& object, const Arguments& arguments) {
  return format_braces(machine, text_of_object(object), kind_of(object), arguments);
}

bool is_letter_or_number(char32_t c) { return is_letter(c) || is_numeric(c); }

// Whether there are characters, and all have a property.
template <bool (*property)(char32_t)>
Value all_are(Machine&, const Value& object, const Arguments&) {
  std::string_view text = text_of_object(object);
  bool all = !text.empty();
  while (all && !text.empty()) {
    const CodePoint next = first_code_point(text);
    all = property(next.value);
    text.remove_prefix(next.bytes);
  }
  return Value(all);
}

Value is_ascii(Machine&, const Value& object, const Arguments&) {
  const std::string& text = text_of_object(object);
  return Value(std::none_of(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0x80) != 0; }));
}

}  // namespace

const std::vector<Method>& text_methods() {
  static const std::vector<Method> kMethods = {
      {"strip", Parameters{"chars"}, strip<Side::both>},
      {"lstrip", Parameters{"chars"}, strip<Side::left>},
      {"rstrip", Parameters{"chars"}, strip<Side::right>},
      {"split", Parameters{"sep", "maxsplit"}, split<Side::left>},
      {"rsplit", Parameters{"sep", "maxsplit"}, split<Side::right>},
      {"splitlines", Parameters{"keepends"}, lines},
      {"partition", Parameters{"sep"}, partition<Side::left>},
      {"rpartition", Parameters{"sep"}, partition<Side::right>},
      {"startswith", Parameters{"prefix", "start", "end"}, has_affix<Side::left>},
      {"endswith", Parameters{"suffix", "start", "end"}, has_affix<Side::right>},
      {"removeprefix", Parameters{"prefix"}, remove_affix<Side::left>},
      {"removesuffix", Parameters{"suffix"}, remove_affix<Side::right>},
      {"find", Parameters{"sub", "start", "end"}, find<Side::left>},
      {"rfind", Parameters{"sub", "start", "end"}, find<Side::right>},
      {"index", Parameters{"sub", "start", "end"}, index<Side::left>},
      {"rindex", Parameters{"sub", "start", "end"}, index<Side::right>},
      {"ljust", Parameters{"width", "fillchar"}, justify<Side::left>},
      {"rjust", Parameters{"width", "fillchar"}, justify<Side::right>},
      {"center", Parameters{"width", "fillchar"}, justify<Side::both>},
      {"zfill", Parameters{"width"}, fill_with_zeros},
      {"count", Parameters{"sub", "start", "end"}, count_text},
      {"replace", Parameters{"old", "new", "count"}, replace},
      {"join", Parameters{"iterable"}, join},
      {"swapcase", Parameters{},
       [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_swapped_case(text_of_object(v))); }},
      {"casefold", Parameters{},
       [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_folded_case(text_of_object(v))); }},
      {"upper", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_upper_case(text_of_object(v))); }},
      {"lower", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_lower_case(text_of_object(v))); }},
      {"title", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_title_case(text_of_object(v))); }},
      {"capitalize", Parameters{},
       [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_capitalized(text_of_object(v))); }},
      {"format", std::nullopt, format},
      {"isspace", Parameters{}, all_are<is_python_space>},
      {"isdigit", Parameters{}, all_are<is_python_digit>},
      {"isdecimal", Parameters{}, all_are<is_python_decimal>},
      {"isnumeric", Parameters{}, all_are<is_numeric>},
      {"isascii", Parameters{}, is_ascii},
      {"isalpha", Parameters{}, all_are<is_letter>},
      {"isalnum", Parameters{}, all_are<is_letter_or_number>},
      {"islower", Parameters{}, [](Machine&, const Value& v, const Arguments&) { return Value(is_lower(text_of_object(v))); }},
      {"isupper", Parameters{}, [](Machine&, const Value& v, const Arguments&) { return Value(is_upper(text_of_object(v))); }},
  };
  return kMethods;
}

}  // namespace slora::jinja
