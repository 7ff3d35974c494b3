#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora::jinja {

class Machine;
class Value;
struct Arguments;
struct Callable;
struct Dict;
struct Filter;
struct Iterator;
struct List;
struct Namespace;
struct Test;

struct Undefined {
  std::shared_ptr<const std::string> name;  // the name that was looked up, for messages; may be null
};
struct None {};
using TextPtr = std::shared_ptr<const std::string>;  // valid UTF-8; never null, like the other pointers in a value
struct SafeText {
  TextPtr text;
};
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;
using IteratorPtr = std::shared_ptr<Iterator>;
using NamespacePtr = std::shared_ptr<Namespace>;
using CallablePtr = std::shared_ptr<const Callable>;

// A Python value of a template. Only namespaces and iterators are mutable; everything else is shared within one rendering.
class Value {
 public:
  Value() = default;  // undefined
  explicit Value(std::nullptr_t) : data_(None{}) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(std::int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(std::string text);
  explicit Value(std::string_view text) : Value(std::string(text)) {}
  explicit Value(const char*) = delete;  // would convert to bool
  explicit Value(Undefined undefined) : data_(std::move(undefined)) {}
  explicit Value(List list);
  explicit Value(Dict dict);
  explicit Value(Iterator iterator);
  explicit Value(NamespacePtr names) : data_(std::move(names)) {}
  explicit Value(Callable callable);

  // Text that the filter safe marked as HTML: other text that + joins to it is escaped.
  [[nodiscard]] static Value safe_text(std::string text);

  [[nodiscard]] bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  [[nodiscard]] bool is_none() const { return std::holds_alternative<None>(data_); }
  [[nodiscard]] bool is_number() const;  // booleans are numbers, as in Python
  [[nodiscard]] const bool* if_bool() const { return std::get_if<bool>(&data_); }
  [[nodiscard]] const double* if_double() const { return std::get_if<double>(&data_); }
  [[nodiscard]] const Undefined* if_undefined() const { return std::get_if<Undefined>(&data_); }
  // Integers and booleans.
  [[nodiscard]] std::optional<std::int64_t> if_integer() const;
  // Numbers of every kind.
  [[nodiscard]] std::optional<double> if_number() const;
  [[nodiscard]] const std::string* if_text() const;  // marked as safe or not
  [[nodiscard]] bool is_safe_text() const { return std::holds_alternative<SafeText>(data_); }
  [[nodiscard]] const List* if_list() const { return get<List, ListPtr>(); }
  [[nodiscard]] const Dict* if_dict() const { return get<Dict, DictPtr>(); }
  [[nodiscard]] Iterator* if_iterator() const;
  [[nodiscard]] Namespace* if_namespace() const;
  [[nodiscard]] const Callable* if_callable() const { return get<Callable, CallablePtr>(); }
  [[nodiscard]] bool is_same_object(const Value& other) const;

  [[nodiscard]] bool is_true() const;
  // The nesting depth of values that contain values.
  [[nodiscard]] int depth() const;
  // About the length of the value as text; shared members count as often as they appear.
  [[nodiscard]] std::size_t weight() const;
  // Python's name of the type, for messages.
  [[nodiscard]] std::string_view type_name() const;

 private:
  template <class T, class Pointer>
  const T* get() const {
    const auto* pointer = std::get_if<Pointer>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, SafeText, ListPtr, DictPtr, IteratorPtr, NamespacePtr, CallablePtr>
      data_;
};

// Python's types of sequences and views: lists, tuples, ranges, and the views of a dictionary.
enum class ListKind { list, tuple, range, keys, values, items };

struct List {
  std::vector<Value> members;
  ListKind kind = ListKind::list;
  std::array<std::int64_t, 3> bounds = {};  // of a range: start, stop, step
  int depth = 1;
  std::size_t weight = 2;
};

// Members in order of insertion. Dictionaries come from clients and may have any size, so large ones have an index of text keys.
struct Dict {
  std::vector<std::pair<Value, Value>> members;
  int depth = 1;
  std::size_t weight = 2;

  [[nodiscard]] const Value* find(std::string_view key) const;
  [[nodiscard]] const Value* find(const Value& key) const;
  void put(Value key, Value value);
  // Must be called after members were modified directly.
  void make_index();

 private:
  std::optional<std::size_t> place_of(const Value& key) const;

  std::unordered_map<std::string_view, std::size_t> places_;  // index by text key, a view of the members; empty for small dictionaries
};

// The result of filters such as map, like Python's generators: always true, without a length, empty after one iteration.
struct Iterator {
  std::vector<Value> members;
  std::size_t next = 0;
  int depth = 1;
};

struct Namespace {
  std::map<std::string, Value, std::less<>> members;
};

struct Callable {
  std::function<Value(const Arguments&)> call;
  int depth = 0;  // of the values that `call` captures
};

// The arguments of a call of a filter, test, method, function or macro.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // A positional argument; undefined if there are fewer.
  [[nodiscard]] const Value& operator[](std::size_t index) const;
};

// Whether the value may be a key of a dictionary.
[[nodiscard]] bool is_hashable(const Value& value);
[[nodiscard]] bool equals(const Value& left, const Value& right);
// Negative, zero or positive; nothing if Python can't order the two.
[[nodiscard]] std::optional<int> compare(const Value& left, const Value& right);
// str() and repr(). Time and memory are proportional to the weight.
[[nodiscard]] std::string to_text(const Value& value);
[[nodiscard]] std::string to_repr(const Value& value);
// The members that a loop over the value visits; exhausts an iterator. Nothing if the value is not iterable.
[[nodiscard]] std::optional<std::vector<Value>> members_of(const Value& value);
// len(); nothing if the value has no length.
[[nodiscard]] std::optional<std::int64_t> length_of(const Value& value);

[[nodiscard]] Value from_json(const Json& json);

}  // namespace slora::jinja
