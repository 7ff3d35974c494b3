#include "text/json_call_body.h"

#include <algorithm>
#include <utility>

#include "text/json_characters.h"

namespace slora {

bool JsonValueEnd::take(char c) {
  if (over_) return false;
  if (kind_ == Kind::none) {
    kind_ = c == '{' || c == '[' ? Kind::nested : c == '"' ? Kind::text : Kind::word;
    depth_ = kind_ == Kind::nested ? 1 : 0;
    in_string_ = kind_ == Kind::text;
    return true;
  }
  if (in_string_) {
    if (!escaped_ && c == '"') {
      in_string_ = false;
      over_ = kind_ == Kind::text;
    }
    escaped_ = !escaped_ && c == '\\';
    return true;
  }
  if (kind_ == Kind::word) {
    over_ = is_json_left_over(c);
    return !over_;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  if (c == '}' || c == ']') over_ = --depth_ == 0;
  return true;
}

JsonArgumentsBody::JsonArgumentsBody(const CallForm& form, std::string name)
    : loose_(form.dialect), ends_itself_(form.dialect.is_standard()), name_(std::move(name)) {}

std::size_t JsonArgumentsBody::push(std::string_view piece, CallSink& out) {
  if (!std::exchange(has_begun_, true)) out.begin_call(name_);
  if (!ends_itself_) {
    take(loose_.push(piece), out);
    return piece.size();
  }
  const std::size_t before = rest_.size();
  std::size_t taken = 0;
  while (taken < piece.size() && !value_.is_over()) take(piece.substr(taken++, 1), out);
  if (rest_.size() == before) return taken;
  rest_.pop_back();  // ended by a character that is not its own
  return taken - 1;
}

void JsonArgumentsBody::take(std::string_view standard, CallSink& out) {
  std::string arguments;
  for (const char c : standard) {
    const bool is_before = !value_.has_begun() && is_json_space(c);
    if (is_before) continue;
    (value_.take(c) ? arguments : rest_) += c;
  }
  if (!arguments.empty()) out.add_arguments(arguments);
}

void JsonArgumentsBody::finish(AnswerEnd end, CallSink& out) {
  if (!std::exchange(has_begun_, true)) out.begin_call(name_);
  take(loose_.finish(), out);
  if (!value_.has_begun() && end == AnswerEnd::finished) out.add_arguments("{}");
  if (!std::ranges::all_of(rest_, is_json_left_over)) out.add_rest(rest_);
  rest_.clear();
}

JsonCallBody::JsonCallBody(const CallForm& form)
    : loose_(form.dialect), ends_itself_(form.dialect.is_standard()), name_key_(form.name_key), arguments_key_(form.arguments_key) {}

std::size_t JsonCallBody::push(std::string_view piece, CallSink& out) {
  if (!ends_itself_) {
    for (const char c : loose_.push(piece)) take(c, out);
    return piece.size();
  }
  std::size_t taken = 0;
  while (taken < piece.size() && !ended_) take(piece[taken++], out);
  return taken;
}

void JsonCallBody::finish(AnswerEnd, CallSink& out) {
  for (const char c : loose_.finish()) take(c, out);
  flush_rest(out);
}

void JsonCallBody::take(char c, CallSink& out) {
  if (at_ != At::outside && !has_name_) rest_ += c;
  switch (at_) {
    case At::outside:
      return take_outside(c, out);
    case At::before_key:
      if (is_json_space(c) || c == ',') return;
      if (c == '}') return end_object(out);
      if (c != '"') return break_off(c, out);
      key_.clear();
      value_ = {};
      static_cast<void>(value_.take(c));
      at_ = At::key;
      return;
    case At::key:
      static_cast<void>(value_.take(c));
      if (value_.is_over()) {
        at_ = At::before_value;
      } else {
        key_ += c;
      }
      return;
    case At::before_value:
      if (is_json_space(c) || c == ':') return;
      if (c == '}') return end_object(out);
      return start_value(c, out);
    case At::value:
      return take_value(c, out);
    case At::after_value:
      if (is_json_space(c)) return;
      if (c == '}') return end_object(out);
      if (c != ',') return break_off(c, out);
      at_ = At::before_key;
      return;
    case At::broken:
      return break_off(c, out);
  }
}

void JsonCallBody::take_outside(char c, CallSink& out) {
  if (c == '{') {
    flush_rest(out);
    at_ = At::before_key;
    has_name_ = has_arguments_ = false;
    early_arguments_.clear();
    rest_ = c;
  } else if (c == '[' && !in_list_ && rest_.empty()) {
    in_list_ = true;
  } else if (c == ']' && in_list_) {
    ended_ = true;
  } else {
    rest_ += c;
  }
}

bool JsonCallBody::is_arguments_key() const {
  const bool has_usual_key = arguments_key_ == "arguments" || arguments_key_ == "parameters";
  return key_ == arguments_key_ || (has_usual_key && (key_ == "arguments" || key_ == "parameters"));
}

void JsonCallBody::start_value(char c, CallSink& out) {
  use_ = key_ == name_key_ && !has_name_ && c == '"' ? Use::name : is_arguments_key() && !has_arguments_ ? Use::arguments : Use::skip;
  value_ = {};
  value_text_.clear();
  unwraps_ = use_ == Use::arguments && c == '"';
  unwrapped_ = {};
  has_arguments_ |= use_ == Use::arguments;
  at_ = At::value;
  take_value(c, out);
}

void JsonCallBody::take_value(char c, CallSink& out) {
  const bool is_first = !value_.has_begun();
  const bool is_own = value_.take(c);
  if (is_own && use_ == Use::arguments && !unwraps_) add_arguments({&c, 1}, out);
  const bool is_inside = is_own && !is_first && !value_.is_over();
  if (is_inside && (unwraps_ || use_ == Use::name)) {
    std::string text;
    unwrapped_.push(c, text);
    if (unwraps_ && !text.empty()) add_arguments(text, out);
    if (use_ == Use::name) value_text_ += text;
  }
  if (!value_.is_over()) return;
  end_value(out);
  if (is_own) return;
  if (!has_name_) rest_.pop_back();  // taken again
  take(c, out);
}

void JsonCallBody::end_value(CallSink& out) {
  at_ = At::after_value;
  if (use_ != Use::name || value_text_.empty()) return;
  has_name_ = true;
  rest_.clear();
  out.begin_call(value_text_);
  if (!early_arguments_.empty()) out.add_arguments(std::exchange(early_arguments_, {}));
}

void JsonCallBody::add_arguments(std::string_view piece, CallSink& out) {
  if (!has_name_) {
    early_arguments_ += piece;
  } else if (!piece.empty()) {
    out.add_arguments(piece);
  }
}

void JsonCallBody::end_object(CallSink& out) {
  if (has_name_ && !has_arguments_) out.add_arguments("{}");
  at_ = At::outside;
  ended_ = !in_list_;
}

// What is no JSON any more: of a call without arguments it becomes these.
void JsonCallBody::break_off(char c, CallSink& out) {
  at_ = At::broken;
  if (!has_name_) return;  // it is in rest_ already
  if (has_arguments_) {
    rest_ += c;
  } else {
    out.add_arguments({&c, 1});
  }
}

void JsonCallBody::flush_rest(CallSink& out) {
  if (!std::ranges::all_of(rest_, is_json_left_over)) out.add_rest(rest_);
  rest_.clear();
}

}  // namespace slora
