#include <algorithm>

#include "text/jinja_filters.h"
#include "text/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

// object.name(arguments). What would change a list or dictionary is left out, as in transformers' sandbox.
struct Method {
  std::string_view name;
  Parameters parameters;
  Value (*run)(Machine& machine, const Value& object, const Arguments& arguments);
};

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

enum class Side { left, right, both };
template <Side side>
Value strip(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::optional<std::string> characters = optional_text(machine, arguments[0]);
  std::string_view text = text_of_object(object);
  if (characters && !machine.spend_steps(text.size() * characters->size() / 64)) return Value();
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
  return machine.spend_bytes(text.size()) ? machine.make_tuple(std::move(parts)) : Value();
}

// startswith and endswith: one affix, or any of a tuple's.
template <Side side>
Value has_affix(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string& text = text_of_object(object);
  const List* tuple = arguments[0].if_list();
  for (const Value& affix : tuple != nullptr ? tuple->members : std::vector<Value>{arguments[0]}) {
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

template <Side side>
Value find(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string wanted = required_text(machine, arguments[0]);
  const std::string_view text = text_of_object(object);
  const std::size_t at = side == Side::left ? find_first(text, wanted) : find_last(text, wanted);
  return Value(at == std::string_view::npos ? std::int64_t{-1} : count_code_points(text.substr(0, at)));
}

Value count_text(Machine& machine, const Value& object, const Arguments& arguments) {
  const std::string wanted = required_text(machine, arguments[0]);
  const std::string_view text = text_of_object(object);
  if (wanted.empty()) return Value(count_code_points(text) + 1);
  return Value(std::ssize(split_left(text, wanted, -1)) - 1);
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

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
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

const std::vector<Method>& text_methods() {
  static const std::vector<Method> kMethods = {
      {"strip", {"chars"}, strip<Side::both>},
      {"lstrip", {"chars"}, strip<Side::left>},
      {"rstrip", {"chars"}, strip<Side::right>},
      {"split", {"sep", "maxsplit"}, split<Side::left>},
      {"rsplit", {"sep", "maxsplit"}, split<Side::right>},
      {"splitlines", {}, [](Machine& m, const Value& v, const Arguments&) { return list_of_texts(m, split_lines(text_of_object(v))); }},
      {"partition", {"sep"}, partition<Side::left>},
      {"rpartition", {"sep"}, partition<Side::right>},
      {"startswith", {"prefix"}, has_affix<Side::left>},
      {"endswith", {"suffix"}, has_affix<Side::right>},
      {"removeprefix", {"prefix"}, remove_affix<Side::left>},
      {"removesuffix", {"suffix"}, remove_affix<Side::right>},
      {"find", {"sub"}, find<Side::left>},
      {"rfind", {"sub"}, find<Side::right>},
      {"count", {"sub"}, count_text},
      {"replace", {"old", "new", "count"}, replace},
      {"join", {"iterable"}, join},
      {"upper", {}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_upper_case(text_of_object(v))); }},
      {"lower", {}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_lower_case(text_of_object(v))); }},
      {"title", {}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_title_case(text_of_object(v))); }},
      {"capitalize", {}, [](Machine& m, const Value& v, const Arguments&) { return m.make_text(to_capitalized(text_of_object(v))); }},
      {"isspace", {}, all_are<is_python_space>},
      {"isdigit", {}, all_are<is_digit>},
      {"isalpha", {}, all_are<is_letter>},
      {"isalnum", {}, all_are<is_letter_or_number>},
      {"islower", {}, [](Machine&, const Value& v, const Arguments&) { return Value(is_lower(text_of_object(v))); }},
      {"isupper", {}, [](Machine&, const Value& v, const Arguments&) { return Value(is_upper(text_of_object(v))); }},
  };
  return kMethods;
}

Value get(Machine&, const Value& object, const Arguments& arguments) {
  if (const Value* value = object.if_dict()->find(arguments[0])) return *value;
  return arguments[1].is_undefined() ? Value(nullptr) : arguments[1];
}

Value keys(Machine& machine, const Value& object, const Arguments&) { return machine.make_list(machine.iterate(object)); }

Value values(Machine& machine, const Value& object, const Arguments&) {
  std::vector<Value> out;
  for (const auto& [key, value] : object.if_dict()->members) out.push_back(value);
  return machine.make_list(std::move(out));
}

Value items(Machine& machine, const Value& object, const Arguments&) {
  std::vector<Value> out;
  for (const auto& [key, value] : object.if_dict()->members) out.push_back(machine.make_tuple({key, value}));
  return machine.make_list(std::move(out));
}

const std::vector<Method>& dict_methods() {
  static const std::vector<Method> kMethods = {
      {"items", {}, items},
      {"keys", {}, keys},
      {"values", {}, values},
      {"get", {"key", "default"}, get},
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
  static const std::vector<Method> kMethods = {{"index", {"value"}, index}, {"count", {"value"}, count_members}};
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

// Fails where there is nothing to look into.
bool is_undefined_object(Machine& machine, const Value& object, std::string_view wanted) {
  const Undefined* undefined = object.if_undefined();
  if (undefined == nullptr) return false;
  machine.fail(fmt::format("{} is undefined, so it has no '{}'", undefined->name == nullptr ? "the value" : *undefined->name, wanted));
  return true;
}

Value method_of(Machine& machine, const Value& object, const Method& method) {
  const auto call = [&machine, object, &method](const Arguments& arguments) {
    if (!machine.spend_steps(1 + object.weight() / 64)) return Value();
    const Arguments bound = bind_arguments(machine, method.name, method.parameters, arguments);
    return machine.failed() ? Value() : method.run(machine, object, bound);
  };
  return Value(Callable{std::string(method.name), call});
}

}  // namespace

// A method wins over a key of that name.
Value attribute_of(Machine& machine, const Value& object, std::string_view name) {
  if (is_undefined_object(machine, object, name)) return Value();
  if (const Method* method = find_method(object, name)) return method_of(machine, object, *method);
  const Value* member = nullptr;
  if (const Dict* dict = object.if_dict()) member = dict->find(name);
  if (const Namespace* names = object.if_namespace()) member = names->find(name);
  return member != nullptr ? *member : undefined_member(object, name);
}

// A key wins over a method of that name.
Value subscript_of(Machine& machine, const Value& object, const Value& key) {
  if (is_undefined_object(machine, object, to_text(key))) return Value();
  if (const Dict* dict = object.if_dict()) {
    if (const Value* member = dict->find(key)) return *member;
  }
  if (const std::string* name = key.if_text()) return attribute_of(machine, object, *name);
  const std::optional<std::int64_t> length = object.if_dict() == nullptr ? length_of(object) : std::nullopt;
  if (!length || !key.if_integer()) return undefined_member(object, to_text(key));
  const std::int64_t index = *key.if_integer() < 0 ? *key.if_integer() + *length : *key.if_integer();
  if (index < 0 || index >= *length) return undefined_member(object, to_text(key));
  if (const List* list = object.if_list()) return list->members[static_cast<std::size_t>(index)];
  if (!machine.spend_steps(object.weight() / 64)) return Value();
  std::string_view text = *object.if_text();
  for (std::int64_t i = 0; i < index; ++i) text.remove_prefix(first_code_point(text).bytes);
  return machine.make_text(std::string(text.substr(0, first_code_point(text).bytes)));
}

}  // namespace slora::jinja
