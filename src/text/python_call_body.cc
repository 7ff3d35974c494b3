#include "text/python_call_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "text/json_characters.h"
#include "text/utf8.h"

namespace slora {
namespace {

bool is_name_character(char c) {
  return c == '_' || c == '.' || c == '-' || static_cast<unsigned char>(c) >= 0x80 || std::isalnum(static_cast<unsigned char>(c)) != 0;
}

std::size_t escape_bytes(char kind) { return kind == 'x' ? 4 : kind == 'u' ? 6 : kind == 'U' ? 10 : 2; }

char simple_escape(char kind) {
  constexpr std::string_view kinds = "ntrbf0av", characters("\n\t\r\b\f\0\a\v", 8);
  const std::size_t found = kinds.find(kind);
  return found == std::string_view::npos ? kind : characters[found];
}

}  // namespace

std::size_t PythonCallBody::push(std::string_view piece, CallSink& out) {
  std::size_t taken = 0;
  while (taken < piece.size() && !ended_) take(piece[taken++], out);
  return taken;
}

void PythonCallBody::finish(AnswerEnd, CallSink& out) {
  if (at_ == At::value) {
    if (!escape_.empty()) end_escape(out);
    end_word(out);
  }
  if (at_ == At::name) rest_ += word_;
  const bool is_structure = std::ranges::all_of(rest_, [](char c) { return is_json_space(c) || c == ','; });
  if (!is_structure) out.add_rest(rest_);
  rest_.clear();
}

void PythonCallBody::take(char c, CallSink& out) {
  switch (at_) {
    case At::outside:
      return take_outside(c, out);
    case At::name:
      return take_name(c, out);
    case At::before_key:
      return take_before_key(c, out);
    case At::key:
      return take_key(c, out);
    case At::value:
      return take_value(c, out);
    case At::broken:
      if (c == ')') return end_call(out);
      return add({&c, 1}, out);
  }
}

void PythonCallBody::take_outside(char c, CallSink&) {
  if (is_name_character(c)) {
    word_ = c;
    at_ = At::name;
  } else if (c == '[' && !in_list_ && rest_.empty()) {
    in_list_ = true;
  } else if (c == ']' && in_list_) {
    ended_ = true;
  } else {
    rest_ += c;
  }
}

void PythonCallBody::take_name(char c, CallSink& out) {
  if (is_name_character(c)) {
    word_ += c;
  } else if (c == '(') {
    const bool is_structure = std::ranges::all_of(rest_, [](char one) { return is_json_space(one) || one == ','; });
    if (!is_structure) out.add_rest(rest_);
    rest_.clear();
    out.begin_call(std::exchange(word_, {}));
    has_keys_ = false;
    at_ = At::before_key;
  } else {
    rest_ += std::exchange(word_, {}) + c;
    at_ = At::outside;
  }
}

void PythonCallBody::take_before_key(char c, CallSink& out) {
  if (is_json_space(c) || c == ',') return;
  if (c == ')') return end_call(out);
  if (!is_name_character(c)) {
    at_ = At::broken;
    return add({&c, 1}, out);
  }
  word_ = c;
  at_ = At::key;
}

void PythonCallBody::take_key(char c, CallSink& out) {
  if (is_name_character(c)) {
    word_ += c;
    return;
  }
  if (is_json_space(c)) return;
  if (c != '=') {  // an argument without a name: nothing that JSON has
    at_ = At::broken;
    add(std::exchange(word_, {}), out);
    return take(c, out);
  }
  std::string begin = std::exchange(has_keys_, true) ? ", \"" : "{\"";
  append_json_text(begin, std::exchange(word_, {}));
  add(begin + "\": ", out);
  depth_ = 0;
  separator_.clear();
  at_ = At::value;
}

void PythonCallBody::take_value(char c, CallSink& out) {
  if (quote_ != '\0') return take_in_string(c, out);
  if (is_name_character(c) || c == '+') {
    add(std::exchange(separator_, {}), out);
    word_ += c;
    return;
  }
  end_word(out);
  if (is_json_space(c)) {
    if (!separator_.empty()) separator_ += c;
    return;
  }
  if (depth_ == 0 && (c == ',' || c == ')')) {
    at_ = At::before_key;
    return take_before_key(c, out);
  }
  if (c == ',') {
    separator_ = c;
    return;
  }
  if (c == ']' || c == '}' || c == ')') separator_.clear();
  add(std::exchange(separator_, {}), out);
  take_bracket(c, out);
}

void PythonCallBody::take_bracket(char c, CallSink& out) {
  if (c == '\'' || c == '"') {
    quote_ = c;
    add("\"", out);
  } else if (c == '(' || c == '[' || c == '{') {
    ++depth_;
    add(c == '(' ? "[" : std::string_view(&c, 1), out);
  } else if (c == ')' || c == ']' || c == '}') {
    if (depth_ > 0) --depth_;
    add(c == ')' ? "]" : std::string_view(&c, 1), out);
  } else if (c == ':') {
    add(": ", out);
  } else {
    add({&c, 1}, out);
  }
}

void PythonCallBody::take_in_string(char c, CallSink& out) {
  if (!escape_.empty()) {
    escape_ += c;
    const bool is_digit = escape_.size() == 2 || std::isxdigit(static_cast<unsigned char>(c)) != 0;
    if (!is_digit || escape_.size() == escape_bytes(escape_[1])) end_escape(out);
  } else if (c == '\\') {
    escape_ = c;
  } else if (c == quote_) {
    quote_ = '\0';
    add("\"", out);
  } else {
    std::string escaped;
    append_json_text(escaped, {&c, 1});
    add(escaped, out);
  }
}

// Escapes that are malformed stay as they are.
void PythonCallBody::end_escape(CallSink& out) {
  const std::string escape = std::exchange(escape_, {});
  std::string text = escape;
  if (escape.size() == 2 && escape_bytes(escape[1]) == 2) {
    text = escape[1] == '\n' ? std::string() : std::string(1, simple_escape(escape[1]));
    const bool is_known = std::string_view("ntrbf0av\\'\"\n/").find(escape[1]) != std::string_view::npos;
    if (!is_known) text = escape;
  } else if (escape.size() > 2 && escape.size() == escape_bytes(escape[1]) &&
             std::isxdigit(static_cast<unsigned char>(escape.back())) != 0) {
    const unsigned long code = std::stoul(escape.substr(2), nullptr, 16);
    if (code >= 0xD800 && code < 0xE000) return add(escape, out);  // half of a pair, as JSON writes it
    text.clear();
    append_utf8(text, code <= 0x10FFFF ? static_cast<char32_t>(code) : U'\uFFFD');
  }
  std::string escaped;
  append_json_text(escaped, text);
  add(escaped, out);
}

void PythonCallBody::end_word(CallSink& out) {
  if (word_.empty()) return;
  const std::string word = std::exchange(word_, {});
  for (const auto& [python, json] : {std::pair("True", "true"), std::pair("False", "false"), std::pair("None", "null")}) {
    if (word == python) return add(json, out);
  }
  add(word, out);
}

void PythonCallBody::end_call(CallSink& out) {
  const bool is_whole = at_ == At::before_key;
  if (is_whole) add(has_keys_ ? "}" : "{}", out);
  at_ = At::outside;
}

}  // namespace slora
