#include "text/jinja_methods.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "text/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

// object.name(arguments)
struct Method {
  std::string_view name;
  std::optional<Parameters> parameters;  // empty: any arguments, passed to run() unchanged
  Value (*run)(Machine& machine, const Value& object, const Arguments& arguments);
};

// Methods that would change a list or dictionary are left out, as in transformers' sandbox.

Value get(Machine& machine, const Value& object, const Arguments& arguments) {
  if (!machine.check_key(arguments[0])) return Value();
  if (const Value* value = object.if_dict()->find(arguments[0])) return *value;
  return arguments[1].is_undefined() ? Value(nullptr) : arguments[1];
}

Value keys(Machine& machine, const Value& object, const Arguments&) { return machine.make_list(machine.iterate(object), ListKind::keys); }

Value values(Machine& machine, const Value& object, const Arguments&) {
  std::vector<Value> out;
  for (const auto& [key, value] : object.if_dict()->members) out.push_back(value);
  return machine.make_list(std::move(out), ListKind::values);
}

Value items(Machine& machine, const Value& object, const Arguments&) {
  return machine.make_list(pairs_of(machine, *object.if_dict()), ListKind::items);
}

Value copy(Machine& machine, const Value& object, const Arguments&) {
  if (object.if_list() != nullptr && object.if_list()->kind != ListKind::list) {
    return machine.fail(fmt::format("'copy' of a {} is undefined", object.type_name()));
  }
  return object;
}

const std::vector<Method>& dict_methods() {
  static const std::vector<Method> kMethods = {
      {"copy", Parameters{}, copy},
      {"items", Parameters{}, items},
      {"keys", Parameters{}, keys},
      {"values", Parameters{}, values},
      {"get", Parameters{"key", "default"}, get},
  };
  return kMethods;
}

Value index(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::vector<Value>& members = object.if_list()->members;
  const auto member = std::find_if(members.begin(), members.end(), [&](const Value& value) { return equals(value, arguments[0]); });
  return member == members.end() ? machine.fail("the value is not in the list") : Value(std::int64_t{member - members.begin()});
}

Value count_members(Machine&, const Value& object, const Arguments& arguments) {
  const std::vector<Value>& members = object.if_list()->members;
  return Value(
      std::int64_t{std::count_if(members.begin(), members.end(), [&](const Value& value) { return equals(value, arguments[0]); })});
}

const std::vector<Method>& list_methods() {
  static const std::vector<Method> kMethods = {
      {"copy", Parameters{}, copy}, {"index", Parameters{"value"}, index}, {"count", Parameters{"value"}, count_members}};
  return kMethods;
}

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
  if (characters && !machine.spend_traversal(text.size() * characters->size())) return Value();
  if (side != Side::right) text = strip_left(text, characters);
  if (side != Side::left) text = strip_right(text, characters);
  return machine.make_text(std::string(text));
}

// Whether a text may be cut at every place where `separator_bytes` fit, and pays for the search.
bool can_split(Machine& machine, std::string_view text, std::size_t separator_bytes) {
  constexpr std::size_t places_per_step = 4;
  const std::size_t places = text.size() / std::max<std::size_t>(separator_bytes, 1) + 1;
  return machine.can_make_members(places) && machine.spend_steps(places / places_per_step);
}

Value list_of_texts(Machine& machine, const std::vector<std::string_view>& parts) {
  if (!machine.spend_bytes(parts.size() * sizeof(std::string_view))) return Value();
  std::vector<Value> members;
  members.reserve(parts.size());
  for (const std::string_view part : parts) {
    members.push_back(machine.make_text(std::string(part)));
    if (machine.failed()) return Value();
  }
  return machine.make_list(std::move(members));
}

template <Side side>
Value split(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::optional<std::string> separator = optional_text(machine, arguments[0]);
  if (separator && separator->empty()) return machine.fail("empty separator");
  if (side == Side::right && !separator) return machine.fail("rsplit without a separator is not supported");
  const std::int64_t splits_max = integer_or(machine, arguments[1], -1);
  const std::string& text = text_of_object(object);
  if (!can_split(machine, text, separator ? separator->size() : 2) || !machine.spend_bytes(text.size() * 2)) return Value();
  return list_of_texts(
      machine, side == Side::left ? split_left(text, separator, splits_max) : split_right(text, separator.value_or(""), splits_max));
}

// startswith and endswith: one affix, or any in a tuple.
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
  if (!can_split(machine, text, wanted.size())) return Value();
  return Value(wanted.empty() ? count_code_points(text) + 1 : std::ssize(split_left(text, wanted, -1)) - 1);
}

Value lines(Machine& machine, const Value& object, const Arguments& arguments) {
  const LineEnds ends = arguments[0].is_true() ? LineEnds::keep : LineEnds::drop;
  if (!can_split(machine, text_of_object(object), 1)) return Value();
  return list_of_texts(machine, split_lines(text_of_object(object), ends));
}

