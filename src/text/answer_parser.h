#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_format.h"
#include "text/call_body.h"

namespace slora {

// What an answer goes on with.
struct AnswerEvent {
  enum class Kind : std::uint8_t { content, reasoning, call, arguments };
  Kind kind = Kind::content;
  std::string text;  // of a call its name; else what comes next of it: arguments are those of the last call
  friend bool operator==(const AnswerEvent&, const AnswerEvent&) = default;
};

// Tells content, reasoning and tool calls apart in an answer that arrives in pieces. The events of all pieces joined are the same however
// the answer is cut. White space next to marks is dropped; no other text is lost, whatever the model wrote. Owned by one answer and its
// thread.
class AnswerParser {
 public:
  struct Options {
    bool finds_calls = true;  // false: they are content
    KindOfParameter kind_of = {};
  };
  // `format` outlives it.
  AnswerParser(const AnswerFormat& format, Options options);
  AnswerParser(const AnswerParser&) = delete;
  AnswerParser& operator=(const AnswerParser&) = delete;
  ~AnswerParser();

  // What the prompt has of the answer already: its marks count, its text is no part of the answer. Requires: nothing was pushed.
  void continue_from(std::string_view prompt_end);
  [[nodiscard]] std::vector<AnswerEvent> push(std::string_view piece);
  [[nodiscard]] std::vector<AnswerEvent> finish(AnswerEnd end);

  [[nodiscard]] bool is_in_reasoning() const;
  // Whether a call has begun whose end has not been seen.
  [[nodiscard]] bool is_in_call() const;

 private:
  class Calls;

  void process(bool is_complete);
  [[nodiscard]] bool step(bool is_complete);
  [[nodiscard]] bool step_in_body();
  void accumulate(std::string_view text);
  void add_text(AnswerEvent::Kind kind, std::string_view text);
  void add(AnswerEvent::Kind kind, std::string_view text);
  void open(const AnswerField& field, const StreamPattern::Match& mark);
  void close(std::string_view mark, AnswerEnd end);
  void drop_consumed();

  const AnswerFormat& format_;
  const Options options_;
  const AnswerField* rest_field_ = nullptr;  // that has no opening mark
  const AnswerField* current_ = nullptr;     // null: no field, as rest_field_
  std::unique_ptr<CallBody> body_;           // of current_
  std::unique_ptr<Calls> calls_;
  std::string raw_;  // of the current field, from its mark on, until it has a call
  bool body_ended_ = false;
  std::string characters_;                // a character that is not complete yet
  std::string buffer_;                    // from some bytes before pos_, which patterns may look back at
  std::size_t pos_ = 0;                   // everything before is consumed
  std::size_t dropped_ = 0;               // bytes before the buffer
  std::optional<std::size_t> last_open_;  // where in the answer the last field began
  bool is_at_start_ = true;               // the buffer begins where the answer does
  bool is_after_mark_ = false;            // white space is dropped
  bool had_mark_ = false;
  std::string blank_;  // white space that is dropped if a mark follows
  std::vector<AnswerEvent> events_;
};

}  // namespace slora
