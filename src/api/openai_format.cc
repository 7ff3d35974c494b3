#include "api/openai_format.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "api/json_text.h"

namespace slora {
namespace {

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

// Under both names that clients know it by.
void append_reasoning(std::string& out, std::string_view text) {
  for (const char* name : {"reasoning_content", "reasoning"}) {
    out += fmt::format(R"("{}":)", name);
    append_json_string(out, text);
    out += ',';
  }
  out.pop_back();
}

std::string delta_of(const AnswerDelta& delta, const ToolCall* call) {
  std::string out = "{";
  switch (delta.event.kind) {
    case AnswerEvent::Kind::content:
      out += R"("content":)";
      append_json_string(out, delta.event.text);
      break;
    case AnswerEvent::Kind::reasoning:
      append_reasoning(out, delta.event.text);
      break;
    case AnswerEvent::Kind::call:
      out += fmt::format(R"("tool_calls":[{{"index":{},"id":"{}","type":"function","function":{{"name":)", delta.call_index, call->id);
      append_json_string(out, delta.event.text);
      out += R"(,"arguments":""}}])";
      break;
    case AnswerEvent::Kind::arguments:
      out += fmt::format(R"("tool_calls":[{{"index":{},"function":{{"arguments":)", delta.call_index);
      append_json_string(out, delta.event.text);
      out += "}}]";
      break;
  }
  return out + "}";
}

// What a message that is not streamed has after its role.
void append_message(std::string& out, const AnsweredChoice& choice) {
  out += R"("content":)";
  if (choice.is_taken_apart && choice.text.empty()) {
    out += "null";
  } else {
    append_json_string(out, choice.text);
  }
  if (!choice.reasoning.empty()) {
    out += ',';
    append_reasoning(out, choice.reasoning);
  }
  if (choice.calls.empty()) return;
  out += R"(,"tool_calls":)";
  append_json_list(out, choice.calls, [&out](const ToolCall& call) {
    out += fmt::format(R"({{"id":"{}","type":"function","function":{{"name":)", call.id);
    append_json_string(out, call.name);
    out += R"(,"arguments":)";
    append_json_string(out, call.arguments);
    out += "}}";
  });
}

void append_ids(std::string& out, std::string_view field, std::span<const TokenId> tokens) {
  out += fmt::format(R"(,"{}":[{}])", field, fmt::join(tokens, ","));
}

}  // namespace

std::string usage_json(const Usage& usage) {
  std::string out =
      fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}})",
                  usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens, usage.cached_tokens);
  if (usage.reasoning_tokens) out += fmt::format(R"(,"completion_tokens_details":{{"reasoning_tokens":{}}})", *usage.reasoning_tokens);
  return out + "}";
}

OpenAiFormat::OpenAiFormat(const PreparedRequest& request, AnswerLabel label)
    : is_chat_(request.spec.endpoint == Endpoint::chat),
      chunk_head_(head(is_chat_ ? "chat.completion.chunk" : "text_completion", request, label)),
      body_head_(head(is_chat_ ? "chat.completion" : "text_completion", request, label)),
      logprobs_(request.text->tokenizer(), OpenAiLogprobs::names_for(request.spec)) {}

std::string OpenAiFormat::head(std::string_view object, const PreparedRequest& request, AnswerLabel label) const {
  std::string out = fmt::format(R"({{"id":"{}-{:016x}","object":"{}","created":{},"model":)", is_chat_ ? "chatcmpl" : "cmpl", label.random,
                                object, label.created_seconds);
  append_json_string(out, request.model_name);
  out += R"(,"choices":[)";
  return out;
}

std::vector<std::string> OpenAiFormat::part_messages(const AnswerPart& part) {
  if (part.choice().is_taken_apart) return delta_messages(part);
  std::string out = chunk_head_;
  append_choice(out, part, "delta");
  out += "]";
  if (part.answer.request.spec.openai.continuous_usage_stats) out += R"(,"usage":)" + usage_json(part.answer.usage_of(part.choice()));
  out += "}";
  if (is_chat_ && part.is_first) return {role_message(part), std::move(out)};
  return {std::move(out)};
}

// Log-probabilities and ids belong to tokens, which may add nothing or several things: they come with the part's last message.
std::vector<std::string> OpenAiFormat::delta_messages(const AnswerPart& part) const {
  const AnsweredChoice& choice = part.choice();
  const OutputSpec& output = part.answer.request.spec.output;
  std::vector<std::string> messages;
  if (part.is_first) messages.push_back(role_message(part));
  const bool has_end = !choice.finish_reason.empty();
  for (std::size_t i = 0; i < choice.deltas.size(); ++i) {
    const AnswerDelta& delta = choice.deltas[i];
    const ToolCall* call = choice.calls.empty() ? nullptr : &choice.calls[delta.call_index];
    const bool is_last = i + 1 == choice.deltas.size() && !has_end;
    messages.push_back(delta_message(part, delta_of(delta, call), is_last ? Tokens::included : Tokens::left_out));
  }
  const bool has_tokens = (output.logprobs || output.return_token_ids) && choice.deltas.empty();
  if (has_end || has_tokens) messages.push_back(delta_message(part, "{}", Tokens::included));
  return messages;
}

