#pragma once
#include <string>
#include <string_view>

#include "text/call_body.h"

namespace slora {

// A field whose text is the arguments, each as a key and a value between marks: <parameter=key>value</parameter>.
class PairCallBody final : public CallBody {
 public:
  // `form` outlives it.
  PairCallBody(const CallForm& form, std::string name, KindOfParameter kind_of);
  std::size_t push(std::string_view piece, CallSink& out) override;
  void finish(AnswerEnd end, CallSink& out) override;

 private:
  void run(StreamPattern::Place place, CallSink& out);
  [[nodiscard]] bool take_head(StreamPattern::Place place, CallSink& out);
  [[nodiscard]] bool take_value(StreamPattern::Place place, CallSink& out);
  void begin_value(std::string_view key, CallSink& out);
  void add_value(std::string_view text, CallSink& out);
  void end_value(CallSink& out);

  const CallForm& form_;
  const std::string name_;
  const KindOfParameter kind_of_;
  std::string held_;
  std::string value_;  // so far, of one that is not passed on as it grows
  ValueKind kind_ = ValueKind::text;
  bool has_begun_ = false, in_value_ = false, has_pairs_ = false;
};

}  // namespace slora
