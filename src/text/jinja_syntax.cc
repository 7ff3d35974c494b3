#include "text/jinja_syntax.h"

#include <algorithm>

namespace slora::jinja {
namespace {

int depth_of(const ExpressionPtr& expression) { return expression == nullptr ? 0 : expression->depth; }
int depth_of(const CallArguments& arguments) {
  int depth = std::max(depth_of(arguments.spread), depth_of(arguments.spread_named));
  for (const ExpressionPtr& argument : arguments.positional) depth = std::max(depth, depth_of(argument));
  for (const auto& [name, argument] : arguments.named) depth = std::max(depth, depth_of(argument));
  return depth;
}
int depth_below(const Literal&) { return 0; }
int depth_below(const Name&) { return 0; }
int depth_below(const Attribute& kind) { return depth_of(kind.object); }
int depth_below(const Subscript& kind) { return std::max(depth_of(kind.object), depth_of(kind.key)); }
int depth_below(const Slice& kind) {
  return std::max({depth_of(kind.object), depth_of(kind.start), depth_of(kind.stop), depth_of(kind.step)});
}
int depth_below(const Call& kind) { return std::max(depth_of(kind.callee), depth_of(kind.arguments)); }
int depth_below(const FilterCall& kind) { return std::max(depth_of(kind.input), depth_of(kind.arguments)); }
int depth_below(const TestCall& kind) { return std::max(depth_of(kind.input), depth_of(kind.arguments)); }
int depth_below(const Unary& kind) { return depth_of(kind.operand); }
int depth_below(const Binary& kind) { return std::max(depth_of(kind.left), depth_of(kind.right)); }
int depth_below(const Conditional& kind) { return std::max({depth_of(kind.condition), depth_of(kind.value), depth_of(kind.otherwise)}); }
int depth_below(const Compare& kind) {
  int depth = depth_of(kind.first);
  for (const auto& [comparison, operand] : kind.rest) depth = std::max(depth, depth_of(operand));
  return depth;
}
int depth_below(const ListLiteral& kind) {
  int depth = 0;
  for (const ExpressionPtr& member : kind.members) depth = std::max(depth, depth_of(member));
  return depth;
}
int depth_below(const DictLiteral& kind) {
  int depth = 0;
  for (const auto& [key, value] : kind.members) depth = std::max({depth, depth_of(key), depth_of(value)});
  return depth;
}

}  // namespace

int depth_below(const Expression& expression) {
  return std::visit([](const auto& kind) { return depth_below(kind); }, expression.kind);
}

}  // namespace slora::jinja
