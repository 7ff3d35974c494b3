#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "text/python_text.h"
#include "text/utf8.h"

namespace slora::jinja {
namespace {

constexpr std::size_t kUnindexedMax = 16;                 // dictionaries up to this size are searched linearly
constexpr std::size_t kWeightMax = std::size_t{1} << 60;  // above every budget, without risk of overflow

std::size_t saturating_add(std::size_t a, std::size_t b) { return std::min(a + b, kWeightMax); }

template <class T>
int sign_of(const T& left, const T& right) {
  return left < right ? -1 : right < left ? 1 : 0;
}

// Compares two integers as integers, because a float does not represent all of them.
int compare_numbers(const Value& left, const Value& right) {
  if (left.if_integer() && right.if_integer()) return sign_of(*left.if_integer(), *right.if_integer());
  return sign_of(*left.if_number(), *right.if_number());
}

bool equal_lists(const List& left, const List& right) {
  return left.kind == right.kind &&
         std::equal(left.members.begin(), left.members.end(), right.members.begin(), right.members.end(), equals);
}

bool equal_dicts(const Dict& left, const Dict& right) {
  return left.members.size() == right.members.size() && std::all_of(left.members.begin(), left.members.end(), [&](const auto& member) {
           const Value* other = right.find(member.first);
           return other != nullptr && equals(member.second, *other);
         });
}

std::string_view list_type(ListKind kind) {
  switch (kind) {
    case ListKind::list:
      return "list";
    case ListKind::tuple:
      return "tuple";
    case ListKind::range:
      return "range";
    case ListKind::keys:
      return "dict_keys";
    case ListKind::values:
      return "dict_values";
    default:
      return "dict_items";
  }
}

std::string list_repr(const List& list) {
  if (list.kind == ListKind::range) {
    const auto [start, stop, step] = list.bounds;
    return step == 1 ? fmt::format("range({}, {})", start, stop) : fmt::format("range({}, {}, {})", start, stop, step);
  }
  const bool is_tuple = list.kind == ListKind::tuple;
  std::string out(1, is_tuple ? '(' : '[');
  for (std::size_t i = 0; i < list.members.size(); ++i) {
    if (i > 0) out += ", ";
    out += to_repr(list.members[i]);
  }
  if (is_tuple && list.members.size() == 1) out += ',';
  out += is_tuple ? ')' : ']';
  return is_tuple || list.kind == ListKind::list ? out : fmt::format("{}({})", list_type(list.kind), out);
}

std::string dict_repr(const Dict& dict) {
  std::string out = "{";
  for (std::size_t i = 0; i < dict.members.size(); ++i) {
    if (i > 0) out += ", ";
    out += to_repr(dict.members[i].first) + ": " + to_repr(dict.members[i].second);
  }
  return out + "}";
}

}  // namespace

Value::Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}

Value Value::safe_text(std::string text) {
  Value value;
  value.data_ = SafeText{std::make_shared<const std::string>(std::move(text))};
  return value;
}

const std::string* Value::if_text() const {
  const auto* safe = std::get_if<SafeText>(&data_);
  return safe != nullptr ? safe->text.get() : get<std::string, TextPtr>();
}

Value::Value(List list) {
  for (const Value& member : list.members) {
    list.depth = std::max(list.depth, member.depth() + 1);
    list.weight = saturating_add(list.weight, member.weight() + 2);
  }
  data_ = std::make_shared<const List>(std::move(list));
}

Value::Value(Dict dict) {
  for (const auto& [key, value] : dict.members) {
    dict.depth = std::max({dict.depth, key.depth() + 1, value.depth() + 1});
    dict.weight = saturating_add(dict.weight, saturating_add(key.weight(), value.weight() + 4));
  }
  dict.make_index();
  data_ = std::make_shared<const Dict>(std::move(dict));
}

Value::Value(Iterator iterator) {
  for (const Value& member : iterator.members) iterator.depth = std::max(iterator.depth, member.depth() + 1);
  data_ = std::make_shared<Iterator>(std::move(iterator));
}

Value::Value(Callable callable) : data_(std::make_shared<const Callable>(std::move(callable))) {}

Iterator* Value::if_iterator() const {
  const auto* pointer = std::get_if<IteratorPtr>(&data_);
  return pointer == nullptr ? nullptr : pointer->get();
}

