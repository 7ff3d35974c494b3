#include "api/responses_format.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "api/json_text.h"

namespace slora {
namespace {

constexpr std::string_view kTypeBegin = R"({"type":")";

std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string given_or(const Json& given, const char* otherwise) { return given.is_null() ? otherwise : given.dump(); }

std::string text_or_null(std::string_view text) { return text.empty() ? "null" : json_quoted(text); }

// The shortest text that reads as the same number.
std::string number(float value) { return fmt::format("{}", value); }

std::string usage_of(const Usage& usage) {
  return fmt::format(R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},)"
                     R"("output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}})",
                     usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens);
}

// What the request said, or what holds where it said nothing.
std::string echo_of(const RequestSpec& spec) {
  const ResponsesSpec& given = spec.responses;
  return fmt::format(
      R"("background":false,"instructions":{},"max_output_tokens":{},"metadata":{},"parallel_tool_calls":{},"previous_response_id":null,)"
      R"("reasoning":{{"effort":{},"summary":null}},"service_tier":null,"store":false,"temperature":{},)"
      R"("text":{{"format":{{"type":"text"}},"verbosity":"{}"}},"tool_choice":{},"tools":{},"top_logprobs":{},"top_p":{},)"
      R"("truncation":"{}","user":{})",
      given.instructions ? json_quoted(*given.instructions) : "null",
      spec.output.max_tokens ? fmt::format("{}", *spec.output.max_tokens) : "null", given_or(given.metadata, "{}"),
      given.parallel_tool_calls, text_or_null(given.reasoning_effort), number(spec.sampling.temperature), given.verbosity,
      given_or(given.tool_choice, R"("auto")"), given_or(given.tools, "[]"), spec.output.top_logprobs.value_or(0),
      number(spec.sampling.top_p), spec.prompt.truncate_tokens ? "auto" : "disabled", text_or_null(given.user));
}

bool is_cut(const Answer& answer) { return answer.choices.front().finish_reason == "length"; }
std::string_view status_of(const Answer& answer) { return is_cut(answer) ? "incomplete" : "completed"; }

}  // namespace

ResponsesFormat::ResponsesFormat(const PreparedRequest& request, AnswerLabel label)
    : id_(fmt::format("resp_{:016x}", label.random)),
      item_id_(fmt::format("msg_{:016x}", label.random)),
      head_(fmt::format(R"("id":"{}","object":"response","created_at":{},"model":{})", id_, label.created_seconds,
                        json_quoted(request.model_name))),
      echoed_(echo_of(request.spec)),
      place_(fmt::format(R"("item_id":"{}","output_index":0,"content_index":0)", item_id_)),
      logprobs_(request.text->tokenizer(), OpenAiLogprobs::names_for(request.spec)) {}

std::string ResponsesFormat::body(const Answer& answer) const {
  return response(status_of(answer), item(status_of(answer), content(answer)), usage_of(answer.usage()));
}

std::vector<std::string> ResponsesFormat::part_messages(const AnswerPart& part) {
  std::vector<std::string> events;
  if (part.is_first) {
    const std::string begun = R"("response":)" + response("in_progress", "", "null");
    events.push_back(event("created", begun));
    events.push_back(event("in_progress", begun));
    events.push_back(event("output_item.added", R"("output_index":0,"item":)" + item("in_progress", "")));
    events.push_back(event("content_part.added", place_ + R"(,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]})"));
  }
  const bool shows_tokens = part.answer.request.spec.output.logprobs && !part.tokens().empty();
  if (part.text().empty() && !shows_tokens) return events;
  events.push_back(event("output_text.delta", fmt::format(R"({},"delta":{},"logprobs":{})", place_, json_quoted(part.text()),
                                                          logprobs(part.answer, part.tokens()))));
  return events;
}

std::vector<std::string> ResponsesFormat::end_messages(const Answer& answer) {
  const AnsweredChoice& choice = answer.choices.front();
  const std::string part = content(answer), message = item(status_of(answer), part);
  std::vector<std::string> events;
  events.push_back(event("output_text.done",
                         fmt::format(R"({},"text":{},"logprobs":{})", place_, json_quoted(choice.text), logprobs(answer, choice.tokens))));
  events.push_back(event("content_part.done", fmt::format(R"({},"part":{})", place_, part)));
  events.push_back(event("output_item.done", R"("output_index":0,"item":)" + message));
  events.push_back(event(status_of(answer), R"("response":)" + response(status_of(answer), message, usage_of(answer.usage()))));
  return events;
}

std::string ResponsesFormat::failure_message(const ApiError& error) {
  return fmt::format(R"({}error","sequence_number":{},"code":{},"message":{},"param":{}}})", kTypeBegin, event_count_++,
                     json_quoted(error.code), json_quoted(error.message), text_or_null(error.param));
}

std::string_view ResponsesFormat::event_of(std::string_view message) const {
  message.remove_prefix(kTypeBegin.size());
  return message.substr(0, message.find('"'));
}

std::string ResponsesFormat::event(std::string_view type, std::string_view members) {
  return fmt::format(R"({}response.{}","sequence_number":{},{}}})", kTypeBegin, type, event_count_++, members);
}

std::string ResponsesFormat::response(std::string_view status, std::string_view output, std::string_view usage) const {
  const std::string_view details = status == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null";
  return fmt::format(R"({{{},"status":"{}","error":null,"incomplete_details":{},"output":[{}],{},"usage":{}}})", head_, status, details,
                     output, echoed_, usage);
}

std::string ResponsesFormat::item(std::string_view status, std::string_view content) const {
  return fmt::format(R"({{"type":"message","id":"{}","status":"{}","role":"assistant","content":[{}]}})", item_id_, status, content);
}

std::string ResponsesFormat::content(const Answer& answer) const {
  const AnsweredChoice& choice = answer.choices.front();
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":{}}})", json_quoted(choice.text),
                     logprobs(answer, choice.tokens));
}

std::string ResponsesFormat::logprobs(const Answer& answer, std::span<const Token> tokens) const {
  return answer.request.spec.output.logprobs ? logprobs_.list(tokens) : "[]";
}

}  // namespace slora
