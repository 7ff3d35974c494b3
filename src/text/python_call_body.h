#pragma once
#include <string>
#include <string_view>

#include "text/call_body.h"

namespace slora {

// A field whose text is calls in Python's syntax: [f(a=1, b="x"), g()], in a list or one a line. Literals only; nothing is evaluated.
class PythonCallBody final : public CallBody {
 public:
  std::size_t push(std::string_view piece, CallSink& out) override;
  bool is_over() const override { return ended_; }
  void finish(AnswerEnd end, CallSink& out) override;

 private:
  enum class At : std::uint8_t { outside, name, before_key, key, value, broken };

  void take(char c, CallSink& out);
  void take_outside(char c, CallSink& out);
  void take_name(char c, CallSink& out);
  void take_before_key(char c, CallSink& out);
  void take_key(char c, CallSink& out);
  void take_value(char c, CallSink& out);
  void take_in_string(char c, CallSink& out);
  void end_escape(CallSink& out);
  void take_bracket(char c, CallSink& out);
  void end_word(CallSink& out);
  void add(std::string_view piece, CallSink& out) { out.add_arguments(piece); }
  void end_call(CallSink& out);

  At at_ = At::outside;
  bool in_list_ = false, ended_ = false, has_keys_ = false;
  std::string word_;       // a name, a key, or a literal such as True
  std::string escape_;     // in a string, with its backslash
  std::string separator_;  // a comma with the spaces after it, which is dropped before a bracket
  char quote_ = '\0';      // that ends the current string
  int depth_ = 0;          // of brackets in the value
  std::string rest_;
};

}  // namespace slora
