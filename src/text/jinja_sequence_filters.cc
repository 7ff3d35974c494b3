#include <algorithm>
#include <charconv>
#include <functional>

#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_tests.h"
#include "text/python_text.h"
#include "text/unicode.h"

namespace slora::jinja {
namespace {

// A named argument; nullptr if absent.
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

// The sort key for sort, unique, min and max: the item or its attribute, in lower case unless case_sensitive.
Value key_of(Machine& machine, const Value& item, const Value& case_sensitive, const Value& attribute) {
  const Value key = attribute.is_undefined() || attribute.is_none() ? item : path_of(machine, item, attribute, nullptr);
  if (key.if_text() == nullptr || case_sensitive.is_true()) return key;
  if (!machine.spend_characters(key.weight())) return Value();
  return machine.make_text(to_lower_case(*key.if_text()));
}

// Stable sort by keys that are computed once. Fails if two keys can't be compared.
std::vector<Value> sorted_by(Machine& machine, const std::vector<Value>& items, bool reverse,
                             const std::function<Value(const Value&)>& key_of_item) {
  std::vector<std::pair<Value, std::size_t>> keys;  // [items] key, index in `items`
  for (std::size_t i = 0; i < items.size(); ++i) keys.emplace_back(key_of_item(items[i]), i);
  std::size_t weight = 0;
  for (const auto& [key, index] : keys) weight += key.weight();
  if (!machine.spend_traversal(weight * 20)) return {};  // 20: about log2 of the largest number of items
  // After the first failure all keys compare equal, because std::stable_sort needs a strict weak order.
  const auto less = [&](const auto& a, const auto& b) {
    if (machine.failed()) return false;
    const std::optional<int> order = compare(a.first, b.first);
    if (!order) machine.fail(fmt::format("'{}' and '{}' can't be ordered", a.first.type_name(), b.first.type_name()));
    return order.value_or(0) < 0;
  };
  if (keys.size() > 1 &&
      std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return !compare(keys.front().first, key.first).has_value(); })) {
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
  if (Iterator* iterator = input.if_iterator(); iterator != nullptr && iterator->next < iterator->members.size()) {
    return iterator->members[iterator->next++];
  }
  const std::vector<Value> items = machine.iterate(input);
  return items.empty() ? Value() : items.front();
}

Value filter_last(Machine& machine, const Value& input, const Arguments&) {
  if (input.if_iterator() != nullptr) return machine.fail(fmt::format("'{}' object is not reversible", input.type_name()));
  const std::vector<Value> items = machine.iterate(input);
  return items.empty() ? Value() : items.back();
}

Value filter_list(Machine& machine, const Value& input, const Arguments&) { return machine.make_list(machine.iterate(input)); }

Value filter_reverse(Machine& machine, const Value& input, const Arguments&) {
  std::vector<Value> items = machine.iterate(input);
  std::reverse(items.begin(), items.end());
  if (input.if_iterator() != nullptr) return machine.make_list(std::move(items));
  if (input.if_text() == nullptr) return machine.make_iterator(std::move(items));
  std::string out;
  for (const Value& item : items) out += *item.if_text();
  return machine.make_text(std::move(out));
}

// The items for map, select and similar filters: none if the input is false.
std::vector<Value> items_or_none(Machine& machine, const Value& input) {
  return input.is_true() ? machine.iterate(input) : std::vector<Value>();
}

Value filter_map(Machine& machine, const Value& input, const Arguments& arguments) {
  std::vector<Value> out;
  if (const Value* attribute = named(arguments, "attribute"); attribute != nullptr && arguments.positional.empty()) {
    for (const Value& item : items_or_none(machine, input)) {
      Value member = path_of(machine, item, *attribute, named(arguments, "default"));
      if (machine.failed()) break;
      out.push_back(std::move(member));
    }
    return machine.make_iterator(std::move(out));
  }
  const std::string* name = arguments[0].if_text();
  const Filter* filter = name == nullptr ? nullptr : find_filter(*name);
  const Arguments rest{
      {arguments.positional.begin() + std::min<std::ptrdiff_t>(1, std::ssize(arguments.positional)), arguments.positional.end()},
      arguments.named};
  for (const Value& item : items_or_none(machine, input)) {
    Value result =
        filter == nullptr ? machine.fail(unsupported_filter(machine.text_of(arguments[0]))) : apply(*filter, machine, item, rest);
    if (machine.failed()) break;
    out.push_back(std::move(result));
  }
  return machine.make_iterator(std::move(out));
}

enum class Subject { item, attribute };  // what is tested: the item (select) or its attribute (selectattr)
enum class Wanted { holds, fails };      // which items are kept: by select those that pass, by reject those that fail
template <Subject subject, Wanted wanted>
Value filter_choose(Machine& machine, const Value& input, const Arguments& arguments) {
  constexpr std::size_t kTestIndex = subject == Subject::attribute ? 1 : 0;
  std::vector<Value> out;
  for (const Value& item : items_or_none(machine, input)) {
    if (arguments.positional.size() < kTestIndex) machine.fail("the name of an attribute is needed");
    const Value value = subject == Subject::attribute ? path_of(machine, item, arguments[0], nullptr) : item;
    bool holds = value.is_true();
    if (arguments.positional.size() > kTestIndex) {
      const std::string* name = arguments[kTestIndex].if_text();
      const Test* test = name == nullptr ? nullptr : find_test(*name);
      if (test == nullptr) machine.fail(unsupported_test(machine.text_of(arguments[kTestIndex])));
      const Arguments rest{{arguments.positional.begin() + kTestIndex + 1, arguments.positional.end()}, arguments.named};
      holds = !machine.failed() && apply(*test, machine, value, rest);
    }
    if (machine.failed() || !machine.spend_steps(1)) break;
    if (holds == (wanted == Wanted::holds)) out.push_back(item);
  }
  return machine.make_iterator(std::move(out));
}

Value filter_unique(Machine& machine, const Value& input, const Arguments& arguments) {
  std::vector<Value> out;
  std::vector<Value> seen;
  for (const Value& item : machine.iterate(input)) {
    const Value key = key_of(machine, item, arguments[0], arguments[1]);
    if (!machine.check_key(key) || !machine.spend_traversal(seen.size() * (key.weight() + 16))) break;
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return equals(key, other); })) continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return machine.make_iterator(std::move(out));
}

