#include "text/jinja_methods.h"

#include <algorithm>

#include "text/jinja_filters.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

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
    if (!machine.spend_walk(object.weight())) return Value();
    if (!method.parameters) return method.run(machine, object, arguments);
    const Arguments bound = bind_arguments(machine, method.name, *method.parameters, arguments);
    return machine.failed() ? Value() : method.run(machine, object, bound);
  };
  return machine.make_callable({call, object.depth() + 1});
}

}  // namespace

// A method wins over a key of that name.
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

// A key wins over a method of that name.
Value subscript_of(Machine& machine, const Value& object, const Value& key) {
  if (object.is_undefined() && is_undefined_object(machine, object, machine.text_of(key))) return Value();
  if (!machine.spend_walk(key.weight())) return Value();
  if (const Dict* dict = object.if_dict()) {
    if (const Value* member = dict->find(key)) return *member;
  }
  if (const std::string* name = key.if_text()) return attribute_of(machine, object, *name);
  const std::optional<std::int64_t> length = object.if_dict() == nullptr ? length_of(object) : std::nullopt;
  if (!length || !key.if_integer()) return undefined_member(object, machine.text_of(key));
  const std::int64_t index = *key.if_integer() < 0 ? *key.if_integer() + *length : *key.if_integer();
  if (index < 0 || index >= *length) return undefined_member(object, machine.text_of(key));
  if (const List* list = object.if_list()) return list->members[static_cast<std::size_t>(index)];
  if (!machine.spend_walk(object.weight())) return Value();
  std::string_view text = *object.if_text();
  for (std::int64_t i = 0; i < index; ++i) text.remove_prefix(first_code_point(text).bytes);
  return machine.make_text(std::string(text.substr(0, first_code_point(text).bytes)));
}

}  // namespace slora::jinja
