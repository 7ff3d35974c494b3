#include <algorithm>

#include "text/jinja_methods.h"
#include "text/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

const std::string& text_of_object(const Value& object) { return *object.if_text(); }

std::string required_text(Machine& machine, const Value& argument) {
  if (argument.if_text() == nullptr) machine.fail(fmt::format("expected a string, found '{}'", argument.type_name()));
  return machine.text_of(argument);
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

// startswith and endswith: one affix, or any of a tuple's.
template <Side side>
Value has_affix(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string& text = text_of_object(object);
  const List* list = arguments[0].if_list();
  const bool is_tuple = list != nullptr && list->kind == ListKind::tuple;
  for (const Value& affix : is_tuple ? list->members : std::vector<Value>{arguments[0]}) {
    const std::string wanted = required_text(machine, affix);
    if (side == Side::left ? text.starts_with(wanted) : text.ends_with(wanted)) return Value(true);
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

Value find(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string_view text = text_of_object(object);
  const std::size_t at = find_first(text, required_text(machine, arguments[0]));
  return Value(at == std::string_view::npos ? std::int64_t{-1} : count_code_points(text.substr(0, at)));
}

Value count_text(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string wanted = required_text(machine, arguments[0]);
  const std::string& text = text_of_object(object);
  return Value(wanted.empty() ? count_code_points(text) + 1 : std::ssize(split_left(text, wanted, -1)) - 1);
}

Value lines(Machine& machine, const Value& object, const Arguments& arguments) {
  const LineEnds ends = arguments[0].is_true() ? LineEnds::keep : LineEnds::drop;
  return list_of_texts(machine, split_lines(text_of_object(object), ends));
}

Value replace(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string from = required_text(machine, arguments[0]);
  const std::string to = required_text(machine, arguments[1]);
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
    out += required_text(machine, member);
    if (!machine.spend_bytes(text_of_object(object).size())) break;
  }
  return machine.make_text(std::move(out));
}

// "{}" stands for the next argument and "{{" for a bracket; fields with a name, an index or a format are not supported.
Value format(Machine& machine, const Value& object, const Arguments& arguments) {
  std::string_view rest = text_of_object(object);
  std::string out;
  std::size_t next = 0;
  while (!rest.empty() && !machine.failed()) {
    const std::size_t plain = std::min(rest.find_first_of("{}"), rest.size());
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      out += rest.front();
    } else if (rest.starts_with("{}")) {
      if (next == arguments.positional.size()) return machine.fail("'format' has more fields than arguments");
      out += machine.text_of(arguments[next++]);
    } else if (!rest.empty()) {
      return machine.fail("'format' supports fields of the form {} only");
    }
    rest.remove_prefix(std::min<std::size_t>(rest.size(), 2));
  }
  return machine.make_text(std::move(out));
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
      {"startswith", Parameters{"prefix"}, has_affix<Side::left>},
      {"endswith", Parameters{"suffix"}, has_affix<Side::right>},
      {"removeprefix", Parameters{"prefix"}, remove_affix<Side::left>},
      {"removesuffix", Parameters{"suffix"}, remove_affix<Side::right>},
      {"find", Parameters{"sub"}, find},
      {"count", Parameters{"sub"}, count_text},
      {"replace", Parameters{"old", "new", "count"}, replace},
      {"join", Parameters{"iterable"}, join},
      {"upper", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_upper_case(text_of_object(v))); }},
      {"lower", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_lower_case(text_of_object(v))); }},
      {"title", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_title_case(text_of_object(v))); }},
      {"capitalize", Parameters{},
       [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_capitalized(text_of_object(v))); }},
      {"format", std::nullopt, format},
  };
  return kMethods;
}

}  // namespace slora::jinja
