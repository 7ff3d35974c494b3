#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja_lexer.h"

namespace slora::jinja {

// The tokens of one parse, and the first error. After an error the stream is at its end, so that every loop over it ends. Owned
// by one parse.
class TokenStream {
 public:
  // Requires: the last token is the end.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  [[nodiscard]] int line() const { return now().line; }

  [[nodiscard]] bool at(TokenKind kind) const { return now().kind == kind; }
  [[nodiscard]] bool at_symbol(std::string_view text) const { return at(TokenKind::symbol) && now().text == text; }
  [[nodiscard]] bool at_name(std::string_view text) const { return at(TokenKind::name) && now().text == text; }

  Token take() {
    Token token = now();
    if (at_ + 1 < tokens_.size()) ++at_;
    if (token.kind == TokenKind::name && token.text == "loop") ++loop_names_taken_;
    return token;
  }
  bool skip_symbol(std::string_view text) { return at_symbol(text) && (take(), true); }
  bool skip_name(std::string_view text) { return at_name(text) && (take(), true); }
  void expect_symbol(std::string_view text) {
    if (!skip_symbol(text)) fail_expected(fmt::format("'{}'", text));
  }
  void expect_kind(TokenKind kind, std::string_view shown) {
    if (at(kind)) {
      take();
    } else {
      fail_expected(shown);
    }
  }
  std::string expect_any_name(std::string_view shown) {
    if (at(TokenKind::name)) return take().text;
    fail_expected(shown);
    return {};
  }

  // Record an error unless there is one already, and move to the end.
  void fail_expected(std::string_view expected) {
    const bool is_end = at(TokenKind::end) || at(TokenKind::tag_end) || at(TokenKind::output_end);
    fail(fmt::format("expected {}, found {}", expected, is_end ? "the end" : fmt::format("'{}'", now().text)), line());
  }
  void fail(std::string_view what, int line) {
    if (!error_) error_ = Error{"E_CHAT_TEMPLATE", fmt::format("chat template, line {}: {}", line, what), {}};
    at_ = tokens_.size() - 1;
  }

  // An unsupported filter or test is an error, unless it is inside a condition: there it is one only when it is evaluated, as in
  // Jinja. A mark is the number of unsupported names so far.
  void add_unsupported(std::string what, int line) { unsupported_.emplace_back(std::move(what), line); }
  [[nodiscard]] std::size_t unsupported_count() const { return unsupported_.size(); }
  void drop_unsupported(std::size_t mark) { unsupported_.resize(std::min(mark, unsupported_.size())); }
  void fail_if_unsupported(std::size_t mark) {
    if (mark < unsupported_.size()) fail(unsupported_[mark].first, unsupported_[mark].second);
  }

  // How many of the tokens taken so far are the name "loop".
  [[nodiscard]] std::size_t loop_names_taken() const { return loop_names_taken_; }

  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] const std::optional<Error>& failure() const { return error_; }

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t loop_names_taken_ = 0;
  std::vector<std::pair<std::string, int>> unsupported_;  // message, and its line
  std::optional<Error> error_;
};

}  // namespace slora::jinja