std::string OpenAiFormat::delta_message(const AnswerPart& part, std::string_view delta, Tokens tokens) const {
  std::string out = fmt::format(R"({}{{"index":{},"delta":{})", chunk_head_, part.choice_index, delta);
  if (tokens == Tokens::included) {
    append_tokens(out, part);
  } else {
    out += R"(,"logprobs":null,"finish_reason":null,"stop_reason":null)";
  }
  out += "}]";
  if (part.answer.request.spec.openai.continuous_usage_stats) out += R"(,"usage":)" + usage_json(part.answer.usage_of(part.choice()));
  return out + "}";
}

// What a choice of a chat has after its message.
void OpenAiFormat::append_tokens(std::string& out, const AnswerPart& part) const {
  const OutputSpec& output = part.answer.request.spec.output;
  out += R"(,"logprobs":)" + (output.logprobs ? logprobs_.of_choice(part) : "null");
  append_end_of_choice(out, part.choice());
  if (!output.return_token_ids) return;
  std::vector<TokenId> tokens;
  for (const Token& token : part.tokens()) tokens.push_back(token.id);
  append_ids(out, "token_ids", tokens);
}

std::string OpenAiFormat::role_message(const AnswerPart& part) const {
  const Answer& answer = part.answer;
  const AnsweredChoice& choice = part.choice();
  std::string out = fmt::format(R"({}{{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}])",
                                chunk_head_, part.choice_index);
  if (answer.request.spec.output.return_token_ids) append_ids(out, "prompt_token_ids", answer.prompt_tokens_of(choice));
  if (answer.request.spec.openai.continuous_usage_stats) {
    Usage before = answer.usage_of(choice);
    before.completion_tokens = 0;
    out += R"(,"usage":)" + usage_json(before);
  }
  return out + "}";
}

std::vector<std::string> OpenAiFormat::end_messages(const Answer& answer) {
  if (!answer.request.spec.openai.include_usage) return {"[DONE]"};
  return {chunk_head_ + R"(],"usage":)" + usage_json(answer.usage()) + "}", "[DONE]"};
}

std::string OpenAiFormat::body(const Answer& answer) const {
  const RequestSpec& spec = answer.request.spec;
  std::string out = body_head_;
  for (std::size_t i = 0; i < answer.choices.size(); ++i) {
    if (i != 0) out += ",";
    append_choice(out, {answer, i}, "message");
  }
  out += R"(],"service_tier":null,"system_fingerprint":null,"usage":)" + usage_json(answer.usage());
  if (is_chat_) {
    if (spec.output.prompt_logprobs) out += R"(,"prompt_logprobs":)" + logprobs_.prompt(answer.prompts.front().logprobs);
    if (spec.output.return_token_ids) append_ids(out, "prompt_token_ids", answer.request.prompts.front().tokens);
  }
  return out + "}";
}

void OpenAiFormat::append_choice(std::string& out, const AnswerPart& part, std::string_view chat_field) const {
  const Answer& answer = part.answer;
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = part.choice();
  out += fmt::format(R"({{"index":{},)", part.choice_index);
  if (is_chat_) {
    const std::string_view role = chat_field == "message" ? R"("role":"assistant",)" : "";
    out += fmt::format(R"("{}":{{{})", chat_field, role);
    if (choice.is_taken_apart) {
      append_message(out, choice);
    } else {
      out += R"("content":)";
      append_json_string(out, part.text());
    }
    out += "}";
  } else {
    out += R"("text":)";
    append_json_string(out, part.text());
  }
  out += R"(,"logprobs":)" + (spec.output.logprobs ? logprobs_.of_choice(part) : "null");
  append_end_of_choice(out, choice);
  if (spec.output.return_token_ids) {
    if (!is_chat_ && part.is_first) append_ids(out, "prompt_token_ids", answer.prompt_tokens_of(choice));
    std::vector<TokenId> tokens;
    for (const Token& token : part.tokens()) tokens.push_back(token.id);
    append_ids(out, "token_ids", tokens);
  }
  if (!is_chat_ && !spec.output.stream && spec.output.prompt_logprobs) {
    out += R"(,"prompt_logprobs":)" + logprobs_.prompt(answer.prompts[choice.prompt_index].logprobs);
  }
  out += "}";
}

}  // namespace slora
