#include <algorithm>
#include <charconv>
#include <functional>

#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_tests.h"
#include "text/python_text.h"
#include "text/unicode.h"

namespace slora::jinja {
namespace {

// A named argument of a filter that takes any; nullptr when absent.
const Value* named(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

// item.a.b.0 for the path "a.b.0".
Value path_of(Machine& machine, Value item, const Value& path, const Value* fallback) {
  const auto step = [&](const Value& key) {
    item = subscript_of(machine, item, key);
    if (item.is_undefined() && fallback != nullptr) item = *fallback;
  };
  if (path.if_text() == nullptr) {
    step(path);
    return item;
  }
  for (const std::string_view part : split_left(*path.if_text(), ".", -1)) {
    std::int64_t index = 0;
    const bool is_index = !part.empty() && std::from_chars(part.data(), part.data() + part.size(), index).ptr == part.data() + part.size();
    step(is_index ? Value(index) : Value(part));
  }
  return item;
}

// What sort, unique, min and max compare: the attribute, without regard to case unless asked.
Value key_of(Machine& machine, const Value& item, const Value& case_sensitive, const Value& attribute) {
  const Value key = attribute.is_undefined() || attribute.is_none() ? item : path_of(machine, item, attribute, nullptr);
  if (key.if_text() == nullptr || case_sensitive.is_true()) return key;
  return machine.make_text(to_lower_case(*key.if_text()));
}

// Stable, by keys computed once. Fails where two keys can't be compared.
std::vector<Value> sorted_by(Machine& machine, const std::vector<Value>& items, bool reverse,
                             const std::function<Value(const Value&)>& key_of_item) {
  std::vector<std::pair<Value, std::size_t>> keys;  // [items] key, place in `items`
  for (std::size_t i = 0; i < items.size(); ++i) keys.emplace_back(key_of_item(items[i]), i);
  if (!machine.spend_steps(items.size() * 20)) return {};
  // The order must stay a valid one even where keys don't compare, so the first failure makes all of them equal.
  const auto less = [&](const auto& a, const auto& b) {
    if (machine.failed()) return false;
    const std::optional<int> order = compare(a.first, b.first);
    if (!order) machine.fail(fmt::format("'{}' and '{}' can't be ordered", a.first.type_name(), b.first.type_name()));
    return order.value_or(0) < 0;
  };
  if (std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return !compare(keys.front().first, key.first).has_value(); })) {
    machine.fail("values of different types can't be ordered");
    return {};
  }
  if (reverse) {
    std::stable_sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) { return less(b, a); });
  } else {
    std::stable_sort(keys.begin(), keys.end(), less);
  }
  std::vector<Value> sorted;
  for (const auto& [key, index] : keys) sorted.push_back(items[index]);
  return sorted;
}

Value filter_join(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string separator = text_or(machine, arguments[0], "");
  std::string out;
  bool is_first = true;
  for (const Value& item : machine.iterate(input)) {
    if (!is_first) out += separator;
    is_first = false;
    out += machine.text_of(arguments[1].is_undefined() || arguments[1].is_none() ? item : path_of(machine, item, arguments[1], nullptr));
    if (!machine.spend_bytes(separator.size())) break;
  }
  return machine.make_text(std::move(out));
}

Value filter_first(Machine& machine, const Value& input, const Arguments&) {
  const std::vector<Value> items = machine.iterate(input);
  return items.empty() ? Value() : items.front();
}

Value filter_last(Machine& machine, const Value& input, const Arguments&) {
  const std::vector<Value> items = machine.iterate(input);
  return items.empty() ? Value() : items.back();
}

Value filter_list(Machine& machine, const Value& input, const Arguments&) { return machine.make_list(machine.iterate(input)); }

Value filter_reverse(Machine& machine, const Value& input, const Arguments&) {
  std::vector<Value> items = machine.iterate(input);
  std::reverse(items.begin(), items.end());
  if (input.if_text() == nullptr) return machine.make_list(std::move(items));
  std::string out;
  for (const Value& item : items) out += *item.if_text();
  return machine.make_text(std::move(out));
}

Value filter_map(Machine& machine, const Value& input, const Arguments& arguments) {
  std::vector<Value> out;
  if (const Value* attribute = named(arguments, "attribute"); attribute != nullptr && arguments.positional.empty()) {
    for (const Value& item : machine.iterate(input)) out.push_back(path_of(machine, item, *attribute, named(arguments, "default")));
    return machine.make_list(std::move(out));
  }
  const std::string* name = arguments[0].if_text();
  const Filter* filter = name == nullptr ? nullptr : find_filter(*name);
  if (filter == nullptr) return machine.fail(fmt::format("map has no filter '{}'", to_text(arguments[0])));
  const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  for (const Value& item : machine.iterate(input)) {
    out.push_back(apply(*filter, machine, item, rest));
    if (machine.failed()) break;
  }
  return machine.make_list(std::move(out));
}

