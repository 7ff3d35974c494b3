#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/openai_logprobs.h"
#include "server/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of /v1/completions and /v1/chat/completions.
class OpenAiFormat final : public ResponseFormat {
 public:
  OpenAiFormat(const PreparedRequest& request, std::uint64_t random, const Tokenizer& tokenizer);

  std::string body(const Answer& answer) const override;
  // The first of a chat's choice is led by an event with its role.
  std::string part_event(const Answer& answer, const NewPart& part) const override;
  std::string end_of_stream(const Answer& answer) const override;

 private:
  [[nodiscard]] std::string head(std::string_view object, const PreparedRequest& request, std::uint64_t random) const;
  [[nodiscard]] std::string role_event(const Answer& answer, std::size_t choice_index) const;
  void append_choice(std::string& out, const Answer& answer, const NewPart& part, std::string_view chat_field) const;
  void append_logprobs(std::string& out, const Answer& answer, const NewPart& part) const;

  const bool is_chat_;
  const std::string chunk_head_, body_head_;  // `{"id":...,"choices":[`
  const OpenAiLogprobs logprobs_;
};

}  // namespace slora
