#include "text/jinja_syntax.h"

#include <algorithm>

namespace slora::jinja {
namespace {

class PartVisitor {
 public:
  explicit PartVisitor(const std::function<void(const Expression&)>& visit) : visit_(visit) {}

  void operator()(const Literal&) const {}
  void operator()(const Name&) const {}
  void operator()(const Attribute& kind) const { all(kind.object); }
  void operator()(const Subscript& kind) const { all(kind.object, kind.key); }
  void operator()(const Slice& kind) const { all(kind.object, kind.start, kind.stop, kind.step); }
  void operator()(const Call& kind) const { all(kind.callee, kind.arguments); }
  void operator()(const FilterCall& kind) const { all(kind.input, kind.arguments); }
  void operator()(const TestCall& kind) const { all(kind.input, kind.arguments); }
  void operator()(const Unary& kind) const { all(kind.operand); }
  void operator()(const Binary& kind) const { all(kind.left, kind.right); }
  void operator()(const Conditional& kind) const { all(kind.condition, kind.value, kind.otherwise); }
  void operator()(const Compare& kind) const {
    all(kind.first);
    for (const auto& [comparison, operand] : kind.rest) all(operand);
  }
  void operator()(const ListLiteral& kind) const {
    for (const ExpressionPtr& member : kind.members) all(member);
  }
  void operator()(const DictLiteral& kind) const {
    for (const auto& [key, value] : kind.members) all(key, value);
  }

  void operator()(const Text&) const {}
  void operator()(const SetBlock&) const {}
  void operator()(const Break&) const {}
  void operator()(const Continue&) const {}
  void operator()(const Generation&) const {}
  void operator()(const Output& kind) const { all(kind.value); }
  void operator()(const For& kind) const { all(kind.items, kind.condition); }
  void operator()(const Set& kind) const { all(kind.value); }
  void operator()(const If& kind) const {
    for (const If::Branch& branch : kind.branches) all(branch.condition);
  }
  void operator()(const MacroDefinition& kind) const {
    for (const MacroDefinition::Parameter& parameter : kind.parameters) all(parameter.fallback);
  }
  void operator()(const With& kind) const {
    for (const auto& [name, value] : kind.variables) all(value);
  }

 private:
  template <class... Parts>
  void all(const Parts&... parts) const {
    (visit(parts), ...);
  }
  void visit(const ExpressionPtr& part) const {
    if (part != nullptr) visit_(*part);
  }
  void visit(const CallArguments& arguments) const {
    for (const ExpressionPtr& argument : arguments.positional) visit(argument);
    for (const auto& [name, argument] : arguments.named) visit(argument);
  }

  const std::function<void(const Expression&)>& visit_;
};

}  // namespace

void visit_parts(const Expression& expression, const std::function<void(const Expression&)>& visit) {
  std::visit(PartVisitor(visit), expression.kind);
}

void visit_expressions(const Statement& statement, const std::function<void(const Expression&)>& visit) {
  const std::function<void(const Expression&)> visit_whole = [&](const Expression& expression) {
    visit(expression);
    visit_parts(expression, visit_whole);
  };
  std::visit(PartVisitor(visit_whole), statement.kind);
}

std::vector<const Body*> bodies_of(const Statement& statement) {
  std::vector<const Body*> bodies;
  if (const auto* node = std::get_if<If>(&statement.kind)) {
    for (const If::Branch& branch : node->branches) bodies.push_back(&branch.body);
  } else if (const auto* loop = std::get_if<For>(&statement.kind)) {
    bodies = {&loop->body, &loop->otherwise};
  } else {
    std::visit(
        [&bodies](const auto& kind) {
          if constexpr (requires { kind.body; }) bodies = {&kind.body};
        },
        statement.kind);
  }
  return bodies;
}

void visit_statements(const Body& body, const std::function<void(const Statement&)>& visit) {
  for (const Statement& statement : body) {
    visit(statement);
    for (const Body* inner : bodies_of(statement)) visit_statements(*inner, visit);
  }
}

int depth_below(const Expression& expression) {
  int depth = 0;
  visit_parts(expression, [&depth](const Expression& part) { depth = std::max(depth, part.depth); });
  return depth;
}

}  // namespace slora::jinja