// select, reject, selectattr, rejectattr: members for which a test (or their truth) is `wanted`.
Value choose(Machine& machine, const Value& input, const Arguments& arguments, bool by_attribute, bool wanted) {
  const std::size_t test_index = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty()) return machine.fail("selectattr and rejectattr need the name of an attribute");
  const Test* test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > test_index) {
    const std::string* name = arguments[test_index].if_text();
    test = name == nullptr ? nullptr : find_test(*name);
    if (test == nullptr) return machine.fail(fmt::format("the test '{}' is not supported", to_text(arguments[test_index])));
    rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(test_index) + 1, arguments.positional.end());
  }
  std::vector<Value> out;
  for (const Value& item : machine.iterate(input)) {
    if (!machine.spend_steps(1)) break;
    const Value subject = by_attribute ? path_of(machine, item, arguments[0], nullptr) : item;
    if ((test == nullptr ? subject.is_true() : apply(*test, machine, subject, rest)) == wanted) out.push_back(item);
  }
  return machine.make_list(std::move(out));
}

Value filter_unique(Machine& machine, const Value& input, const Arguments& arguments) {
  std::vector<Value> out;
  std::vector<Value> seen;
  for (const Value& item : machine.iterate(input)) {
    const Value key = key_of(machine, item, arguments[0], arguments[1]);
    if (!machine.spend_steps(seen.size())) break;
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return equals(key, other); })) continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return machine.make_list(std::move(out));
}

Value filter_sort(Machine& machine, const Value& input, const Arguments& arguments) {
  return machine.make_list(sorted_by(machine, machine.iterate(input), arguments[0].is_true(),
                                     [&](const Value& item) { return key_of(machine, item, arguments[1], arguments[2]); }));
}

Value filter_min(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::vector<Value> sorted = sorted_by(machine, machine.iterate(input), false,
                                              [&](const Value& item) { return key_of(machine, item, arguments[0], arguments[1]); });
  return sorted.empty() ? Value() : sorted.front();
}

Value filter_max(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::vector<Value> sorted = sorted_by(machine, machine.iterate(input), true,
                                              [&](const Value& item) { return key_of(machine, item, arguments[0], arguments[1]); });
  return sorted.empty() ? Value() : sorted.front();
}

Value filter_sum(Machine& machine, const Value& input, const Arguments& arguments) {
  Value sum = arguments[1].is_undefined() ? Value(std::int64_t{0}) : arguments[1];
  for (const Value& item : machine.iterate(input)) {
    const Value part = arguments[0].is_undefined() || arguments[0].is_none() ? item : path_of(machine, item, arguments[0], nullptr);
    sum = add(machine, sum, part);
  }
  return sum;
}

Value filter_items(Machine& machine, const Value& input, const Arguments&) {
  std::vector<Value> out;
  if (input.is_undefined()) return machine.make_list({});
  const Dict* dict = input.if_dict();
  if (dict == nullptr) return machine.fail("items needs a mapping");
  for (const auto& [key, value] : dict->members) out.push_back(machine.make_tuple({key, value}));
  return machine.make_list(std::move(out));
}

Value filter_dictsort(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string by = text_or(machine, arguments[1], "key");
  if (by != "key" && by != "value") return machine.fail("dictsort sorts by 'key' or 'value'");
  const Value pairs = filter_items(machine, input, {});
  return machine.make_list(sorted_by(machine, machine.iterate(pairs), arguments[2].is_true(), [&](const Value& pair) {
    return key_of(machine, pair.if_list()->members[by == "key" ? 0 : 1], arguments[0], Value());
  }));
}

Value filter_attr(Machine& machine, const Value& input, const Arguments& arguments) {
  return input.if_dict() != nullptr ? Value() : attribute_of(machine, input, machine.text_of(arguments[0]));
}

}  // namespace

const std::vector<Filter>& sequence_filters() {
  static const std::vector<Filter> kFilters = {
      {"join", {"d", "attribute"}, false, filter_join},
      {"first", {}, false, filter_first},
      {"last", {}, false, filter_last},
      {"list", {}, false, filter_list},
      {"reverse", {}, false, filter_reverse},
      {"map", {}, true, filter_map},
      {"select", {}, true, [](Machine& m, const Value& v, const Arguments& a) { return choose(m, v, a, false, true); }},
      {"reject", {}, true, [](Machine& m, const Value& v, const Arguments& a) { return choose(m, v, a, false, false); }},
      {"selectattr", {}, true, [](Machine& m, const Value& v, const Arguments& a) { return choose(m, v, a, true, true); }},
      {"rejectattr", {}, true, [](Machine& m, const Value& v, const Arguments& a) { return choose(m, v, a, true, false); }},
      {"unique", {"case_sensitive", "attribute"}, false, filter_unique},
      {"sort", {"reverse", "case_sensitive", "attribute"}, false, filter_sort},
      {"min", {"case_sensitive", "attribute"}, false, filter_min},
      {"max", {"case_sensitive", "attribute"}, false, filter_max},
      {"sum", {"attribute", "start"}, false, filter_sum},
      {"items", {}, false, filter_items},
      {"dictsort", {"case_sensitive", "by", "reverse"}, false, filter_dictsort},
      {"attr", {"name"}, false, filter_attr},
  };
  return kFilters;
}

}  // namespace slora::jinja
