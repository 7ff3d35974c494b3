#include "text/jinja_filters.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_tests.h"

// The interpreter's part for expressions.

namespace slora::jinja {

Value Interpreter::evaluate(const ExpressionPtr& expression) {
  if (expression == nullptr || !machine_.spend_steps(1)) return Value();
  machine_.set_line(expression->line);
  if (!enter()) return Value();
  Value value = std::visit([this](const auto& kind) { return evaluate(kind); }, expression->kind);
  --depth_;
  return value;
}

Value Interpreter::evaluate(const Literal& expression) { return expression.value; }

Value Interpreter::evaluate(const Name& expression) {
  if (const Value* value = scope_->find(expression.name)) return *value;
  return Value(Undefined{std::make_shared<const std::string>("'" + expression.name + "'")});
}

Value Interpreter::evaluate(const Attribute& expression) {
  const Value object = evaluate(expression.object);
  return machine_.failed() ? Value() : attribute_of(machine_, object, expression.name);
}

Value Interpreter::evaluate(const Subscript& expression) {
  const Value object = evaluate(expression.object);
  const Value key = evaluate(expression.key);
  return machine_.failed() ? Value() : subscript_of(machine_, object, key);
}

Value Interpreter::evaluate(const Slice& expression) {
  const Value object = evaluate(expression.object);
  const Value start = evaluate(expression.start);
  const Value stop = evaluate(expression.stop);
  const Value step = evaluate(expression.step);
  return machine_.failed() ? Value() : slice(machine_, object, start, stop, step);
}

Value Interpreter::evaluate(const Call& expression) {
  const Arguments arguments = evaluate(expression.arguments);
  const Value callee = evaluate(expression.callee);
  if (machine_.failed()) return Value();
  if (const Callable* callable = callee.if_callable()) return callable->call(arguments);
  const Undefined* undefined = callee.if_undefined();
  if (undefined != nullptr && undefined->name != nullptr)
    return machine_.fail(fmt::format("{} is undefined or not supported", *undefined->name));
  return machine_.fail(fmt::format("a value of type '{}' can't be called", callee.type_name()));
}

Value Interpreter::evaluate(const FilterCall& expression) {
  if (expression.filter == nullptr) return machine_.fail(lacking_filter(expression.name));
  const Value input = evaluate(expression.input);
  const Arguments arguments = evaluate(expression.arguments);
  return machine_.failed() ? Value() : apply(*expression.filter, machine_, input, arguments);
}

Value Interpreter::evaluate(const TestCall& expression) {
  if (expression.test == nullptr) return machine_.fail(lacking_test(expression.name));
  const Value input = evaluate(expression.input);
  const Arguments arguments = evaluate(expression.arguments);
  return machine_.failed() ? Value() : Value(apply(*expression.test, machine_, input, arguments));
}

Value Interpreter::evaluate(const Unary& expression) {
  const Value operand = evaluate(expression.operand);
  if (machine_.failed()) return Value();
  if (expression.kind == UnaryOperator::logical_not) return Value(!operand.is_true());
  if (expression.kind == UnaryOperator::negate) return negate(machine_, operand);
  if (operand.if_double() != nullptr) return operand;
  const std::optional<std::int64_t> integer = operand.if_integer();
  return integer ? Value(*integer) : machine_.fail(fmt::format("a sign needs a number, found '{}'", operand.type_name()));
}

Value Interpreter::evaluate(const Binary& expression) {
  Value left = evaluate(expression.left);
  if (machine_.failed()) return Value();
  if (expression.kind == BinaryOperator::logical_and) return left.is_true() ? evaluate(expression.right) : left;
  if (expression.kind == BinaryOperator::logical_or) return left.is_true() ? left : evaluate(expression.right);
  const Value right = evaluate(expression.right);
  return machine_.failed() ? Value() : calculate(machine_, expression.kind, left, right);
}

Value Interpreter::evaluate(const Compare& expression) {
  Value left = evaluate(expression.first);
  for (const auto& [comparison, operand] : expression.rest) {
    Value right = evaluate(operand);
    if (machine_.failed()) return Value();
    if (!holds(machine_, comparison, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate(const Conditional& expression) {
  const bool holds = evaluate(expression.condition).is_true();
  return evaluate(holds ? expression.value : expression.otherwise);
}

Value Interpreter::evaluate(const ListLiteral& expression) {
  std::vector<Value> members;
  for (const ExpressionPtr& member : expression.members) members.push_back(evaluate(member));
  return machine_.make_list(std::move(members), expression.is_tuple ? ListKind::tuple : ListKind::list);
}

Value Interpreter::evaluate(const DictLiteral& expression) {
  Dict dict;
  for (const auto& [key, value] : expression.members) {
    Value name = evaluate(key);
    if (!machine_.check_key(name)) return Value();
    dict.put(std::move(name), evaluate(value));
  }
  return machine_.make_dict(std::move(dict));
}

Arguments Interpreter::evaluate(const CallArguments& arguments) {
  Arguments values;
  for (const ExpressionPtr& argument : arguments.positional) values.positional.push_back(evaluate(argument));
  for (const auto& [name, argument] : arguments.named) values.named.emplace_back(name, evaluate(argument));
  return values;
}

}  // namespace slora::jinja
