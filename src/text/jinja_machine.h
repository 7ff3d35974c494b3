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

// Limits of one rendering: templates are untrusted input, so time, memory and stack are bounded. Steps and bytes are counted, never timed,
// so that the same conversation is rendered or refused everywhere. What a template may use beyond a small base grows with its input, as
// the cost of every published template does.
struct Limits {
  // `input_weight`: of the context; `source_bytes`: of the template.
  [[nodiscard]] static Limits for_input(std::size_t input_weight, std::size_t source_bytes);

  std::int64_t steps_max = 500'000;                  // each about 0.1 us at most: expressions, statements, bytes and members visited
  std::int64_t bytes_max = std::int64_t{512} << 10;  // allocated in total, freed ones included
  std::size_t output_bytes_max = std::size_t{256} << 10;
  int depth_max = 600;        // of nested evaluations
  int value_depth_max = 200;  // of values that contain values
};

// The state that one rendering shares: its budget and the first error. After an error every function returns an undefined value
// at once, which is never rendered; loops check failed(). Owned by one rendering and its thread.
class Machine {
 public:
  explicit Machine(const Limits& limits) : limits_(limits) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] const std::optional<Error>& failure() const { return error_; }
  // Record an error unless there is one already, and return an undefined value.
  Value fail(std::string_view what);
  Value refuse(std::string message);  // for raise_exception: the template's own message, without line and prefix

  // Subtract from the budget; false, with an error, when it is exhausted.
  bool spend_steps(std::size_t count);
  bool spend_traversal(std::size_t weight);  // steps for a traversal of a value of that weight
  bool spend_characters(std::size_t bytes);  // steps for looking up every character of a text
  bool spend_bytes(std::size_t count);
  // Subtracts the cost of hashing or comparing a key; fails if the value is not hashable.
  bool check_key(const Value& key);
  // str() of a value; subtracts its cost.
  [[nodiscard]] std::string text_of(const Value& value);
  [[nodiscard]] Value make_text(std::string text);
  // Fails if the value is text marked as safe: only printing, comparing and joining it are supported.
  bool check_not_safe(const Value& value);
  [[nodiscard]] Value make_list(std::vector<Value> members, ListKind kind = ListKind::list);
  // Requires: its members are paid for.
  [[nodiscard]] Value make_range(std::vector<Value> members, const std::array<std::int64_t, 3>& bounds);
  [[nodiscard]] Value make_iterator(std::vector<Value> members);
  [[nodiscard]] Value make_dict(Dict dict);
  [[nodiscard]] Value make_callable(Callable callable);
  [[nodiscard]] Value make_namespace(Namespace names);
  // Fails, as for spend_bytes, if a list of this many members may not be made.
  bool can_make_members(std::size_t count);
  // The members that a loop iterates over; none, with an error, if the value is not iterable.
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
  std::vector<NamespacePtr> namespaces_;  // cleared at the end, because they may contain one another (reference cycles)
};

// Names of the parameters of a filter, test, method or function. bind_arguments() treats all as optional.
using Parameters = std::vector<std::string_view>;

// The arguments in the order of `parameters`, absent ones undefined. Fails if there are too many or a name is unknown.
[[nodiscard]] Arguments bind_arguments(Machine& machine, std::string_view callee, const Parameters& parameters, const Arguments& arguments);

// An argument as an integer: `fallback` if it is undefined or None; fails for other types.
[[nodiscard]] std::int64_t integer_or(Machine& machine, const Value& argument, std::int64_t fallback);
// An argument as text: nothing if it is undefined or None; fails for other types.
[[nodiscard]] std::optional<std::string> optional_text(Machine& machine, const Value& argument);
// str() of an argument: `fallback` if it is undefined or None.
[[nodiscard]] std::string text_or(Machine& machine, const Value& argument, std::string_view fallback);

}  // namespace slora::jinja