Namespace* Value::if_namespace() const {
  const auto* pointer = std::get_if<NamespacePtr>(&data_);
  return pointer == nullptr ? nullptr : pointer->get();
}

bool Value::is_number() const { return if_integer().has_value() || if_double() != nullptr; }

std::optional<std::int64_t> Value::if_integer() const {
  if (const bool* flag = if_bool()) return *flag ? 1 : 0;
  if (const auto* integer = std::get_if<std::int64_t>(&data_)) return *integer;
  return std::nullopt;
}

std::optional<double> Value::if_number() const {
  if (const double* number = if_double()) return *number;
  if (const std::optional<std::int64_t> integer = if_integer()) return static_cast<double>(*integer);
  return std::nullopt;
}

bool Value::is_same_object(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (if_text() != nullptr || is_number() || is_none() || is_undefined()) return equals(*this, other);
  return if_list() == other.if_list() && if_dict() == other.if_dict() && if_iterator() == other.if_iterator() &&
         if_namespace() == other.if_namespace() && if_callable() == other.if_callable();
}

bool Value::is_true() const {
  if (is_undefined() || is_none()) return false;
  if (const std::optional<double> number = if_number()) return *number != 0;
  if (const std::string* text = if_text()) return !text->empty();
  if (const List* list = if_list()) return !list->members.empty();
  if (const Dict* dict = if_dict()) return !dict->members.empty();
  return true;
}

int Value::depth() const {
  if (const List* list = if_list()) return list->depth;
  if (const Dict* dict = if_dict()) return dict->depth;
  if (const Iterator* iterator = if_iterator()) return iterator->depth;
  if (const Callable* callable = if_callable()) return callable->depth;
  return 0;
}

std::size_t Value::weight() const {
  if (const std::string* text = if_text()) return text->size() + 2;
  if (const List* list = if_list()) return list->weight;
  if (const Dict* dict = if_dict()) return dict->weight;
  return 16;
}

std::string_view Value::type_name() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "NoneType";
  if (if_bool() != nullptr) return "bool";
  if (if_double() != nullptr) return "float";
  if (if_integer()) return "int";
  if (if_text() != nullptr) return "str";
  if (const List* list = if_list()) return list_type(list->kind);
  if (if_dict() != nullptr) return "dict";
  if (if_iterator() != nullptr) return "generator";
  return if_namespace() != nullptr ? "namespace" : "function";
}

std::optional<std::size_t> Dict::place_of(const Value& key) const {
  const std::string* text = key.if_text();
  if (text != nullptr && !places_.empty()) {
    const auto place = places_.find(*text);
    return place == places_.end() ? std::nullopt : std::optional(place->second);
  }
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (equals(members[i].first, key)) return i;
  }
  return std::nullopt;
}

const Value* Dict::find(std::string_view key) const {
  if (!places_.empty()) {
    const auto place = places_.find(key);
    return place == places_.end() ? nullptr : &members[place->second].second;
  }
  for (const auto& [name, value] : members) {
    if (const std::string* text = name.if_text(); text != nullptr && *text == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  const std::optional<std::size_t> place = place_of(key);
  return place ? &members[*place].second : nullptr;
}

void Dict::put(Value key, Value value) {
  if (const std::optional<std::size_t> place = place_of(key)) {
    members[*place].second = std::move(value);
    return;
  }
  members.emplace_back(std::move(key), std::move(value));
  if (members.size() == kUnindexedMax + 1) {
    make_index();
  } else if (const std::string* text = members.back().first.if_text(); text != nullptr && !places_.empty()) {
    places_.emplace(*text, members.size() - 1);
  }
}

void Dict::make_index() {
  places_.clear();
  for (std::size_t i = 0; i < members.size() && members.size() > kUnindexedMax; ++i) {
    if (const std::string* text = members[i].first.if_text()) places_.emplace(*text, i);
  }
}

const Value& Arguments::operator[](std::size_t index) const {
  static const Value kAbsent;
  return index < positional.size() ? positional[index] : kAbsent;
}

bool is_hashable(const Value& value) {
  if (value.if_dict() != nullptr) return false;
  const List* list = value.if_list();
  if (list == nullptr || list->kind == ListKind::range) return true;
  return list->kind == ListKind::tuple && std::all_of(list->members.begin(), list->members.end(), is_hashable);
}

bool equals(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return compare_numbers(left, right) == 0 && *left.if_number() == *right.if_number();
  if (left.if_text() != nullptr && right.if_text() != nullptr) return *left.if_text() == *right.if_text();
  if (left.if_list() != nullptr && right.if_list() != nullptr) return equal_lists(*left.if_list(), *right.if_list());
  if (left.if_dict() != nullptr && right.if_dict() != nullptr) return equal_dicts(*left.if_dict(), *right.if_dict());
  if (left.if_iterator() != nullptr || left.if_namespace() != nullptr || left.if_callable() != nullptr) return left.is_same_object(right);
  return (left.is_none() && right.is_none()) || (left.is_undefined() && right.is_undefined());
}

std::optional<int> compare(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return compare_numbers(left, right);
  if (left.if_text() != nullptr && right.if_text() != nullptr)
    return sign_of(*left.if_text(), *right.if_text());  // the order of UTF-8 bytes is the order of code points
  if (left.if_list() != nullptr && right.if_list() != nullptr && left.if_list()->kind == right.if_list()->kind &&
      left.if_list()->kind <= ListKind::tuple) {
    const std::vector<Value>& a = left.if_list()->members;
    const std::vector<Value>& b = right.if_list()->members;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!equals(a[i], b[i])) return compare(a[i], b[i]);
    }
    return sign_of(a.size(), b.size());
  }
  return std::nullopt;
}

