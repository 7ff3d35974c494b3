#pragma once
#include <string>

#include "text/jinja_syntax.h"
#include "text/jinja_token_stream.h"

namespace slora::jinja {

// Parses the expressions of a template, with Jinja's precedences. Borrows the token stream of one parse. After an error, expressions
// may be null; the tree must not be used.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& stream) : stream_(stream) {}

  ExpressionPtr parse_expression();
  // An expression without a trailing "if": the items of a loop.
  ExpressionPtr parse_without_condition();
  // One expression, or several separated by commas as a tuple.
  ExpressionPtr parse_tuple();

 private:
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_binary(std::size_t level);
  ExpressionPtr parse_signed();
  ExpressionPtr parse_unary();
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_number();
  ExpressionPtr parse_parentheses();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr object);
  ExpressionPtr parse_subscript(ExpressionPtr object, int line);
  ExpressionPtr parse_postfix_and_filters(ExpressionPtr object);
  CallArguments parse_arguments();
  ExpressionPtr parse_filter(ExpressionPtr input);
  ExpressionPtr parse_test(ExpressionPtr input);

  ExpressionPtr tuple_of(ExpressionPtr first, ExpressionPtr (ExpressionParser::*parse)());
  template <class Kind>
  ExpressionPtr make(int line, Kind kind);

  TokenStream& stream_;
  int depth_ = 0;  // of the current recursion
};

}  // namespace slora::jinja
