#include "text/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "text/jinja_filters.h"
#include "text/jinja_tests.h"

namespace slora::jinja {
namespace {

// Of nested brackets, and of the tree that a chain of operators becomes.
constexpr int kDepthMax = 150;

// Left-associative binary operators, by increasing precedence. Between "and" and the sums are "not" and the comparisons, which have
// functions of their own.
struct InfixOperator {
  TokenKind token;
  std::string_view text;
  BinaryOperator kind;
};
constexpr std::size_t kAndLevel = 1;
constexpr std::size_t kSumLevel = 2;
const std::vector<std::vector<InfixOperator>>& infix_levels() {
  static const std::vector<std::vector<InfixOperator>> kLevels = {
      {{TokenKind::name, "or", BinaryOperator::logical_or}},
      {{TokenKind::name, "and", BinaryOperator::logical_and}},
      {{TokenKind::symbol, "+", BinaryOperator::add}, {TokenKind::symbol, "-", BinaryOperator::subtract}},
      {{TokenKind::symbol, "~", BinaryOperator::concatenate}},
      {{TokenKind::symbol, "*", BinaryOperator::multiply},
       {TokenKind::symbol, "/", BinaryOperator::divide},
       {TokenKind::symbol, "//", BinaryOperator::floor_divide},
       {TokenKind::symbol, "%", BinaryOperator::modulo}},
  };
  return kLevels;
}

}  // namespace

template <class Kind>
ExpressionPtr ExpressionParser::make(int line, Kind kind) {
  auto expression = std::make_unique<Expression>(Expression{line, 1, std::move(kind)});
  expression->depth = depth_below(*expression) + 1;
  if (expression->depth > kDepthMax) stream_.fail("an expression is nested too deeply", line);
  return expression;
}

ExpressionPtr ExpressionParser::parse_expression() {
  if (++depth_ > kDepthMax) stream_.fail("an expression is nested too deeply", stream_.line());
  ExpressionPtr expression = stream_.failed() ? nullptr : parse_conditional();
  --depth_;
  return expression;
}

ExpressionPtr ExpressionParser::parse_without_condition() {
  ExpressionPtr first = parse_or();
  return stream_.at_symbol(",") ? tuple_of(std::move(first), &ExpressionParser::parse_or) : std::move(first);
}

ExpressionPtr ExpressionParser::parse_tuple() {
  ExpressionPtr first = parse_expression();
  return stream_.at_symbol(",") ? tuple_of(std::move(first), &ExpressionParser::parse_expression) : std::move(first);
}

ExpressionPtr ExpressionParser::tuple_of(ExpressionPtr first, ExpressionPtr (ExpressionParser::*parse)()) {
  const int line = stream_.line();
  ListLiteral tuple{{}, true};
  tuple.members.push_back(std::move(first));
  while (stream_.skip_symbol(",")) {
    const bool ends =
        stream_.at(TokenKind::tag_end) || stream_.at(TokenKind::output_end) || stream_.at_symbol(")") || stream_.at_symbol("=");
    if (ends || stream_.failed()) break;
    tuple.members.push_back((this->*parse)());
  }
  return make(line, std::move(tuple));
}

ExpressionPtr ExpressionParser::parse_conditional() {
  const std::size_t mark = stream_.unsupported_count();
  ExpressionPtr value = parse_or();
  while (stream_.at_name("if")) {
    const int line = stream_.take().line;
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = stream_.skip_name("else") ? parse_expression() : nullptr;
    value = make(line, Conditional{std::move(condition), std::move(value), std::move(otherwise)});
    stream_.drop_unsupported(mark);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_binary(std::size_t level) {
  const auto parse_operand = [&] {
    if (level == kAndLevel) return parse_not();
    return level + 1 == infix_levels().size() ? parse_unary() : parse_binary(level + 1);
  };
  const std::vector<InfixOperator>& operators = infix_levels()[level];
  ExpressionPtr left = parse_operand();
  while (true) {
    const auto found = std::find_if(operators.begin(), operators.end(), [&](const InfixOperator& infix) {
      return stream_.at(infix.token) && stream_.now().text == infix.text;
    });
    if (found == operators.end()) return left;
    const int line = stream_.take().line;
    left = make(line, Binary{found->kind, std::move(left), parse_operand()});
  }
}

ExpressionPtr ExpressionParser::parse_or() { return parse_binary(0); }
ExpressionPtr ExpressionParser::parse_sum() { return parse_binary(kSumLevel); }

ExpressionPtr ExpressionParser::parse_not() {
  if (!stream_.at_name("not")) return parse_comparison();
  const int line = stream_.take().line;
  if (++depth_ > kDepthMax) stream_.fail("an expression is nested too deeply", line);
  ExpressionPtr operand = parse_not();
  --depth_;
  return make(line, Unary{UnaryOperator::logical_not, std::move(operand)});
}

ExpressionPtr ExpressionParser::parse_comparison() {
  const int line = stream_.line();
  ExpressionPtr first = parse_sum();
  Compare compare{std::move(first), {}};
  constexpr std::pair<std::string_view, Comparison> kSymbols[] = {{"==", Comparison::equal},  {"!=", Comparison::not_equal},
                                                                  {"<", Comparison::less},    {"<=", Comparison::less_equal},
                                                                  {">", Comparison::greater}, {">=", Comparison::greater_equal}};
  while (!stream_.failed()) {
    const auto* symbol =
        std::find_if(std::begin(kSymbols), std::end(kSymbols), [&](const auto& entry) { return stream_.at_symbol(entry.first); });
    if (symbol != std::end(kSymbols)) {
      stream_.take();
      compare.rest.emplace_back(symbol->second, parse_sum());
    } else if (stream_.skip_name("in")) {
      compare.rest.emplace_back(Comparison::in, parse_sum());
    } else if (stream_.at_name("not") && stream_.next().kind == TokenKind::name && stream_.next().text == "in") {
      stream_.take();
      stream_.take();
      compare.rest.emplace_back(Comparison::not_in, parse_sum());
    } else {
      break;
    }
  }
  if (compare.rest.empty()) return std::move(compare.first);
  return make(line, std::move(compare));
}

ExpressionPtr ExpressionParser::parse_unary() { return parse_postfix_and_filters(parse_signed()); }

// Postfixes apply before a sign, filters after it.
ExpressionPtr ExpressionParser::parse_signed() {
  if (!stream_.at_symbol("-") && !stream_.at_symbol("+")) return parse_postfix(parse_primary());
  const Token sign = stream_.take();
  if (++depth_ > kDepthMax) stream_.fail("an expression is nested too deeply", sign.line);
  ExpressionPtr operand = parse_signed();
  --depth_;
  return make(sign.line, Unary{sign.text == "-" ? UnaryOperator::negate : UnaryOperator::plus, std::move(operand)});
}

ExpressionPtr ExpressionParser::parse_primary() {
  if (stream_.failed()) return nullptr;
  const int line = stream_.line();
  switch (stream_.now().kind) {
    case TokenKind::name:
      return parse_name();
    case TokenKind::integer:
    case TokenKind::number:
      return parse_number();
    case TokenKind::string: {
      std::string text;
      while (stream_.at(TokenKind::string)) text += stream_.take().text;
      return make(line, Literal{Value(std::move(text))});
    }
    default:
      break;
  }
  if (stream_.skip_symbol("(")) return parse_parentheses();
  if (stream_.skip_symbol("[")) return parse_list();
  if (stream_.skip_symbol("{")) return parse_dict();
  stream_.fail_expected("an expression");
  return nullptr;
}

ExpressionPtr ExpressionParser::parse_name() {
  const Token token = stream_.take();
  if (token.text == "true" || token.text == "True") return make(token.line, Literal{Value(true)});
  if (token.text == "false" || token.text == "False") return make(token.line, Literal{Value(false)});
  if (token.text == "none" || token.text == "None") return make(token.line, Literal{Value(nullptr)});
  if (token.text == "varargs" || token.text == "kwargs" || token.text == "caller")
    stream_.fail(fmt::format("'{}' is not supported", token.text), token.line);
  return make(token.line, Name{token.text});
}

ExpressionPtr ExpressionParser::parse_number() {
  const Token token = stream_.take();
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  if (token.kind == TokenKind::integer) {
    std::int64_t value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      stream_.fail(fmt::format("the integer {} is too large", token.text), token.line);
    return make(token.line, Literal{Value(value)});
  }
  double value = 0;
  if (std::from_chars(begin, end, value).ec != std::errc())
    stream_.fail(fmt::format("the number {} is out of range", token.text), token.line);
  return make(token.line, Literal{Value(value)});
}

ExpressionPtr ExpressionParser::parse_parentheses() {
  const int line = stream_.line();
  if (stream_.skip_symbol(")")) return make(line, ListLiteral{{}, true});
  ExpressionPtr inner = parse_tuple();
  stream_.expect_symbol(")");
  return inner;
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = stream_.line();
  ListLiteral list{{}, false};
  while (!stream_.at_symbol("]") && !stream_.failed()) {
    list.members.push_back(parse_expression());
    if (!stream_.skip_symbol(",")) break;
  }
  stream_.expect_symbol("]");
  return make(line, std::move(list));
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = stream_.line();
  DictLiteral dict;
  while (!stream_.at_symbol("}") && !stream_.failed()) {
    ExpressionPtr key = parse_expression();
    stream_.expect_symbol(":");
    dict.members.emplace_back(std::move(key), parse_expression());
    if (!stream_.skip_symbol(",")) break;
  }
  stream_.expect_symbol("}");
  return make(line, std::move(dict));
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr object) {
  while (!stream_.failed()) {
    const int line = stream_.line();
    if (stream_.skip_symbol(".")) {
      if (stream_.at(TokenKind::integer)) {
        ExpressionPtr key = parse_number();
        object = make(line, Subscript{std::move(object), std::move(key)});
      } else {
        object = make(line, Attribute{std::move(object), stream_.expect_any_name("a name after '.'")});
      }
    } else if (stream_.skip_symbol("[")) {
      object = parse_subscript(std::move(object), line);
    } else if (stream_.at_symbol("(")) {
      CallArguments arguments = parse_arguments();
      object = make(line, Call{std::move(object), std::move(arguments)});
    } else {
      break;
    }
  }
  return object;
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr object, int line) {
  const auto part = [&]() -> ExpressionPtr { return stream_.at_symbol(":") || stream_.at_symbol("]") ? nullptr : parse_expression(); };
  ExpressionPtr start = part();
  if (!stream_.at_symbol(":")) {
    stream_.expect_symbol("]");
    return make(line, Subscript{std::move(object), std::move(start)});
  }
  stream_.take();
  ExpressionPtr stop = part();
  ExpressionPtr step = stream_.skip_symbol(":") ? part() : nullptr;
  stream_.expect_symbol("]");
  return make(line, Slice{std::move(object), std::move(start), std::move(stop), std::move(step)});
}

CallArguments ExpressionParser::parse_arguments() {
  CallArguments arguments;
  stream_.expect_symbol("(");
  while (!stream_.at_symbol(")") && !stream_.failed()) {
    if (stream_.at_symbol("*") || stream_.at_symbol("**")) {
      stream_.fail(fmt::format("a spread argument ('{}') is not supported", stream_.now().text), stream_.line());
    } else if (stream_.at(TokenKind::name) && stream_.next().kind == TokenKind::symbol && stream_.next().text == "=") {
      std::string name = stream_.take().text;
      stream_.take();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else if (!arguments.named.empty()) {
      stream_.fail("an argument without a name follows one with a name", stream_.line());
    } else {
      arguments.positional.push_back(parse_expression());
    }
    if (!stream_.skip_symbol(",")) break;
  }
  stream_.expect_symbol(")");
  return arguments;
}

ExpressionPtr ExpressionParser::parse_postfix_and_filters(ExpressionPtr object) {
  while (!stream_.failed()) {
    const int line = stream_.line();
    if (stream_.skip_symbol("|")) {
      object = parse_filter(std::move(object));
    } else if (stream_.skip_name("is")) {
      object = parse_test(std::move(object));
    } else if (stream_.at_symbol("(")) {
      CallArguments arguments = parse_arguments();
      object = make(line, Call{std::move(object), std::move(arguments)});
    } else {
      break;
    }
  }
  return object;
}

ExpressionPtr ExpressionParser::parse_filter(ExpressionPtr input) {
  const int line = stream_.line();
  const std::string name = stream_.expect_any_name("the name of a filter");
  const Filter* filter = find_filter(name);
  if (filter == nullptr) stream_.add_unsupported(unsupported_filter(name), line);
  CallArguments arguments;
  if (stream_.at_symbol("(")) arguments = parse_arguments();
  return make(line, FilterCall{std::move(input), filter, name, std::move(arguments)});
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr input) {
  const int line = stream_.line();
  const bool negated = stream_.skip_name("not");
  const std::string name = stream_.expect_any_name("the name of a test");
  const Test* test = find_test(name);
  if (test == nullptr) stream_.add_unsupported(unsupported_test(name), line);
  CallArguments arguments;
  const bool ends = stream_.at_name("else") || stream_.at_name("or") || stream_.at_name("and");
  if (stream_.at_name("is")) stream_.fail("tests can't be chained with 'is'", line);
  if (stream_.at_symbol("(")) {
    arguments = parse_arguments();
  } else if ((stream_.at(TokenKind::name) && !ends) || stream_.at(TokenKind::string) || stream_.at(TokenKind::integer) ||
             stream_.at(TokenKind::number) || stream_.at_symbol("[") || stream_.at_symbol("{")) {
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  ExpressionPtr result = make(line, TestCall{std::move(input), test, name, std::move(arguments)});
  return negated ? make(line, Unary{UnaryOperator::logical_not, std::move(result)}) : std::move(result);
}

}  // namespace slora::jinja
