#include "api/answer_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/forced_calls.h"

namespace slora {
namespace {

// The next number of a sequence that looks random (splitmix64).
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15;
  std::uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
  return mixed ^ (mixed >> 31);
}

bool finds_calls(const RequestSpec& spec) { return !spec.chat.tools.is_null() && spec.chat.tool_choice.mode != ToolChoice::Mode::none; }

// Whether a schema takes strings and nothing else, or is not there.
bool is_text_schema(const Json* schema) {
  const Json* type = schema != nullptr && schema->is_object() ? find_member(*schema, "type") : nullptr;
  if (type != nullptr) return *type == "string";
  if (schema == nullptr || !schema->is_object()) return true;
  if (const Json* values = find_member(*schema, "enum"); values != nullptr && values->is_array()) {
    return std::ranges::all_of(*values, [](const Json& value) { return value.is_string(); });
  }
  return !schema->contains("anyOf") && !schema->contains("oneOf") && !schema->contains("$ref");
}

// `tools` outlives the result.
KindOfParameter kinds_in(const Json& tools) {
  return [&tools](std::string_view function, std::string_view parameter) {
    for (const Json& tool : tools) {
      const Json& described = tool.at("function");
      if (described.at("name") != function) continue;
      const Json* parameters = find_member(described, "parameters");
      const Json* properties = parameters == nullptr ? nullptr : find_member(*parameters, "properties");
      const bool is_known = properties != nullptr && properties->is_object();
      return is_text_schema(is_known ? find_member(*properties, parameter) : nullptr) ? ValueKind::text : ValueKind::other;
    }
    return ValueKind::text;
  };
}

}  // namespace

const AnswerFormat* format_to_read(const PreparedRequest& request) {
  const RequestSpec& spec = request.spec;
  const AnswerForms& forms = request.text->answer_forms();
  const AnswerFormat* format = (has_forced_calls(spec) ? forms.forced_format : forms.format).get();
  if (!is_conversation(spec.endpoint) || format == nullptr) return nullptr;
  const bool may_find = (finds_calls(spec) && format->has(AnswerField::Role::calls)) || format->has(AnswerField::Role::reasoning);
  return may_find ? format : nullptr;
}

AnswerReader::AnswerReader(const PreparedRequest& request, std::size_t prompt_index, std::uint64_t random)
    : request_(request),
      parser_(*format_to_read(request), {.finds_calls = finds_calls(request.spec), .kind_of = kinds_in(request.spec.chat.tools)}),
      random_(random) {
  parser_.continue_from(request.prompts[prompt_index].answer_begin);
}

void AnswerReader::push(std::string_view text, AnsweredChoice& choice) { take(parser_.push(text), choice); }

void AnswerReader::finish(AnswerEnd end, AnsweredChoice& choice) { take(parser_.finish(end), choice); }

void AnswerReader::take(const std::vector<AnswerEvent>& events, AnsweredChoice& choice) {
  const bool one_call = !request_.spec.chat.parallel_tool_calls.value_or(true);
  for (const AnswerEvent& event : events) {
    const bool is_further = event.kind == AnswerEvent::Kind::call || event.kind == AnswerEvent::Kind::content;
    ignores_rest_ |= one_call && is_further && !choice.calls.empty();
    if (ignores_rest_) return;
    if (event.kind == AnswerEvent::Kind::reasoning && !request_.spec.chat.include_reasoning) continue;
    choice.note_stretch(event.kind);
    switch (event.kind) {
      case AnswerEvent::Kind::content:
        choice.text += event.text;
        break;
      case AnswerEvent::Kind::reasoning:
        choice.reasoning += event.text;
        break;
      case AnswerEvent::Kind::call:
        choice.calls.push_back({next_id(), event.text, {}});
        break;
      case AnswerEvent::Kind::arguments:
        choice.calls.back().arguments += event.text;
        break;
    }
    choice.deltas.push_back({event, choice.calls.empty() ? 0 : choice.calls.size() - 1});
  }
}

std::string AnswerReader::next_id() {
  const AnswerFamily* family = request_.text->answer_forms().calls;
  if (family == nullptr || !family->name.starts_with("mistral")) {
    const std::uint64_t high = next_random(random_);
    const std::string_view prefix = request_.spec.endpoint == Endpoint::responses ? "call_" : "chatcmpl-tool-";
    return fmt::format("{}{:016x}{:016x}", prefix, high, next_random(random_));
  }
  // Mistral's templates refuse ids of another form.
  constexpr std::string_view characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string id;
  while (id.size() < 9) id += characters[next_random(random_) % characters.size()];
  return id;
}

}  // namespace slora
