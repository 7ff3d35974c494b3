#pragma once
#include <string>
#include <vector>

#include "api/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of Text Generation Inference, which LoRAX has too: {"generated_text"} with "details" if asked for, or an event for each
// token, whose texts add up to the output; the last one has the whole text.
class TgiFormat final : public ResponseFormat {
 public:
  // `tokenizer` outlives it.
  explicit TgiFormat(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string body(const Answer& answer) const override;
  std::vector<std::string> part_messages(const AnswerPart& part) override;
  std::vector<std::string> end_messages(const Answer&) override { return {}; }

 private:
  void append_details(std::string& out, const Answer& answer) const;
  void append_outcome(std::string& out, const Answer& answer) const;
  void append_prompt(std::string& out, const Answer& answer) const;
  void append_token(std::string& out, const RequestSpec& spec, const Token& token, std::string_view text) const;
  void append_likely(std::string& out, const Token& token) const;

  const Tokenizer& tokenizer_;
};

}  // namespace slora
