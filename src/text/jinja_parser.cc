#include "text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "text/jinja_expression_parser.h"
#include "text/jinja_token_stream.h"

namespace slora::jinja {
namespace {

constexpr std::size_t kSourceBytesMax = std::size_t{1} << 20;
constexpr int kNestingMax = 60;  // of blocks

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : stream_(std::move(tokens)), expressions_(stream_) {}

  Result<Template> run() {
    Template root{parse_body({}), 0};
    stream_.fail_if_unsupported(0);
    if (stream_.failed()) return tl::unexpected<Error>(*stream_.failure());
    return root;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  [[nodiscard]] bool at_any(Words words) const {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return stream_.at_name(word); });
  }

  // Statements up to a tag that begins with one of `ends`, or to the end of the template if `ends` is empty. Leaves the stream at
  // that word.
  Body parse_body(Words ends) {
    Body body;
    if (++nesting_ > kNestingMax) stream_.fail("blocks are nested too deeply", stream_.line());
    while (!stream_.failed()) {
      const int line = stream_.line();
      if (stream_.at(TokenKind::end)) {
        if (ends.size() > 0) stream_.fail(fmt::format("the block needs an '{}'", *(ends.end() - 1)), line);
        break;
      }
      if (stream_.at(TokenKind::text)) {
        body.push_back({line, Text{stream_.take().text}});
      } else if (stream_.at(TokenKind::output_begin)) {
        stream_.take();
        body.push_back({line, Output{expressions_.parse_tuple()}});
        stream_.expect_kind(TokenKind::output_end, "'}}'");
      } else {
        stream_.expect_kind(TokenKind::tag_begin, "a tag");
        if (at_any(ends)) break;
        parse_statement(body, line);
      }
    }
    --nesting_;
    return body;
  }

  // Skips the word that ended a body and the end of its tag.
  void end_block(std::string_view word) {
    stream_.skip_name(word);
    end_tag();
  }
  void end_tag() { stream_.expect_kind(TokenKind::tag_end, "'%}'"); }

  void parse_statement(Body& out, int line) {
    const std::string word = stream_.expect_any_name("the name of a tag");
    if (word == "if") return parse_if(out, line);
    if (word == "for") return parse_for(out, line);
    if (word == "set") return parse_set(out, line);
    if (word == "macro") return parse_macro(out, line);
    if (word == "with") return parse_with(out, line);
    if (word == "generation") return parse_generation(out, line);
    if (word == "break" || word == "continue") {
      if (loops_ == 0) stream_.fail(fmt::format("'{}' outside of a loop", word), line);
      end_tag();
      if (word == "break") {
        out.push_back({line, Break{}});
      } else {
        out.push_back({line, Continue{}});
      }
      return;
    }
    stream_.fail(fmt::format("the tag '{}' is not supported", word), line);
  }

  void parse_generation(Body& out, int line) {
    end_tag();
    Body body = parse_inner_body({"endgeneration"});
    end_block("endgeneration");
    out.push_back({line, Generation{std::move(body)}});
  }

  // A body with its own scope. Jinja reports unknown filters and tests in it even if the body is inside a condition.
  Body parse_inner_body(Words ends) {
    const std::size_t mark = stream_.unsupported_count();
    Body body = parse_body(ends);
    stream_.fail_if_unsupported(mark);
    return body;
  }

  void parse_if(Body& out, int line) {
    const std::size_t mark = stream_.unsupported_count();
    If node;
    ExpressionPtr condition = expressions_.parse_tuple();
    while (!stream_.failed()) {
      end_tag();
      Body body = parse_body({"elif", "else", "endif"});
      node.branches.push_back({std::move(condition), std::move(body)});
      condition = nullptr;
      if (stream_.skip_name("elif")) {
        condition = expressions_.parse_tuple();
      } else if (stream_.skip_name("else")) {
        end_tag();
        node.branches.push_back({nullptr, parse_body({"endif"})});
        break;
      } else {
        break;
      }
    }
    end_block("endif");
    stream_.drop_unsupported(mark);
    out.push_back({line, std::move(node)});
  }

