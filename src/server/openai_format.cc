#include "server/openai_format.h"

#include <fmt/format.h>

#include <chrono>
#include <span>

#include "server/json_text.h"

namespace slora {
namespace {

std::string usage_json(const Usage& usage) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}})",
                     usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens, usage.cached_tokens);
}

void append_end_of_choice(std::string& out, const AnsweredChoice& choice) {
  out += R"(,"finish_reason":)";
  if (choice.finish_reason.empty()) {
    out += "null";
  } else {
    append_json_string(out, choice.finish_reason);
  }
  out += R"(,"stop_reason":)";
  out += choice.stop_reason.empty() ? "null" : choice.stop_reason;
}

void append_ids(std::string& out, std::string_view field, std::span<const TokenId> tokens) {
  out += fmt::format(R"(,"{}":[{}])", field, fmt::join(tokens, ","));
}

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

OpenAiFormat::OpenAiFormat(const PreparedRequest& request, std::uint64_t random, const Tokenizer& tokenizer)
    : is_chat_(request.spec.endpoint == Endpoint::chat),
      chunk_head_(head(is_chat_ ? "chat.completion.chunk" : "text_completion", request, random)),
      body_head_(head(is_chat_ ? "chat.completion" : "text_completion", request, random)),
      logprobs_(tokenizer, request.spec.return_tokens_as_token_ids ? OpenAiLogprobs::TokenNames::ids : OpenAiLogprobs::TokenNames::texts) {}

std::string OpenAiFormat::head(std::string_view object, const PreparedRequest& request, std::uint64_t random) const {
  std::string out = fmt::format(R"({{"id":"{}-{:016x}","object":"{}","created":{},"model":)", is_chat_ ? "chatcmpl" : "cmpl", random,
                                object, seconds_since_epoch());
  append_json_string(out, request.model_name);
  out += R"(,"choices":[)";
  return out;
}

std::string OpenAiFormat::part_event(const Answer& answer, const NewPart& part) const {
  std::string out = chunk_head_;
  append_choice(out, answer, part, "delta");
  out += "]";
  if (answer.request.spec.continuous_usage_stats) out += R"(,"usage":)" + usage_json(answer.usage_of(answer.choices[part.choice_index]));
  out += "}";
  return is_chat_ && part.is_first ? role_event(answer, part.choice_index) + sse_event(out) : sse_event(out);
}

std::string OpenAiFormat::role_event(const Answer& answer, std::size_t choice_index) const {
  const AnsweredChoice& choice = answer.choices[choice_index];
  std::string out = fmt::format(R"({}{{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}])",
                                chunk_head_, choice_index);
  if (answer.request.spec.return_token_ids) append_ids(out, "prompt_token_ids", answer.prompt_tokens_of(choice));
  if (answer.request.spec.continuous_usage_stats) {
    Usage before = answer.usage_of(choice);
    before.completion_tokens = 0;
    out += R"(,"usage":)" + usage_json(before);
  }
  return sse_event(out + "}");
}

std::string OpenAiFormat::end_of_stream(const Answer& answer) const {
  std::string events;
  if (answer.request.spec.include_usage) events = sse_event(chunk_head_ + R"(],"usage":)" + usage_json(answer.usage()) + "}");
  return events + sse_event("[DONE]");
}

std::string OpenAiFormat::body(const Answer& answer) const {
  const RequestSpec& spec = answer.request.spec;
  std::string out = body_head_;
  for (std::size_t i = 0; i < answer.choices.size(); ++i) {
    if (i != 0) out += ",";
    append_choice(out, answer, {i, true, 0, 0}, "message");
  }
  out += R"(],"service_tier":null,"system_fingerprint":null,"usage":)" + usage_json(answer.usage());
  if (is_chat_) {
    if (spec.prompt_logprobs) out += R"(,"prompt_logprobs":)" + logprobs_.prompt(answer.prompts.front().logprobs);
    if (spec.return_token_ids) append_ids(out, "prompt_token_ids", answer.request.prompts.front().tokens);
  }
  return out + "}";
}

void OpenAiFormat::append_choice(std::string& out, const Answer& answer, const NewPart& part, std::string_view chat_field) const {
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = answer.choices[part.choice_index];
  out += fmt::format(R"({{"index":{},)", part.choice_index);
  if (is_chat_) {
    const std::string_view role = chat_field == "message" ? R"("role":"assistant",)" : "";
    out += fmt::format(R"("{}":{{{}"content":)", chat_field, role);
  } else {
    out += R"("text":)";
  }
  append_json_string(out, std::string_view(choice.text).substr(part.text_begin));
  if (is_chat_) out += "}";
  append_logprobs(out, answer, part);
  append_end_of_choice(out, choice);
  if (spec.return_token_ids) {
    if (!is_chat_ && part.is_first) append_ids(out, "prompt_token_ids", answer.prompt_tokens_of(choice));
    std::vector<TokenId> tokens;
    for (std::size_t i = part.token_begin; i < choice.tokens.size(); ++i) tokens.push_back(choice.tokens[i].token.id);
    append_ids(out, "token_ids", tokens);
  }
  if (!is_chat_ && !spec.stream && spec.prompt_logprobs) {
    out += R"(,"prompt_logprobs":)" + logprobs_.prompt(answer.prompts[choice.prompt_index].logprobs);
  }
  out += "}";
}

void OpenAiFormat::append_logprobs(std::string& out, const Answer& answer, const NewPart& part) const {
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = answer.choices[part.choice_index];
  const auto tokens = std::span(choice.tokens).subspan(part.token_begin);
  out += R"(,"logprobs":)";
  if (!spec.logprobs) {
    out += "null";
  } else if (is_chat_) {
    out += logprobs_.chat(tokens);
  } else {
    const auto echoed = spec.echo && part.is_first ? std::span(answer.prompt_tokens_of(choice)) : std::span<const TokenId>();
    out += logprobs_.completion(echoed, answer.prompts[choice.prompt_index].logprobs, tokens);
  }
}

}  // namespace slora
