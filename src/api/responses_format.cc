#include "api/responses_format.h"

#include <fmt/format.h>

#include <algorithm>
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
                     R"("output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}})",
                     usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens.value_or(0),
                     usage.prompt_tokens + usage.completion_tokens);
}

// What the request said, or what holds where it said nothing.
std::string echo_of(const RequestSpec& spec) {
  const ResponsesSpec& given = spec.responses;
  return fmt::format(
      R"("background":false,"instructions":{},"max_output_tokens":{},"metadata":{},"parallel_tool_calls":{},"previous_response_id":null,)"
      R"("reasoning":{{"effort":{},"summary":null}},"service_tier":null,"store":false,"temperature":{},)"
      R"("text":{{"format":{},"verbosity":"{}"}},"tool_choice":{},"tools":{},"top_logprobs":{},"top_p":{},)"
      R"("truncation":"{}","user":{})",
      given.instructions ? json_quoted(*given.instructions) : "null",
      spec.output.max_tokens ? fmt::format("{}", *spec.output.max_tokens) : "null", given_or(given.metadata, "{}"),
      spec.chat.parallel_tool_calls.value_or(true), text_or_null(given.reasoning_effort), number(spec.sampling.temperature),
      given_or(given.text_format, R"({"type":"text"})"), given.verbosity, given_or(given.tool_choice, R"("auto")"),
      given_or(given.tools, "[]"), spec.output.top_logprobs.value_or(0), number(spec.sampling.top_p),
      spec.prompt.truncate_tokens ? "auto" : "disabled", text_or_null(given.user));
}

bool is_cut(const Answer& answer) { return answer.choices.front().finish_reason == "length"; }
std::string_view status_of(const Answer& answer) { return is_cut(answer) ? "incomplete" : "completed"; }

// Those of an answer that isn't taken apart, or that is empty, are one: a message.
std::span<const AnswerStretch> stretches_of(const Answer& answer) {
  static constexpr AnswerStretch message;
  const std::vector<AnswerStretch>& found = answer.choices.front().stretches;
  return found.empty() ? std::span(&message, 1) : std::span(found);
}

// The text of a stretch: up to the next one of its kind.
std::string_view text_of(const Answer& answer, std::size_t index) {
  const std::span<const AnswerStretch> stretches = stretches_of(answer);
  const AnswerStretch& stretch = stretches[index];
  const AnsweredChoice& choice = answer.choices.front();
  const std::string_view all = stretch.kind == AnswerEvent::Kind::reasoning ? choice.reasoning : choice.text;
  const auto next = std::ranges::find(stretches.subspan(index + 1), stretch.kind, &AnswerStretch::kind);
  return all.substr(stretch.begin, next == stretches.end() ? std::string_view::npos : next->begin - stretch.begin);
}

// The tokens of a stretch: up to the one that brought the next.
std::span<const Token> tokens_of(const Answer& answer, std::size_t index) {
  const std::span<const AnswerStretch> stretches = stretches_of(answer);
  const std::vector<Token>& all = answer.choices.front().tokens;
  const std::size_t begin = index == 0 ? 0 : stretches[index].token_begin;
  const std::size_t end = index + 1 < stretches.size() ? std::max(begin, stretches[index + 1].token_begin) : all.size();
  return std::span(all).subspan(begin, end - begin);
}

}  // namespace

ResponsesFormat::ResponsesFormat(const PreparedRequest& request, AnswerLabel label)
    : random_(label.random),
      id_(fmt::format("resp_{:016x}", label.random)),
      head_(fmt::format(R"("id":"{}","object":"response","created_at":{},"model":{})", id_, label.created_seconds,
                        json_quoted(request.model_name))),
      echoed_(echo_of(request.spec)),
      logprobs_(request.text->tokenizer(), OpenAiLogprobs::names_for(request.spec)) {}

std::string ResponsesFormat::body(const Answer& answer) const {
  return response(status_of(answer), items(answer), usage_of(answer.usage()));
}

