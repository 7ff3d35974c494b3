#include "text/jinja_tests.h"

#include <algorithm>
#include <array>
#include <vector>

#include "text/jinja_operators.h"
#include "text/python_text.h"

namespace slora::jinja {
namespace {

bool can_iterate(const Value& value) { return length_of(value).has_value() || value.if_iterator() != nullptr; }

// Whether the value has a length and members by index or key.
bool is_sequence(const Value& value) {
  return length_of(value).has_value() && (value.if_list() == nullptr || value.if_list()->kind <= ListKind::range);
}

// Negative, zero or positive; fails if Python raises an error.
int ordered(Machine& machine, const Value& left, const Value& right) {
  if (!machine.spend_traversal(std::min(left.weight(), right.weight()))) return 0;
  const std::optional<int> order = compare(left, right);
  if (!order) machine.fail(fmt::format("'{}' and '{}' can't be ordered", left.type_name(), right.type_name()));
  return order.value_or(0);
}

bool equal(Machine& machine, const Value& left, const Value& right) {
  return machine.spend_traversal(std::min(left.weight(), right.weight())) && equals(left, right);
}

// value % divisor == remainder
bool leaves(Machine& machine, const Value& value, const Value& divisor, std::int64_t remainder) {
  const Value rest = calculate(machine, BinaryOperator::modulo, value, divisor);
  return !machine.failed() && equals(rest, Value(remainder));
}

const std::vector<Test>& all_tests() {
  static const std::vector<Test> kTests = {
      {"defined", false, [](Machine&, const Value& v, const Value&) { return !v.is_undefined(); }},
      {"undefined", false, [](Machine&, const Value& v, const Value&) { return v.is_undefined(); }},
      {"none", false, [](Machine&, const Value& v, const Value&) { return v.is_none(); }},
      {"string", false, [](Machine&, const Value& v, const Value&) { return v.if_text() != nullptr; }},
      {"mapping", false, [](Machine&, const Value& v, const Value&) { return v.if_dict() != nullptr; }},
      {"iterable", false, [](Machine&, const Value& v, const Value&) { return can_iterate(v); }},
      {"sequence", false, [](Machine&, const Value& v, const Value&) { return is_sequence(v); }},
      {"number", false, [](Machine&, const Value& v, const Value&) { return v.is_number(); }},
      {"integer", false, [](Machine&, const Value& v, const Value&) { return v.if_integer() && v.if_bool() == nullptr; }},
      {"float", false, [](Machine&, const Value& v, const Value&) { return v.if_double() != nullptr; }},
      {"boolean", false, [](Machine&, const Value& v, const Value&) { return v.if_bool() != nullptr; }},
      {"true", false, [](Machine&, const Value& v, const Value&) { return v.if_bool() != nullptr && *v.if_bool(); }},
      {"false", false, [](Machine&, const Value& v, const Value&) { return v.if_bool() != nullptr && !*v.if_bool(); }},
      {"callable", false, [](Machine&, const Value& v, const Value&) { return v.if_callable() != nullptr || v.is_undefined(); }},
      {"odd", false, [](Machine& m, const Value& v, const Value&) { return leaves(m, v, Value(std::int64_t{2}), 1); }},
      {"even", false, [](Machine& m, const Value& v, const Value&) { return leaves(m, v, Value(std::int64_t{2}), 0); }},
      {"divisibleby", true, [](Machine& m, const Value& v, const Value& w) { return leaves(m, v, w, 0); }},
      {"in", true, [](Machine& m, const Value& v, const Value& w) { return contains(m, w, v); }},
      {"sameas", true, [](Machine&, const Value& v, const Value& w) { return v.is_same_object(w); }},
      {"eq", true, [](Machine& m, const Value& v, const Value& w) { return equal(m, v, w); }},
      {"ne", true, [](Machine& m, const Value& v, const Value& w) { return !equal(m, v, w); }},
      {"lt", true, [](Machine& m, const Value& v, const Value& w) { return ordered(m, v, w) < 0; }},
      {"le", true, [](Machine& m, const Value& v, const Value& w) { return ordered(m, v, w) <= 0; }},
      {"gt", true, [](Machine& m, const Value& v, const Value& w) { return ordered(m, v, w) > 0; }},
      {"ge", true, [](Machine& m, const Value& v, const Value& w) { return ordered(m, v, w) >= 0; }},
  };
  return kTests;
}

}  // namespace

const Test* find_test(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kAliases = {{{"==", "eq"},
                                                                                       {"equalto", "eq"},
                                                                                       {"!=", "ne"},
                                                                                       {"<", "lt"},
                                                                                       {"lessthan", "lt"},
                                                                                       {"<=", "le"},
                                                                                       {">", "gt"},
                                                                                       {"greaterthan", "gt"},
                                                                                       {">=", "ge"},
                                                                                       {"True", "true"},
                                                                                       {"False", "false"}}};
  for (const auto& [alias, meant] : kAliases) {
    if (name == alias) name = meant;
  }
  const auto test = std::find_if(all_tests().begin(), all_tests().end(), [name](const Test& entry) { return entry.name == name; });
  return test == all_tests().end() ? nullptr : &*test;
}

std::string unsupported_test(std::string_view name) { return fmt::format("the test '{}' is not supported", name); }

bool apply(const Test& test, Machine& machine, const Value& input, const Arguments& arguments) {
  const std::size_t expected = test.takes_argument ? 1 : 0;
  if (arguments.positional.size() != expected || !arguments.named.empty()) {
    machine.fail(fmt::format("the test '{}' takes {} arguments", test.name, expected));
    return false;
  }
  return machine.spend_steps(1) && test.run(machine, input, arguments[0]);
}

bool contains(Machine& machine, const Value& container, const Value& member) {
  if (!machine.spend_traversal(container.weight())) return false;
  if (const std::string* text = container.if_text()) {
    if (member.if_text() != nullptr) return find_first(*text, *member.if_text()) != std::string::npos;
    machine.fail(fmt::format("'in <string>' requires a string on its left, found '{}'", member.type_name()));
    return false;
  }
  if (const Dict* dict = container.if_dict()) {
    return machine.check_key(member) && dict->find(member) != nullptr;
  }
  if (container.is_undefined()) return false;
  const std::vector<Value> members = machine.iterate(container);
  return std::any_of(members.begin(), members.end(), [&](const Value& value) { return equal(machine, value, member); });
}

}  // namespace slora::jinja