Value filter_sort(Machine& machine, const Value& input, const Arguments& arguments) {
  return machine.make_list(sorted_by(machine, machine.iterate(input), arguments[0].is_true(), [&](const Value& item) {
    // As a list, as in Jinja: equal keys then need not be orderable.
    return Value(List{{key_of(machine, item, arguments[1], arguments[2])}});
  }));
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

Value filter_items(Machine& machine, const Value& input, const Arguments&) {
  if (input.is_undefined()) return machine.make_iterator({});
  return input.if_dict() != nullptr ? machine.make_iterator(pairs_of(machine, *input.if_dict())) : machine.fail("items needs a mapping");
}

Value filter_dictsort(Machine& machine, const Value& input, const Arguments& arguments) {
  const std::string by = text_or(machine, arguments[1], "key");
  if (by != "key" && by != "value") return machine.fail("dictsort sorts by 'key' or 'value'");
  if (input.is_undefined()) return machine.fail("dictsort needs a mapping");
  const Value pairs = filter_items(machine, input, {});
  return machine.make_list(sorted_by(machine, machine.iterate(pairs), arguments[2].is_true(), [&](const Value& pair) {
    return key_of(machine, pair.if_list()->members[by == "key" ? 0 : 1], arguments[0], Value());
  }));
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
      {"select", {}, true, filter_choose<Subject::item, Wanted::holds>},
      {"reject", {}, true, filter_choose<Subject::item, Wanted::fails>},
      {"selectattr", {}, true, filter_choose<Subject::attribute, Wanted::holds>},
      {"rejectattr", {}, true, filter_choose<Subject::attribute, Wanted::fails>},
      {"unique", {"case_sensitive", "attribute"}, false, filter_unique},
      {"sort", {"reverse", "case_sensitive", "attribute"}, false, filter_sort},
      {"min", {"case_sensitive", "attribute"}, false, filter_min},
      {"max", {"case_sensitive", "attribute"}, false, filter_max},
      {"items", {}, false, filter_items},
      {"dictsort", {"case_sensitive", "by", "reverse"}, false, filter_dictsort},
  };
  return kFilters;
}

}  // namespace slora::jinja