std::vector<std::string> ResponsesFormat::part_messages(const AnswerPart& part) {
  std::vector<std::string> events;
  if (part.is_first) {
    const std::string begun = R"("response":)" + response("in_progress", "", "null");
    events.push_back(event("created", begun));
    events.push_back(event("in_progress", begun));
  }
  const AnsweredChoice& choice = part.choice();
  for (const AnswerDelta& delta : choice.deltas) add_delta(events, part, delta.event);
  const bool shows_tokens = part.answer.request.spec.output.logprobs && !part.tokens().empty();
  if (!choice.is_taken_apart && (!part.text().empty() || shows_tokens)) {
    add_delta(events, part, {AnswerEvent::Kind::content, std::string(part.text())});
  }
  return events;
}

std::vector<std::string> ResponsesFormat::end_messages(const Answer& answer) {
  std::vector<std::string> events;
  if (opened_count_ == 0) open_item(events, answer);
  close_item(events, answer);
  events.push_back(event(status_of(answer), R"("response":)" + response(status_of(answer), items(answer), usage_of(answer.usage()))));
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

void ResponsesFormat::open_item(std::vector<std::string>& events, const Answer& answer) {
  const std::size_t index = opened_count_++;
  const AnswerStretch& stretch = stretches_of(answer)[index];
  tokens_sent_ = index == 0 ? 0 : stretch.token_begin;
  events.push_back(event("output_item.added", fmt::format(R"("output_index":{},"item":{})", index, begun_item(answer, index))));
  if (stretch.kind == Kind::call) return;
  const std::string_view empty = stretch.kind == Kind::reasoning ? R"({"type":"reasoning_text","text":""})"
                                                                 : R"({"type":"output_text","text":"","annotations":[],"logprobs":[]})";
  events.push_back(event("content_part.added", fmt::format(R"({},"part":{})", place(answer, index), empty)));
}

void ResponsesFormat::add_delta(std::vector<std::string>& events, const AnswerPart& part, const AnswerEvent& delta) {
  const Answer& answer = part.answer;
  const bool begins_item = opened_count_ == 0 || delta.kind == Kind::call ||
                           (delta.kind != Kind::arguments && stretches_of(answer)[opened_count_ - 1].kind != delta.kind);
  if (begins_item) {
    close_item(events, answer);
    open_item(events, answer);
  }
  if (delta.kind == Kind::call) return;
  const std::size_t index = opened_count_ - 1;
  const std::string members = fmt::format(R"({},"delta":{})", place(answer, index), json_quoted(delta.text));
  if (delta.kind == Kind::content) {
    const std::span<const Token> tokens = tokens_of(answer, index);
    const std::size_t end = static_cast<std::size_t>(tokens.data() + tokens.size() - answer.choices.front().tokens.data());
    const std::size_t begin = std::min(std::exchange(tokens_sent_, end), end);
    const std::string scores = logprobs(answer, std::span(answer.choices.front().tokens).subspan(begin, end - begin));
    events.push_back(event("output_text.delta", fmt::format(R"({},"logprobs":{})", members, scores)));
  } else {
    events.push_back(event(delta.kind == Kind::reasoning ? "reasoning_text.delta" : "function_call_arguments.delta", members));
  }
}

void ResponsesFormat::close_item(std::vector<std::string>& events, const Answer& answer) {
  if (closed_count_ == opened_count_) return;
  const std::size_t index = closed_count_++;
  const AnswerStretch& stretch = stretches_of(answer)[index];
  const std::string where = place(answer, index);
  if (stretch.kind == Kind::call) {
    const ToolCall& call = answer.choices.front().calls[stretch.begin];
    events.push_back(event("function_call_arguments.done",
                           fmt::format(R"({},"name":{},"arguments":{})", where, json_quoted(call.name), json_quoted(call.arguments))));
  } else {
    const std::string text = json_quoted(text_of(answer, index));
    events.push_back(stretch.kind == Kind::reasoning ? event("reasoning_text.done", fmt::format(R"({},"text":{})", where, text))
                                                     : event("output_text.done", fmt::format(R"({},"text":{},"logprobs":{})", where, text,
                                                                                             logprobs(answer, tokens_of(answer, index)))));
    events.push_back(event("content_part.done", fmt::format(R"({},"part":{})", where, content(answer, index))));
  }
  events.push_back(event("output_item.done", fmt::format(R"("output_index":{},"item":{})", index, item(answer, index))));
}

std::string ResponsesFormat::event(std::string_view type, std::string_view members) {
  return fmt::format(R"({}response.{}","sequence_number":{},{}}})", kTypeBegin, type, event_count_++, members);
}

