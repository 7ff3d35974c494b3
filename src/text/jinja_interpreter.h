#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja_machine.h"
#include "text/jinja_syntax.h"
#include "text/marked_text.h"

namespace slora::jinja {

// Variables of one block. A macro has a weak reference to the scope that defines it, which lives as long as its block runs.
class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent) : parent_(std::move(parent)) {}

  [[nodiscard]] const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);

 private:
  std::shared_ptr<Scope> parent_;  // null for the outermost
  std::map<std::string, Value, std::less<>> variables_;
};

// One rendering of one template. Owned by its caller and thread; the template must outlive it.
class Interpreter {
 public:
  explicit Interpreter(const Limits& limits);

  // Requires: called once.
  Result<MarkedText> run(const Template& root, const Value& context);

 private:
  using ScopePtr = std::shared_ptr<Scope>;
  enum class Flow { next, break_loop, continue_loop };  // what a statement does to the loop around it
  class Inner;                                          // opens a scope for its own lifetime

  // Statements.
  Flow execute(const Body& body);
  Flow execute(const Statement& statement);
  Flow run(const Text& statement);
  Flow run(const Output& statement);
  Flow run(const If& statement);
  Flow run(const For& statement);
  Flow run(const Set& statement);
  Flow run(const SetBlock& statement);
  Flow run(const MacroDefinition& statement);
  Flow run(const With& statement);
  Flow run(const Generation& statement);
  Flow run(const Break&) { return Flow::break_loop; }
  Flow run(const Continue&) { return Flow::continue_loop; }

  // Increments depth_, which the caller decrements again; false, with an error, if the maximum is reached.
  bool enter();
  void emit(std::string_view text);
  // The output of a body as a string.
  std::string capture(const Body& body);
  void assign(const Target& target, const Value& value);
  std::vector<Value> loop_items(const For& statement);
  Value loop_value(const std::vector<Value>& items, std::size_t index);
  Value make_macro(const MacroDefinition& definition);
  Value call_macro(const MacroDefinition& definition, const ScopePtr& home, const Arguments& arguments);

  // Expressions. Null evaluates to an undefined value.
  Value evaluate(const ExpressionPtr& expression);
  Value evaluate(const Literal& expression);
  Value evaluate(const Name& expression);
  Value evaluate(const Attribute& expression);
  Value evaluate(const Subscript& expression);
  Value evaluate(const Slice& expression);
  Value evaluate(const Call& expression);
  Value evaluate(const FilterCall& expression);
  Value evaluate(const TestCall& expression);
  Value evaluate(const Unary& expression);
  Value evaluate(const Binary& expression);
  Value evaluate(const Compare& expression);
  Value evaluate(const Conditional& expression);
  Value evaluate(const ListLiteral& expression);
  Value evaluate(const DictLiteral& expression);
  Arguments evaluate(const CallArguments& arguments);

  Machine machine_;
  const std::vector<std::pair<Value, Value>> loop_members_;  // the names of the members of `loop`, with those values that never change
  ScopePtr scope_;
  MarkedText rendered_;
  std::string* out_ = &rendered_.text;  // destination of the output: the rendered text, or a captured body
  bool is_marking_ = false;             // in a generation block
  int depth_ = 0;
};

}  // namespace slora::jinja
