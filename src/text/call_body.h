#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "text/answer_format.h"

namespace slora {

// How an answer's text ended.
enum class AnswerEnd : std::uint8_t {
  finished,  // the model ended it
  cut,       // it may be incomplete
};

// Receives the calls in a field, piece by piece.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void begin_call(std::string_view name) = 0;
  virtual void add_arguments(std::string_view piece) = 0;
  // Text that belongs to no call.
  virtual void add_rest(std::string_view text) = 0;
};

// The types of parameters, by which values without quotes become JSON. Called with the names of a function and of its parameter.
enum class ValueKind : std::uint8_t { text, other };
using KindOfParameter = std::function<ValueKind(std::string_view function, std::string_view parameter)>;

// Turns the text between the marks of a field into calls with arguments in JSON. What the model wrote as JSON is passed on byte for byte.
// Owned by one answer and its thread.
class CallBody {
 public:
  virtual ~CallBody() = default;
  // Takes the next piece of the text; returns how much: less than all when the body has ended within it. How the text is cut into pieces
  // makes no difference to what the sink receives in all.
  virtual std::size_t push(std::string_view piece, CallSink& out) = 0;
  // Whether it has ended before its text did.
  [[nodiscard]] virtual bool is_over() const { return false; }
  // At the closing mark, or at the answer's end.
  virtual void finish(AnswerEnd end, CallSink& out) = 0;
};

// `form` and what `kind_of` refers to outlive it; `name`: as the mark has it, or empty.
[[nodiscard]] std::unique_ptr<CallBody> make_call_body(const CallForm& form, std::string name, const KindOfParameter& kind_of);

}  // namespace slora
