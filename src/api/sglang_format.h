#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "api/response_format.h"
#include "base/clock.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of /generate as SGLang gives them: {"text", "output_ids", "meta_info"}, in a list where the request has several prompts
// or choices. Every message of a stream holds the whole text and tokens of its choice so far.
class SglangFormat final : public ResponseFormat {
 public:
  // `random` makes the ids; `tokenizer` outlives it.
  SglangFormat(std::uint64_t random, const Tokenizer& tokenizer) : random_(random), tokenizer_(tokenizer) {}

  std::string body(const Answer& answer) const override;
  std::vector<std::string> part_messages(const AnswerPart& part) override;
  std::vector<std::string> end_messages(const Answer& answer) override;

 private:
  void append_choice(std::string& out, const Answer& answer, std::size_t choice_index) const;
  void append_finish_reason(std::string& out, const AnsweredChoice& choice) const;
  void append_logprobs(std::string& out, const Answer& answer, const AnsweredChoice& choice) const;
  void append_prompt_logprobs(std::string& out, const Answer& answer, const AnsweredChoice& choice) const;
  void append_logprob(std::string& out, const RequestSpec& spec, TokenId token, const float* logprob) const;

  const std::uint64_t random_;
  const Tokenizer& tokenizer_;
};

}  // namespace slora
