#include "text/jinja_interpreter.h"

#include <optional>
#include <utility>

#include "text/jinja_filters.h"
#include "text/jinja_functions.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_tests.h"

namespace slora::jinja {
namespace {

// Costs in steps: of one iteration for its scope, and for `loop` where the body uses it; of one call of a macro.
constexpr std::size_t kIterationSteps = 6, kLoopSteps = 12, kMacroSteps = 8;

// A function that exists in Jinja and is refused by name.
Value unsupported_function(Machine& machine, std::string_view name) {
  return Value(Callable{[&machine, name](const Arguments&) { return machine.fail(fmt::format("'{}' is not supported", name)); }});
}

// `loop` as far as it is the same in all iterations of all loops; its neighbours are appended where there are any.
std::vector<std::pair<Value, Value>> loop_members(Machine& machine) {
  std::vector<std::pair<Value, Value>> members;
  for (const std::string_view name : {"index", "index0", "revindex", "revindex0", "first", "last", "length"}) {
    members.emplace_back(Value(name), Value());
  }
  members.emplace_back(Value(std::string_view("depth")), Value(std::int64_t{1}));  // counts recursive loops only, which the parser refuses
  members.emplace_back(Value(std::string_view("depth0")), Value(std::int64_t{0}));
  members.emplace_back(Value(std::string_view("cycle")), unsupported_function(machine, "loop.cycle"));
  members.emplace_back(Value(std::string_view("changed")), unsupported_function(machine, "loop.changed"));
  members.emplace_back(Value(std::string_view("previtem")), Value());
  members.emplace_back(Value(std::string_view("nextitem")), Value());
  return members;
}

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
    if (const auto variable = scope->variables_.find(name); variable != scope->variables_.end()) return &variable->second;
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) { variables_.insert_or_assign(std::string(name), std::move(value)); }

class Interpreter::Inner {
 public:
  Inner(Interpreter& interpreter, ScopePtr parent)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.scope_, std::make_shared<Scope>(std::move(parent)))) {}
  explicit Inner(Interpreter& interpreter) : Inner(interpreter, interpreter.scope_) {}
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;
  ~Inner() { interpreter_.scope_ = std::move(outer_); }

 private:
  Interpreter& interpreter_;
  ScopePtr outer_;
};

Interpreter::Interpreter(const Limits& limits)
    : machine_(limits), loop_members_(loop_members(machine_)), scope_(std::make_shared<Scope>(nullptr)) {
  for (auto& [name, function] : global_functions(machine_)) scope_->set(name, function);
}

Result<MarkedText> Interpreter::run(const Template& root, const Value& context) {
  if (const Dict* dict = context.if_dict()) {
    for (const auto& [name, value] : dict->members) scope_->set(*name.if_text(), value);
  }
  execute(root.body);
  if (machine_.failed()) return tl::unexpected<Error>(*machine_.failure());
  return std::move(rendered_);
}

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (const Statement& statement : body) {
    const Flow flow = execute(statement);
    if (flow != Flow::next || machine_.failed()) return flow;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  machine_.set_line(statement.line);
  if (!machine_.spend_steps(1) || !enter()) return Flow::next;
  const Flow flow = std::visit([this](const auto& kind) { return run(kind); }, statement.kind);
  --depth_;
  return flow;
}

bool Interpreter::enter() {
  if (depth_ >= machine_.limits().depth_max) {
    machine_.fail("the template nests too deeply");
    return false;
  }
  ++depth_;
  return true;
}

void Interpreter::emit(std::string_view text) {
  if (out_->size() + text.size() > machine_.limits().output_bytes_max) machine_.fail("the rendered text is too long");
  if (!machine_.failed()) *out_ += text;
}

std::string Interpreter::capture(const Body& body) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  execute(body);
  out_ = outer;
  machine_.spend_bytes(text.size());
  return text;
}