std::string ResponsesFormat::response(std::string_view status, std::string_view output, std::string_view usage) const {
  const std::string_view details = status == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null";
  return fmt::format(R"({{{},"status":"{}","error":null,"incomplete_details":{},"output":[{}],{},"usage":{}}})", head_, status, details,
                     output, echoed_, usage);
}

std::string ResponsesFormat::items(const Answer& answer) const {
  std::string all;
  for (std::size_t i = 0; i < stretches_of(answer).size(); ++i) all += (i == 0 ? "" : ",") + item(answer, i);
  return all;
}

std::string ResponsesFormat::item(const Answer& answer, std::size_t index) const {
  const AnswerStretch& stretch = stretches_of(answer)[index];
  const bool is_last = index + 1 == stretches_of(answer).size();
  const std::string_view status = is_last ? status_of(answer) : "completed";
  if (stretch.kind == Kind::call) return call_item(answer, index, status, answer.choices.front().calls[stretch.begin].arguments);
  return text_item(answer, index, status, content(answer, index));
}

std::string ResponsesFormat::begun_item(const Answer& answer, std::size_t index) const {
  const bool is_call = stretches_of(answer)[index].kind == Kind::call;
  return is_call ? call_item(answer, index, "in_progress", "") : text_item(answer, index, "in_progress", "");
}

std::string ResponsesFormat::call_item(const Answer& answer, std::size_t index, std::string_view status, std::string_view arguments) const {
  const ToolCall& call = answer.choices.front().calls[stretches_of(answer)[index].begin];
  return fmt::format(R"({{"type":"function_call","id":"{}","call_id":"{}","name":{},"arguments":{},"status":"{}"}})",
                     item_id(Kind::call, index), call.id, json_quoted(call.name), json_quoted(arguments), status);
}

std::string ResponsesFormat::text_item(const Answer& answer, std::size_t index, std::string_view status, std::string_view content) const {
  const Kind kind = stretches_of(answer)[index].kind;
  const std::string id = item_id(kind, index);
  if (kind == Kind::reasoning)
    return fmt::format(R"({{"type":"reasoning","id":"{}","status":"{}","summary":[],"content":[{}]}})", id, status, content);
  return fmt::format(R"({{"type":"message","id":"{}","status":"{}","role":"assistant","content":[{}]}})", id, status, content);
}

std::string ResponsesFormat::content(const Answer& answer, std::size_t index) const {
  const std::string text = json_quoted(text_of(answer, index));
  if (stretches_of(answer)[index].kind == Kind::reasoning) return fmt::format(R"({{"type":"reasoning_text","text":{}}})", text);
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":{}}})", text,
                     logprobs(answer, tokens_of(answer, index)));
}

std::string ResponsesFormat::item_id(Kind kind, std::size_t index) const {
  const char* prefix = kind == Kind::call ? "fc" : kind == Kind::reasoning ? "rs" : "msg";
  return fmt::format("{}_{:016x}", prefix, random_ + index);
}

std::string ResponsesFormat::place(const Answer& answer, std::size_t index) const {
  const Kind kind = stretches_of(answer)[index].kind;
  return fmt::format(R"("item_id":"{}","output_index":{}{})", item_id(kind, index), index,
                     kind == Kind::call ? "" : R"(,"content_index":0)");
}

std::string ResponsesFormat::logprobs(const Answer& answer, std::span<const Token> tokens) const {
  return answer.request.spec.output.logprobs ? logprobs_.list(tokens) : "[]";
}

}  // namespace slora
