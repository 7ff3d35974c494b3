#include "server/openai_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/json_text.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr float kLogprobMin = -9999.0F;  // vLLM's stand-in for minus infinity

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
  out += "}";
}

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void append_logprob(std::string& out, float logprob) { append_json_number(out, std::max(logprob, kLogprobMin)); }

template <class List, class Append>
void append_list(std::string& out, const List& list, Append append) {
  out += "[";
  bool first = true;
  for (const auto& entry : list) {
    if (!std::exchange(first, false)) out += ",";
    append(entry);
  }
  out += "]";
}

}  // namespace

OpenAiFormat::OpenAiFormat(const PreparedRequest& request, std::uint64_t random, const Tokenizer& tokenizer)
    : is_chat_(request.spec.endpoint == Endpoint::chat),
      wants_logprobs_(request.spec.logprobs.has_value()),
      chunk_head_(head(is_chat_ ? "chat.completion.chunk" : "text_completion", request, random)),
      body_head_(head(is_chat_ ? "chat.completion" : "text_completion", request, random)),
      tokenizer_(tokenizer) {}

std::string OpenAiFormat::head(std::string_view object, const PreparedRequest& request, std::uint64_t random) const {
  std::string out = fmt::format(R"({{"id":"{}-{:016x}","object":"{}","created":{},"model":)", is_chat_ ? "chatcmpl" : "cmpl", random,
                                object, seconds_since_epoch());
  append_json_string(out, request.model_name);
  out += R"(,"choices":[)";
  return out;
}

std::string OpenAiFormat::part_event(const Answer& answer, const NewPart& part) const {
  const AnsweredChoice& choice = answer.choices[part.choice_index];
  std::string events;
  if (is_chat_ && part.is_first) {
    events =
        sse_event(fmt::format(R"({}{{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}})",
                              chunk_head_, part.choice_index));
  }
  std::string out = chunk_head_;
  out += fmt::format(R"({{"index":{},)", part.choice_index);
  out += is_chat_ ? R"("delta":{"content":)" : R"("text":)";
  append_json_string(out, std::string_view(choice.text).substr(part.text_begin));
  if (is_chat_) out += "}";
  append_logprobs(out, std::span(choice.tokens).subspan(part.token_begin));
  append_end_of_choice(out, choice);
  out += "]";
  if (answer.request.spec.continuous_usage_stats) out += R"(,"usage":)" + usage_json(answer.usage());
  out += "}";
  return events + sse_event(out);
}

std::string OpenAiFormat::end_of_stream(const Answer& answer) const {
  std::string events;
  if (answer.request.spec.include_usage) events = sse_event(chunk_head_ + R"(],"usage":)" + usage_json(answer.usage()) + "}");
  return events + sse_event("[DONE]");
}

std::string OpenAiFormat::body(const Answer& answer) const {
  std::string out = body_head_;
  for (std::size_t i = 0; i < answer.choices.size(); ++i) {
    const AnsweredChoice& choice = answer.choices[i];
    if (i != 0) out += ",";
    out += fmt::format(R"({{"index":{},)", i);
    out += is_chat_ ? R"("message":{"role":"assistant","content":)" : R"("text":)";
    append_json_string(out, choice.text);
    if (is_chat_) out += "}";
    append_logprobs(out, choice.tokens);
    append_end_of_choice(out, choice);
  }
  out += R"(],"usage":)" + usage_json(answer.usage()) + "}";
  return out;
}

void OpenAiFormat::append_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const {
  out += R"(,"logprobs":)";
  if (!wants_logprobs_) {
    out += "null";
  } else if (is_chat_) {
    append_chat_logprobs(out, tokens);
  } else {
    append_completion_logprobs(out, tokens);
  }
}

void OpenAiFormat::append_completion_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const {
  out += R"({"tokens":)";
  append_list(out, tokens, [&](const AnsweredToken& entry) { append_json_string(out, token_text(entry.token)); });
  out += R"(,"token_logprobs":)";
  append_list(out, tokens, [&](const AnsweredToken& entry) { append_logprob(out, entry.logprob); });
  out += R"(,"top_logprobs":)";
  append_list(out, tokens, [&](const AnsweredToken& entry) {
    // Keys are texts, so that of tokens with one text (parts of characters) the likeliest counts. The chosen token is always there.
    std::vector<std::string> told;
    out += "{";
    const auto tell = [&](TokenId token, float logprob) {
      std::string text = token_text(token);
      if (std::ranges::find(told, text) != told.end()) return;
      if (!told.empty()) out += ",";
      append_json_string(out, text);
      out += ":";
      append_logprob(out, logprob);
      told.push_back(std::move(text));
    };
    for (const TokenLogprob& top : entry.top) tell(top.token, top.logprob);
    tell(entry.token, entry.logprob);
    out += "}";
  });
  out += R"(,"text_offset":)";
  append_list(out, tokens, [&](const AnsweredToken& entry) { out += fmt::format("{}", entry.text_offset); });
  out += "}";
}

void OpenAiFormat::append_chat_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const {
  out += R"({"content":)";
  append_list(out, tokens, [&](const AnsweredToken& entry) {
    append_chat_token(out, entry.token, entry.logprob);
    out += R"(,"top_logprobs":)";
    append_list(out, entry.top, [&](const TokenLogprob& top) {
      append_chat_token(out, top.token, top.logprob);
      out += "}";
    });
    out += "}";
  });
  out += "}";
}

// Leaves the object open.
void OpenAiFormat::append_chat_token(std::string& out, TokenId token, float logprob) const {
  out += R"({"token":)";
  append_json_string(out, token_text(token));
  out += R"(,"logprob":)";
  append_logprob(out, logprob);
  out += R"(,"bytes":)";
  append_list(out, tokenizer_.token_bytes(token), [&](char byte) { out += fmt::format("{}", static_cast<unsigned char>(byte)); });
}

std::string OpenAiFormat::token_text(TokenId token) const { return to_valid_utf8(tokenizer_.token_bytes(token)); }

}  // namespace slora
