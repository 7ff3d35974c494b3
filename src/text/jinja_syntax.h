#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_value.h"

namespace slora::jinja {

// The syntax tree of a template. Built by the parser, constant afterwards. Its depth is bounded, so recursive traversal is safe.

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;  // null: an optional part that is absent

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct Attribute {  // object.name
  ExpressionPtr object;
  std::string name;
};
struct Subscript {  // object[key]
  ExpressionPtr object;
  ExpressionPtr key;
};
struct Slice {  // object[start:stop:step]
  ExpressionPtr object;
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct FilterCall {  // input | name(arguments)
  ExpressionPtr input;
  const Filter* filter;  // null: not supported, an error when it is evaluated
  std::string name;
  CallArguments arguments;
};
struct TestCall {  // input is name(arguments)
  ExpressionPtr input;
  const Test* test;  // null: not supported
  std::string name;
  CallArguments arguments;
};
enum class UnaryOperator { negate, plus, logical_not };
struct Unary {
  UnaryOperator kind;
  ExpressionPtr operand;
};
enum class BinaryOperator { logical_and, logical_or, add, subtract, multiply, divide, floor_divide, modulo, concatenate };
struct Binary {
  BinaryOperator kind;
  ExpressionPtr left;
  ExpressionPtr right;
};
enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
struct Compare {  // first < second <= third
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};
struct Conditional {  // value if condition else otherwise
  ExpressionPtr condition;
  ExpressionPtr value;
  ExpressionPtr otherwise;
};
struct ListLiteral {
  std::vector<ExpressionPtr> members;
  bool is_tuple;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> members;
};

struct Expression {
  int line;
  int depth;  // of the subtree
  std::variant<Literal, Name, Attribute, Subscript, Slice, Call, FilterCall, TestCall, Unary, Binary, Compare, Conditional, ListLiteral,
               DictLiteral>
      kind;
};

// The direct operands of an expression, and the largest depth of them.
void visit_parts(const Expression& expression, const std::function<void(const Expression&)>& visit);
[[nodiscard]] int depth_below(const Expression& expression);

struct Statement;
using Body = std::vector<Statement>;

// The target of an assignment: a name, an attribute of a namespace, or a tuple of names.
struct Target {
  std::vector<std::string> names;
  std::optional<std::string> attribute;  // of the only name
  bool is_tuple = false;
};

struct Text {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
struct If {
  struct Branch {
    ExpressionPtr condition;  // null: else
    Body body;
  };
  std::vector<Branch> branches;
};
struct For {
  Target target;
  ExpressionPtr items;
  ExpressionPtr condition;
  Body body;
  Body otherwise;
  bool uses_loop = false;  // the word "loop" is in its body
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  Body body;
};
struct MacroDefinition {
  struct Parameter {
    std::string name;
    ExpressionPtr fallback;
  };
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
};
struct With {
  std::vector<std::pair<std::string, ExpressionPtr>> variables;
  Body body;
};
struct Generation {  // {% generation %}: marks the assistant's tokens for training; the text is unchanged
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<Text, Output, If, For, Set, SetBlock, MacroDefinition, With, Generation, Break, Continue> kind;
};

struct Template {
  Body body;
  std::size_t source_bytes = 0;
};

// The bodies directly inside a statement.
[[nodiscard]] std::vector<const Body*> bodies_of(const Statement& statement);
// All statements of a body, nested ones included.
void visit_statements(const Body& body, const std::function<void(const Statement&)>& visit);
// All expressions of a statement and their parts, without those of nested statements.
void visit_expressions(const Statement& statement, const std::function<void(const Expression&)>& visit);

}  // namespace slora::jinja