std::string to_text(const Value& value) {
  if (value.is_undefined()) return {};
  if (const std::string* text = value.if_text()) return *text;
  return to_repr(value);
}

std::string to_repr(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "None";
  if (const bool* flag = value.if_bool()) return *flag ? "True" : "False";
  if (const double* number = value.if_double()) return repr_of(*number);
  if (const std::optional<std::int64_t> integer = value.if_integer()) return std::to_string(*integer);
  if (const std::string* text = value.if_text()) {
    const std::string shown = repr_of(std::string_view(*text));
    return value.is_safe_text() ? fmt::format("Markup({})", shown) : shown;
  }
  if (const List* list = value.if_list()) return list_repr(*list);
  if (const Dict* dict = value.if_dict()) return dict_repr(*dict);
  if (value.if_iterator() != nullptr) return "<generator>";
  return value.if_namespace() != nullptr ? "<Namespace>" : "<function>";
}

std::optional<std::vector<Value>> members_of(const Value& value) {
  std::vector<Value> members;
  if (const List* list = value.if_list()) return list->members;
  if (const Dict* dict = value.if_dict()) {
    for (const auto& [key, unused] : dict->members) members.push_back(key);
    return members;
  }
  if (const std::string* text = value.if_text()) {
    for (std::string_view rest = *text; !rest.empty();) {
      const std::size_t bytes = first_code_point(rest).bytes;
      members.emplace_back(rest.substr(0, bytes));
      rest.remove_prefix(bytes);
    }
    return members;
  }
  if (Iterator* iterator = value.if_iterator()) {
    members.assign(iterator->members.begin() + static_cast<std::ptrdiff_t>(std::exchange(iterator->next, iterator->members.size())),
                   iterator->members.end());
    return members;
  }
  if (value.is_undefined()) return members;
  return std::nullopt;
}

std::optional<std::int64_t> length_of(const Value& value) {
  if (const std::string* text = value.if_text()) return count_code_points(*text);
  if (const List* list = value.if_list()) return std::ssize(list->members);
  if (const Dict* dict = value.if_dict()) return std::ssize(dict->members);
  if (value.is_undefined()) return 0;
  return std::nullopt;
}

Value from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      return number <= static_cast<std::uint64_t>(INT64_MAX) ? Value(static_cast<std::int64_t>(number))
                                                             : Value(static_cast<double>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(to_valid_utf8(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      List list;
      list.members.reserve(json.size());
      for (const Json& member : json) list.members.push_back(from_json(member));
      return Value(std::move(list));
    }
    case Json::value_t::object: {
      Dict dict;
      dict.members.reserve(json.size());
      for (const auto& [key, member] : json.items()) dict.members.emplace_back(Value(to_valid_utf8(key)), from_json(member));
      return Value(std::move(dict));
    }
    default:
      return Value(nullptr);
  }
}

}  // namespace slora::jinja