Value replace(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string from = required_text(machine, arguments[0]);
  const std::string to = required_text(machine, arguments[1]);
  const std::string& text = text_of_object(object);
  if (!can_replace(machine, text, from, to)) return Value();
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

Value in_case(Machine& machine, const Value& object, std::string (*change)(std::string_view)) {
  const std::string& text = text_of_object(object);
  return machine.spend_characters(text.size()) ? machine.make_text(change(text)) : Value();
}

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
      {"upper", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return in_case(m, v, to_upper_case); }},
      {"lower", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return in_case(m, v, to_lower_case); }},
      {"title", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return in_case(m, v, to_title_case); }},
      {"capitalize", Parameters{}, [](Machine& m, const Value& v, const Arguments&) { return in_case(m, v, to_capitalized); }},
      {"format", std::nullopt, format},
  };
  return kMethods;
}

const Method* find_method(const Value& object, std::string_view name) {
  const std::vector<Method>* methods = object.if_text() != nullptr   ? &text_methods()
                                       : object.if_dict() != nullptr ? &dict_methods()
                                       : object.if_list() != nullptr ? &list_methods()
                                                                     : nullptr;
  if (methods == nullptr) return nullptr;
  const auto method = std::find_if(methods->begin(), methods->end(), [name](const Method& entry) { return entry.name == name; });
  return method == methods->end() ? nullptr : &*method;
}

Value undefined_member(const Value& object, std::string_view name) {
  return Value(Undefined{std::make_shared<const std::string>(fmt::format("'{}' of a {}", name, object.type_name()))});
}

// Fails if the object is undefined, which has no members.
bool is_undefined_object(Machine& machine, const Value& object, std::string_view wanted) {
  const Undefined* undefined = object.if_undefined();
  if (undefined == nullptr) return false;
  machine.fail(fmt::format("{} is undefined, so it has no '{}'", undefined->name == nullptr ? "the value" : *undefined->name, wanted));
  return true;
}

Value method_of(Machine& machine, const Value& object, const Method& method) {
  const auto call = [&machine, object, &method](const Arguments& arguments) {
    // Methods of dictionaries visit its own members only, and pay for the lists of them that they make.
    const std::size_t visited = object.if_dict() != nullptr ? object.if_dict()->members.size() : object.weight();
    if (!machine.spend_traversal(visited) || !machine.check_not_safe(object)) return Value();
    if (!method.parameters) return method.run(machine, object, arguments);
    const Arguments bound = bind_arguments(machine, method.name, *method.parameters, arguments);
    return machine.failed() ? Value() : method.run(machine, object, bound);
  };
  return machine.make_callable({call, object.depth() + 1});
}

}  // namespace

bool can_replace(Machine& machine, std::string_view text, std::string_view from, std::string_view to) {
  constexpr std::size_t places_per_step = 4;
  const std::size_t places = text.size() / std::max<std::size_t>(from.size(), 1) + 1;
  return machine.spend_steps(places / places_per_step) && machine.spend_bytes(text.size() + places * to.size());
}

std::vector<Value> pairs_of(Machine& machine, const Dict& dict) {
  std::vector<Value> pairs;
  if (!machine.can_make_members(dict.members.size())) return pairs;
  pairs.reserve(dict.members.size());
  for (const auto& [key, value] : dict.members) {
    pairs.push_back(machine.make_list({key, value}, ListKind::tuple));
    if (machine.failed()) break;
  }
  return pairs;
}

// A method takes precedence over a key of that name.
Value attribute_of(Machine& machine, const Value& object, std::string_view name) {
  if (is_undefined_object(machine, object, name)) return Value();
  if (const Method* method = find_method(object, name)) return method_of(machine, object, *method);
  const Value* member = nullptr;
  if (const Dict* dict = object.if_dict()) member = dict->find(name);
  if (const Namespace* names = object.if_namespace()) {
    const auto found = names->members.find(name);
    if (found != names->members.end()) member = &found->second;
  }
  return member != nullptr ? *member : undefined_member(object, name);
}

// A key takes precedence over a method of that name.
Value subscript_of(Machine& machine, const Value& object, const Value& key) {
  if (object.is_undefined() && is_undefined_object(machine, object, machine.text_of(key))) return Value();
  if (!machine.spend_traversal(key.weight())) return Value();
  if (const Dict* dict = object.if_dict()) {
    if (const Value* member = dict->find(key)) return *member;
  }
  if (const std::string* name = key.if_text()) return attribute_of(machine, object, *name);
  const std::optional<std::int64_t> length = object.if_dict() == nullptr ? length_of(object) : std::nullopt;
  if (!length || !key.if_integer()) return undefined_member(object, machine.text_of(key));
  const std::int64_t index = *key.if_integer() < 0 ? *key.if_integer() + *length : *key.if_integer();
  if (index < 0 || index >= *length) return undefined_member(object, machine.text_of(key));
  if (const List* list = object.if_list()) return list->members[static_cast<std::size_t>(index)];
  if (!machine.spend_traversal(object.weight()) || !machine.check_not_safe(object)) return Value();
  std::string_view text = *object.if_text();
  for (std::int64_t i = 0; i < index; ++i) text.remove_prefix(first_code_point(text).bytes);
  return machine.make_text(std::string(text.substr(0, first_code_point(text).bytes)));
}

}  // namespace slora::jinja
