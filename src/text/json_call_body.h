#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "text/call_body.h"
#include "text/loose_json.h"

namespace slora {

// Follows one JSON value until it ends. Knows no more of JSON than strings and brackets, so that malformed values have an end too.
class JsonValueEnd {
 public:
  // Whether `c` belongs to the value. Once it does not, the value has ended.
  [[nodiscard]] bool take(char c);
  [[nodiscard]] bool is_over() const { return over_; }
  [[nodiscard]] bool has_begun() const { return kind_ != Kind::none; }

 private:
  enum class Kind : std::uint8_t { none, nested, text, word };
  Kind kind_ = Kind::none;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, over_ = false;
};

// A field whose text is the arguments.
class JsonArgumentsBody final : public CallBody {
 public:
  JsonArgumentsBody(const CallForm& form, std::string name);
  std::size_t push(std::string_view piece, CallSink& out) override;
  bool is_over() const override { return ends_itself_ && value_.is_over(); }
  void finish(AnswerEnd end, CallSink& out) override;

 private:
  void take(std::string_view standard, CallSink& out);

  LooseJson loose_;
  const bool ends_itself_;
  const std::string name_;
  JsonValueEnd value_;
  std::string rest_;  // after the value
  bool has_begun_ = false;
};

// A field whose text is an object with name and arguments, or several, in a list or not.
class JsonCallBody final : public CallBody {
 public:
  explicit JsonCallBody(const CallForm& form);
  std::size_t push(std::string_view piece, CallSink& out) override;
  bool is_over() const override { return ends_itself_ && ended_; }
  void finish(AnswerEnd end, CallSink& out) override;

 private:
  // Where in the text it is: between objects; in one, before a key, within it, before the value, within it, after it; or in what is no
  // JSON.
  enum class At : std::uint8_t { outside, before_key, key, before_value, value, after_value, broken };
  enum class Use : std::uint8_t { skip, name, arguments };

  void take(char c, CallSink& out);
  void take_outside(char c, CallSink& out);
  void start_value(char c, CallSink& out);
  void take_value(char c, CallSink& out);
  void end_value(CallSink& out);
  void end_object(CallSink& out);
  void break_off(char c, CallSink& out);
  void add_arguments(std::string_view piece, CallSink& out);
  [[nodiscard]] bool is_arguments_key() const;
  void flush_rest(CallSink& out);

  LooseJson loose_;
  const bool ends_itself_;
  const std::string name_key_, arguments_key_;

  At at_ = At::outside;
  bool in_list_ = false, ended_ = false;
  // Of the current object:
  std::string key_, value_text_;
  Use use_ = Use::skip;
  JsonValueEnd value_;
  bool has_name_ = false, has_arguments_ = false, unwraps_ = false;
  JsonTextReader unwrapped_;
  std::string early_arguments_;  // that came before the name
  std::string rest_;             // its text, until it has a name; later, what belongs to no call
};

}  // namespace slora
