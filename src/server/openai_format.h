#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/op_args.h"
#include "server/request_spec.h"
#include "text/tokenizer.h"

namespace slora {

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
};

// A token's log-probability as it will be told.
struct LogprobEntry {
  TokenId token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // most likely first
};

// One choice, or the part of it that one event carries.
struct ChoicePart {
  std::int32_t index = 0;
  std::string text;
  std::vector<LogprobEntry> logprobs;
  std::size_t text_offset = 0;     // characters of this choice that come before the part's first logprob entry
  std::string_view finish_reason;  // "stop", "length", or empty: it goes on
  std::string stop_reason;         // JSON: the stop string or token; empty: none
};

// The bodies and events of one answer in the form of its endpoint. Const after construction; `tokenizer` outlives it.
class OpenAiFormat {
 public:
  OpenAiFormat(const RequestSpec& spec, std::string_view model_name, std::string_view id, std::int64_t created_seconds,
               const Tokenizer& tokenizer);

  // Events as SSE frames. The role opens every choice of a chat.
  [[nodiscard]] std::string role_event(std::int32_t index) const;
  [[nodiscard]] std::string part_event(const ChoicePart& part, const Usage* usage) const;
  [[nodiscard]] std::string usage_event(const Usage& usage) const;
  static constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

  // The whole answer.
  [[nodiscard]] std::string body(std::span<const ChoicePart> choices, const Usage& usage) const;

  // Characters of a token's text, as text offsets count them.
  [[nodiscard]] std::size_t character_count(TokenId token) const;

 private:
  void append_logprobs(std::string& out, const ChoicePart& part) const;
  void append_completion_logprobs(std::string& out, const ChoicePart& part) const;
  void append_chat_logprobs(std::string& out, std::span<const LogprobEntry> entries) const;
  void append_chat_token(std::string& out, TokenId token, float logprob) const;
  [[nodiscard]] static std::string head(std::string_view object, std::string_view model_name, std::string_view id,
                                        std::int64_t created_seconds);
  [[nodiscard]] std::string token_text(TokenId token) const;

  const Endpoint endpoint_;
  const bool wants_logprobs_;
  const std::string chunk_head_, body_head_;  // `{"id":...,"choices":[`
  const Tokenizer& tokenizer_;
};

[[nodiscard]] std::string sse_event(std::string_view json);

}  // namespace slora
