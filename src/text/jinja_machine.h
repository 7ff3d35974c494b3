#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// Bounds of one rendering. A template that a stranger wrote ends, and takes bounded memory and stack.
struct Limits {
  std::int64_t steps_max = 5'000'000;                // expressions, statements, members visited
  std::int64_t bytes_max = std::int64_t{256} << 20;  // made in all, whether kept or not
  std::size_t output_bytes_max = std::size_t{64} << 20;
  int depth_max = 600;        // of nested evaluations
  int value_depth_max = 200;  // of values that hold values
};

// What all of one rendering shares: the budget and the first error. After a failure everything returns at once with an
// undefined value that nobody sees; callers of loops ask failed(). Owned by one rendering and its thread.
class Machine {
 public:
  explicit Machine(const Limits& limits) : limits_(limits) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] const std::optional<Error>& failure() const { return error_; }
  // Both keep the first error and return an undefined value.
  Value fail(std::string_view what);
  Value refuse(std::string message);  // raise_exception: the template's own words, without ours

  // Takes from the budget; false, with an error, when it is used up.
  bool spend_steps(std::size_t count);
  bool spend_walk(std::size_t weight);  // steps for looking through a value of that weight
  bool spend_bytes(std::size_t count);
  // Pays for the walk through a key that is about to be looked up, or fails where it can't be one.
  bool check_key(const Value& key);
  // str() of a value, paid for.
  [[nodiscard]] std::string text_of(const Value& value);
  [[nodiscard]] Value make_text(std::string text);
  [[nodiscard]] Value make_list(std::vector<Value> members, ListKind kind = ListKind::list);
  [[nodiscard]] Value make_range(std::vector<Value> members, const std::array<std::int64_t, 3>& bounds);
  [[nodiscard]] Value make_iterator(std::vector<Value> members);
  [[nodiscard]] Value make_dict(Dict dict);
  [[nodiscard]] Value make_callable(Callable callable);
  [[nodiscard]] Value make_namespace(Namespace names);
  // The members a loop sees; an error and none when there can be none.
  [[nodiscard]] std::vector<Value> iterate(const Value& value);

  [[nodiscard]] const Limits& limits() const { return limits_; }
  void set_line(int line) { line_ = line; }
  [[nodiscard]] int line() const { return line_; }

 private:
  Value checked(Value value);

  const Limits limits_;
  std::int64_t steps_ = 0;
  std::int64_t bytes_ = 0;
  int line_ = 0;
  std::optional<Error> error_;
  std::vector<NamespacePtr> namespaces_;  // emptied at the end: they may hold one another in circles
};

// Names of the parameters of a filter, test, method or function. All are optional as far as bind_arguments() is concerned.
using Parameters = std::vector<std::string_view>;

// Arguments put into the order of `parameters`, absent ones undefined. Fails when there are too many or a name is unknown.
[[nodiscard]] Arguments bind_arguments(Machine& machine, std::string_view callee, const Parameters& parameters, const Arguments& arguments);

// An argument as an integer: `fallback` when it is undefined or None; fails when it is none.
[[nodiscard]] std::int64_t integer_or(Machine& machine, const Value& argument, std::int64_t fallback);
// An argument that must be text: nothing when it is undefined or None; fails when it is anything else.
[[nodiscard]] std::optional<std::string> optional_text(Machine& machine, const Value& argument);
// An argument as text: `fallback` when undefined or None; other values are written out.
[[nodiscard]] std::string text_or(Machine& machine, const Value& argument, std::string_view fallback);

}  // namespace slora::jinja