  void parse_for(Body& out, int line) {
    For node;
    node.target = parse_target("in");
    if (!stream_.skip_name("in")) stream_.fail_expected("'in'");
    node.items = expressions_.parse_without_condition();
    if (stream_.skip_name("if")) node.condition = expressions_.parse_expression();
    if (stream_.at_name("recursive")) stream_.fail("a recursive loop is not supported", line);
    end_tag();
    ++loops_;
    const std::size_t loop_names = stream_.loop_names_taken();
    node.body = parse_inner_body({"else", "endfor"});
    node.uses_loop = stream_.loop_names_taken() != loop_names;
    --loops_;
    if (stream_.skip_name("else")) {
      end_tag();
      node.otherwise = parse_inner_body({"endfor"});
    }
    end_block("endfor");
    out.push_back({line, std::move(node)});
  }

  // Names separated by commas, with or without parentheses; or one attribute of a namespace.
  Target parse_target(std::string_view closing) {
    Target target;
    const bool brackets = stream_.skip_symbol("(");
    do {
      if (!target.names.empty()) {
        target.is_tuple = true;
        if (stream_.at_symbol("=") || stream_.at_name(closing) || stream_.at_symbol(")")) break;
      }
      target.names.push_back(stream_.expect_any_name("a name to assign to"));
    } while (stream_.skip_symbol(","));
    if (brackets) stream_.expect_symbol(")");
    if (!target.is_tuple && stream_.skip_symbol(".")) target.attribute = stream_.expect_any_name("a name after '.'");
    return target;
  }

  void parse_set(Body& out, int line) {
    Target target = parse_target("=");
    if (stream_.skip_symbol("=")) {
      ExpressionPtr value = expressions_.parse_tuple();
      end_tag();
      out.push_back({line, Set{std::move(target), std::move(value)}});
      return;
    }
    if (stream_.at_symbol("|")) stream_.fail("a filter on a 'set' block is not supported", line);
    end_tag();
    Body body = parse_inner_body({"endset"});
    end_block("endset");
    out.push_back({line, SetBlock{std::move(target), std::move(body)}});
  }

  std::vector<MacroDefinition::Parameter> parse_parameters() {
    std::vector<MacroDefinition::Parameter> parameters;
    stream_.expect_symbol("(");
    while (!stream_.at_symbol(")") && !stream_.failed()) {
      std::string name = stream_.expect_any_name("the name of a parameter");
      ExpressionPtr fallback = stream_.skip_symbol("=") ? expressions_.parse_expression() : nullptr;
      parameters.push_back({std::move(name), std::move(fallback)});
      if (!stream_.skip_symbol(",")) break;
    }
    stream_.expect_symbol(")");
    return parameters;
  }

  // Break and continue in a macro don't apply to the loops around it.
  void parse_macro(Body& out, int line) {
    MacroDefinition node;
    node.name = stream_.expect_any_name("the name of a macro");
    node.parameters = parse_parameters();
    end_tag();
    const int loops = std::exchange(loops_, 0);
    node.body = parse_inner_body({"endmacro"});
    loops_ = loops;
    end_block("endmacro");
    out.push_back({line, std::move(node)});
  }

  void parse_with(Body& out, int line) {
    With node;
    while (!stream_.at(TokenKind::tag_end) && !stream_.failed()) {
      std::string name = stream_.expect_any_name("a name to assign to");
      stream_.expect_symbol("=");
      node.variables.emplace_back(std::move(name), expressions_.parse_expression());
      if (!stream_.skip_symbol(",")) break;
    }
    end_tag();
    node.body = parse_inner_body({"endwith"});
    end_block("endwith");
    out.push_back({line, std::move(node)});
  }

  TokenStream stream_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;  // open loops around the statement, inside its macro
};

}  // namespace

Result<Template> parse(std::string_view source) {
  if (source.size() > kSourceBytesMax)
    return error("E_CHAT_TEMPLATE", "the chat template has {} bytes, at most {} are read", source.size(), kSourceBytesMax);
  Result<std::vector<Token>> tokens = tokenize(source);
  if (!tokens) return forward_error(tokens);
  Result<Template> root = Parser(std::move(*tokens)).run();
  if (root) root->source_bytes = source.size();
  return root;
}

}  // namespace slora::jinja
