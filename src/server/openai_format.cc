#include "server/openai_format.h"

#include <fmt/format.h>

#include <algorithm>
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

void append_end_of_choice(std::string& out, const ChoicePart& part) {
  out += R"(,"finish_reason":)";
  if (part.finish_reason.empty()) {
    out += "null";
  } else {
    append_json_string(out, part.finish_reason);
  }
  out += R"(,"stop_reason":)";
  out += part.stop_reason.empty() ? "null" : part.stop_reason;
  out += "}";
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

std::string sse_event(std::string_view json) { return fmt::format("data: {}\n\n", json); }

OpenAiFormat::OpenAiFormat(const RequestSpec& spec, std::string_view model_name, std::string_view id, std::int64_t created_seconds,
                           const Tokenizer& tokenizer)
    : endpoint_(spec.endpoint),
      wants_logprobs_(spec.logprobs.has_value()),
      chunk_head_(head(endpoint_ == Endpoint::chat ? "chat.completion.chunk" : "text_completion", model_name, id, created_seconds)),
      body_head_(head(endpoint_ == Endpoint::chat ? "chat.completion" : "text_completion", model_name, id, created_seconds)),
      tokenizer_(tokenizer) {}

std::string OpenAiFormat::head(std::string_view object, std::string_view model_name, std::string_view id, std::int64_t created_seconds) {
  std::string out = R"({"id":)";
  append_json_string(out, id);
  out += fmt::format(R"(,"object":"{}","created":{},"model":)", object, created_seconds);
  append_json_string(out, model_name);
  out += R"(,"choices":[)";
  return out;
}

std::string OpenAiFormat::role_event(std::int32_t index) const {
  return sse_event(fmt::format(R"({}{{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}})",
                               chunk_head_, index));
}

std::string OpenAiFormat::part_event(const ChoicePart& part, const Usage* usage) const {
  std::string out = chunk_head_;
  out += fmt::format(R"({{"index":{},)", part.index);
  out += endpoint_ == Endpoint::chat ? R"("delta":{"content":)" : R"("text":)";
  append_json_string(out, part.text);
  if (endpoint_ == Endpoint::chat) out += "}";
  append_logprobs(out, part);
  append_end_of_choice(out, part);
  out += "]";
  if (usage != nullptr) out += R"(,"usage":)" + usage_json(*usage);
  out += "}";
  return sse_event(out);
}

std::string OpenAiFormat::usage_event(const Usage& usage) const {
  return sse_event(chunk_head_ + R"(],"usage":)" + usage_json(usage) + "}");
}

std::string OpenAiFormat::body(std::span<const ChoicePart> choices, const Usage& usage) const {
  std::string out = body_head_;
  for (const ChoicePart& choice : choices) {
    if (&choice != choices.data()) out += ",";
    out += fmt::format(R"({{"index":{},)", choice.index);
    out += endpoint_ == Endpoint::chat ? R"("message":{"role":"assistant","content":)" : R"("text":)";
    append_json_string(out, choice.text);
    if (endpoint_ == Endpoint::chat) out += "}";
    append_logprobs(out, choice);
    append_end_of_choice(out, choice);
  }
  out += R"(],"usage":)" + usage_json(usage) + "}";
  return out;
}

void OpenAiFormat::append_logprobs(std::string& out, const ChoicePart& part) const {
  out += R"(,"logprobs":)";
  if (!wants_logprobs_) {
    out += "null";
  } else if (endpoint_ == Endpoint::chat) {
    append_chat_logprobs(out, part.logprobs);
  } else {
    append_completion_logprobs(out, part);
  }
}

void OpenAiFormat::append_completion_logprobs(std::string& out, const ChoicePart& part) const {
  out += R"({"tokens":)";
  append_list(out, part.logprobs, [&](const LogprobEntry& entry) { append_json_string(out, token_text(entry.token)); });
  out += R"(,"token_logprobs":)";
  append_list(out, part.logprobs, [&](const LogprobEntry& entry) { append_logprob(out, entry.logprob); });
  out += R"(,"top_logprobs":)";
  append_list(out, part.logprobs, [&](const LogprobEntry& entry) {
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
  std::size_t offset = part.text_offset;
  append_list(out, part.logprobs, [&](const LogprobEntry& entry) {
    out += fmt::format("{}", offset);
    offset += character_count(entry.token);
  });
  out += "}";
}

void OpenAiFormat::append_chat_logprobs(std::string& out, std::span<const LogprobEntry> entries) const {
  out += R"({"content":)";
  append_list(out, entries, [&](const LogprobEntry& entry) {
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

std::size_t OpenAiFormat::character_count(TokenId token) const {
  const std::string text = token_text(token);
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace slora