Interpreter::Flow Interpreter::run(const Text& statement) {
  emit(statement.text);
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const Output& statement) {
  emit(machine_.text_of(evaluate(statement.value)));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const If& statement) {
  for (const If::Branch& branch : statement.branches) {
    const bool taken = branch.condition == nullptr || evaluate(branch.condition).is_true();
    if (machine_.failed()) break;
    if (taken) return execute(branch.body);
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const For& statement) {
  const std::vector<Value> items = loop_items(statement);
  if (items.empty() && !machine_.failed()) return execute(statement.otherwise);
  for (std::size_t i = 0; i < items.size() && machine_.spend_steps(kIterationSteps + (statement.uses_loop ? kLoopSteps : 0)); ++i) {
    const Inner inner(*this);
    if (statement.uses_loop) scope_->set("loop", loop_value(items, i));
    assign(statement.target, items[i]);
    if (execute(statement.body) == Flow::break_loop) break;
  }
  return Flow::next;
}

// The members that pass the loop's own condition; `loop` counts only those.
std::vector<Value> Interpreter::loop_items(const For& statement) {
  std::vector<Value> items = machine_.iterate(evaluate(statement.items));
  if (statement.condition == nullptr) return items;
  std::vector<Value> chosen;
  for (const Value& item : items) {
    if (!machine_.spend_steps(kIterationSteps)) break;
    const Inner inner(*this);
    assign(statement.target, item);
    if (evaluate(statement.condition).is_true()) chosen.push_back(item);
    if (machine_.failed()) break;
  }
  return chosen;
}

Value Interpreter::loop_value(const std::vector<Value>& items, std::size_t index) {
  const auto count = static_cast<std::int64_t>(items.size());
  const auto at = static_cast<std::int64_t>(index);
  Dict loop;
  loop.members = loop_members_;
  std::size_t member = 0;
  for (const Value& value :
       {Value(at + 1), Value(at), Value(count - at), Value(count - at - 1), Value(at == 0), Value(at == count - 1), Value(count)}) {
    loop.members[member++].second = value;
  }
  if (index + 1 < items.size()) {
    loop.members.back().second = items[index + 1];
  } else {
    loop.members.pop_back();
  }
  const auto previous = loop.members.begin() + static_cast<std::ptrdiff_t>(loop_members_.size()) - 2;
  if (index > 0) {
    previous->second = items[index - 1];
  } else {
    loop.members.erase(previous);
  }
  return machine_.make_dict(std::move(loop));
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (machine_.failed()) return;
  if (target.attribute) {
    const Value* object = scope_->find(target.names.front());
    Namespace* names = object == nullptr ? nullptr : object->if_namespace();
    if (names == nullptr) {
      machine_.fail(fmt::format("'{}' is no namespace, so '{}' can't be set", target.names.front(), *target.attribute));
    } else {
      names->members.insert_or_assign(*target.attribute, value);
    }
    return;
  }
  if (!target.is_tuple) {
    scope_->set(target.names.front(), value);
    return;
  }
  const std::vector<Value> members = machine_.iterate(value);
  if (members.size() != target.names.size()) {
    machine_.fail(fmt::format("{} values can't be assigned to {} names", members.size(), target.names.size()));
    return;
  }
  for (std::size_t i = 0; i < members.size(); ++i) scope_->set(target.names[i], members[i]);
}

Interpreter::Flow Interpreter::run(const Set& statement) {
  assign(statement.target, evaluate(statement.value));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const SetBlock& statement) {
  std::string text;
  {
    const Inner inner(*this);
    text = capture(statement.body);
  }
  assign(statement.target, machine_.make_text(std::move(text)));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const With& statement) {
  std::vector<Value> values;  // all evaluated before the first is visible
  for (const auto& [name, value] : statement.variables) values.push_back(evaluate(value));
  const Inner inner(*this);
  for (std::size_t i = 0; i < values.size(); ++i) scope_->set(statement.variables[i].first, values[i]);
  return execute(statement.body);
}

// Where the text of a macro or of a set block will stand, if anywhere, is not known here: it has no marks, as in transformers.
Interpreter::Flow Interpreter::run(const Generation& statement) {
  if (is_marking_ || out_ != &rendered_.text) return execute(statement.body);
  is_marking_ = true;
  const std::size_t begin = rendered_.text.size();
  const Flow flow = execute(statement.body);
  rendered_.answers.push_back({begin, rendered_.text.size()});
  is_marking_ = false;
  return flow;
}

Interpreter::Flow Interpreter::run(const MacroDefinition& statement) {
  scope_->set(statement.name, make_macro(statement));
  return Flow::next;
}

Value Interpreter::make_macro(const MacroDefinition& definition) {
  const auto run_macro = [this, &definition, home = std::weak_ptr<Scope>(scope_)](const Arguments& arguments) {
    const ScopePtr scope = home.lock();
    if (scope == nullptr)
      return machine_.fail(fmt::format("the macro '{}' is called outside of the block that defines it", definition.name));
    return call_macro(definition, scope, arguments);
  };
  return Value(Callable{run_macro});
}

Value Interpreter::call_macro(const MacroDefinition& definition, const ScopePtr& home, const Arguments& arguments) {
  if (!machine_.spend_steps(kMacroSteps)) return Value();
  const std::size_t count = definition.parameters.size();
  if (arguments.positional.size() > count)
    return machine_.fail(
        fmt::format("the macro '{}' takes at most {} arguments, {} were given", definition.name, count, arguments.positional.size()));
  std::vector<std::optional<Value>> bound(arguments.positional.begin(), arguments.positional.end());
  bound.resize(count);
  for (const auto& [name, value] : arguments.named) {
    std::size_t i = 0;
    while (i < count && definition.parameters[i].name != name) ++i;
    if (i == count) return machine_.fail(fmt::format("the macro '{}' has no argument '{}'", definition.name, name));
    if (bound[i]) return machine_.fail(fmt::format("the macro '{}' is given '{}' twice", definition.name, name));
    bound[i] = value;
  }

  const Inner inner(*this, home);
  for (std::size_t i = 0; i < count; ++i) {
    const MacroDefinition::Parameter& parameter = definition.parameters[i];
    scope_->set(parameter.name, bound[i] ? *bound[i] : evaluate(parameter.fallback));
  }
  return machine_.make_text(capture(definition.body));
}

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
  if (expression.filter == nullptr) return machine_.fail(unsupported_filter(expression.name));
  const Value input = evaluate(expression.input);
  const Arguments arguments = evaluate(expression.arguments);
  return machine_.failed() ? Value() : apply(*expression.filter, machine_, input, arguments);
}

Value Interpreter::evaluate(const TestCall& expression) {
  if (expression.test == nullptr) return machine_.fail(unsupported_test(expression.name));
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
