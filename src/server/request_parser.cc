#include "server/request_parser.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <type_traits>

#include "formats/json.h"
#include "server/error_response.h"
#include "server/request_fields.h"

namespace slora {
namespace {

constexpr unsigned kCompletions = 1;
constexpr unsigned kChat = 2;
constexpr unsigned kBoth = 3;
constexpr double kIntMax = std::numeric_limits<std::int32_t>::max();
constexpr double kSeedMax = 9.2e18;    // an int64 with room for rounding
constexpr double kPositiveMin = 1e-6;  // stands for "more than 0"

// Where a field goes. The last two: a reader for what has a form of its own, and fields that are known but not served, with the
// test for values that ask for nothing.
using Reader = Status (*)(RequestSpec&, const Json&, std::int32_t vocabulary_size);
using AsksForNothing = bool (*)(const Json&);
using Target = std::variant<bool RequestSpec::*, std::optional<bool> RequestSpec::*, std::int32_t RequestSpec::*,
                            std::optional<std::int32_t> RequestSpec::*, std::optional<std::int64_t> RequestSpec::*, float RequestSpec::*,
                            std::optional<float> RequestSpec::*, std::string RequestSpec::*, Reader, AsksForNothing>;

struct Field {
  std::string_view name;
  unsigned endpoints;
  Target target;
  double min = 0, max = 0;  // of numbers
};

bool never(const Json&) { return false; }
bool anything(const Json&) { return true; }
bool is_true(const Json& value) { return value == true; }
bool is_false(const Json& value) { return value == false; }
bool is_empty(const Json& value) { return value.empty() || value == ""; }
bool is_one(const Json& value) { return value == 1; }
bool is_text_format(const Json& value) {
  const Json* type = value.is_object() ? find_member(value, "type") : nullptr;
  return type != nullptr && *type == "text";
}
bool is_text_modality(const Json& value) { return value == Json::array({"text"}); }
bool is_no_tool_choice(const Json& value) { return value == "none" || value == "auto"; }

// Everything that a request may say. Caps: a request must not cost more than its bytes suggest.
constexpr Field kFields[] = {
    {"model", kBoth, &RequestSpec::model},
    {"prompt", kCompletions, read_prompt},
    {"messages", kChat, read_messages},
    {"n", kBoth, &RequestSpec::n, 1, 8},
    {"max_tokens", kBoth, &RequestSpec::max_tokens, 1, kIntMax},
    {"max_completion_tokens", kChat, &RequestSpec::max_tokens, 1, kIntMax},
    {"min_tokens", kBoth, &RequestSpec::min_tokens, 0, kIntMax},
    {"temperature", kBoth, &RequestSpec::temperature, 0, 100},
    {"top_p", kBoth, &RequestSpec::top_p, kPositiveMin, 1},
    {"top_k", kBoth, &RequestSpec::top_k, -1, kIntMax},
    {"min_p", kBoth, &RequestSpec::min_p, 0, 1},
    {"repetition_penalty", kBoth, &RequestSpec::repetition_penalty, kPositiveMin, 100},
    {"presence_penalty", kBoth, &RequestSpec::presence_penalty, -2, 2},
    {"frequency_penalty", kBoth, &RequestSpec::frequency_penalty, -2, 2},
    {"seed", kBoth, &RequestSpec::seed, -kSeedMax, kSeedMax},
    {"logit_bias", kBoth, read_logit_bias},
    {"logprobs", kCompletions, &RequestSpec::logprobs, 0, 20},
    {"logprobs", kChat, read_chat_logprobs},
    {"top_logprobs", kChat, &RequestSpec::logprobs, 0, 20},
    {"priority", kBoth, read_priority},
    {"stop", kBoth, read_stop},
    {"stop_token_ids", kBoth, read_stop_token_ids},
    {"ignore_eos", kBoth, &RequestSpec::ignore_eos},
    {"include_stop_str_in_output", kBoth, &RequestSpec::include_stop_str_in_output},
    {"skip_special_tokens", kBoth, &RequestSpec::skip_special_tokens},
    {"add_special_tokens", kBoth, &RequestSpec::add_special_tokens},
    {"echo", kCompletions, &RequestSpec::echo},
    {"stream", kBoth, &RequestSpec::stream},
    {"stream_options", kBoth, read_stream_options},

    {"user", kBoth, anything},  // a label for OpenAI's own records
    {"best_of", kBoth, is_one},
    {"suffix", kCompletions, is_empty},
    {"echo", kChat, is_false},
    {"prompt_logprobs", kBoth, never},
    {"prompt_embeds", kBoth, never},
    {"truncate_prompt_tokens", kBoth, never},
    {"use_beam_search", kBoth, is_false},
    {"bad_words", kBoth, is_empty},
    {"allowed_token_ids", kBoth, never},
    {"logits_processors", kBoth, is_empty},
    {"response_format", kBoth, is_text_format},
    {"structured_outputs", kBoth, never},
    {"guided_json", kBoth, never},
    {"guided_regex", kBoth, never},
    {"guided_choice", kBoth, never},
    {"guided_grammar", kBoth, never},
    {"tools", kChat, is_empty},
    {"tool_choice", kChat, is_no_tool_choice},
    {"functions", kChat, is_empty},
    {"function_call", kChat, is_no_tool_choice},
    {"audio", kChat, never},
    {"modalities", kChat, is_text_modality},
    {"chat_template", kChat, never},
    {"chat_template_kwargs", kChat, is_empty},
    {"documents", kChat, is_empty},
    {"continue_final_message", kChat, is_false},
    {"add_generation_prompt", kChat, is_true},
    {"cache_salt", kBoth, never},
    {"lora_path", kBoth, never},
    {"adapter_id", kBoth, never},
};

std::optional<double> number_of(const Json& value, bool wants_integer) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  if (!std::isfinite(number) || (wants_integer && number != std::floor(number))) return std::nullopt;
  return number;
}

// Assigns one field; a visitor over what it may be.
struct Assign {
  RequestSpec& spec;
  const Field& field;
  const Json& value;
  std::int32_t vocabulary_size;

  Status operator()(std::string RequestSpec::*target) const {
    if (!value.is_string()) return wrong_type("a string");
    spec.*target = value.get<std::string>();
    return {};
  }
  template <class T>
  requires(std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>) Status operator()(T RequestSpec::*target) const {
    if (!value.is_boolean()) return wrong_type("true or false");
    spec.*target = value.get<bool>();
    return {};
  }
  Status operator()(std::int32_t RequestSpec::*target) const { return assign_number(target, std::int32_t{}); }
  Status operator()(std::optional<std::int32_t> RequestSpec::*target) const { return assign_number(target, std::int32_t{}); }
  Status operator()(std::optional<std::int64_t> RequestSpec::*target) const { return assign_number(target, std::int64_t{}); }
  Status operator()(float RequestSpec::*target) const { return assign_number(target, float{}); }
  Status operator()(std::optional<float> RequestSpec::*target) const { return assign_number(target, float{}); }
  Status operator()(Reader read) const { return read(spec, value, vocabulary_size); }
  Status operator()(AsksForNothing asks_for_nothing) const {
    if (asks_for_nothing(value)) return {};
    return field_error(std::string(field.name), "{}: this field is not served yet, and would change the answer; leave it out.", field.name);
  }

  template <class T, class Number>
  Status assign_number(T RequestSpec::*target, Number) const {
    constexpr bool wants_integer = std::is_integral_v<Number>;
    const std::optional<double> number = number_of(value, wants_integer);
    if (!number || *number < field.min || *number > field.max) {
      return field_error(std::string(field.name), "{}: expected {} from {} to {}, found {}", field.name,
                         wants_integer ? "an integer" : "a number", field.min, field.max, shown(value));
    }
    spec.*target = wants_integer && value.is_number_integer() ? value.get<Number>() : static_cast<Number>(*number);
    return {};
  }

  Status wrong_type(std::string_view expected) const {
    return field_error(std::string(field.name), "{}: expected {}, found {}", field.name, expected, shown(value));
  }
};

unsigned bit_of(Endpoint endpoint) { return endpoint == Endpoint::chat ? kChat : kCompletions; }

const Field* find_field(std::string_view name, Endpoint endpoint) {
  for (const Field& field : kFields) {
    if (field.name == name && (field.endpoints & bit_of(endpoint)) != 0) return &field;
  }
  return nullptr;
}

// What no field can see alone.
Status check_together(const RequestSpec& spec, const Json& body) {
  if (spec.endpoint == Endpoint::completions && spec.prompts.empty()) return field_error("prompt", "prompt: this field is needed");
  if (spec.endpoint == Endpoint::chat && spec.messages.empty()) return field_error("messages", "messages: this field is needed");
  if (spec.prompts.size() * static_cast<std::size_t>(spec.n) > kSequencesMax) {
    return field_error("n", "n: expected at most {} answers in all, found {} prompts with {} each", kSequencesMax, spec.prompts.size(),
                       spec.n);
  }
  if (spec.max_tokens && spec.min_tokens > *spec.max_tokens) {
    return field_error("min_tokens", "min_tokens: expected at most max_tokens ({}), found {}", *spec.max_tokens, spec.min_tokens);
  }
  if (!spec.stream && find_member(body, "stream_options") != nullptr) {
    return field_error("stream_options", "stream_options: allowed only together with \"stream\": true");
  }
  if (spec.echo && spec.logprobs) {
    return field_error("echo", "echo: not served yet together with logprobs; leave one of them out");
  }
  const Json* chat_logprobs = spec.endpoint == Endpoint::chat ? find_member(body, "logprobs") : nullptr;
  const bool asked = chat_logprobs != nullptr && *chat_logprobs == true;
  if (spec.endpoint == Endpoint::chat && spec.logprobs.value_or(0) > 0 && !asked) {
    return field_error("top_logprobs", "top_logprobs: allowed only together with \"logprobs\": true");
  }
  return {};
}

}  // namespace

Result<RequestSpec> parse_request(Endpoint endpoint, std::string_view body, std::int32_t vocabulary_size) {
  const Result<Json> json = parse_json(body);
  if (!json) return error("invalid_request_error", "The body is not the JSON that this path expects: {}", json.error().message);
  if (!json->is_object()) return error("invalid_request_error", "The body: expected a JSON object, found {}", type_name(*json));

  RequestSpec spec;
  spec.endpoint = endpoint;
  for (const auto& [name, value] : json->items()) {
    const Field* field = find_field(name, endpoint);
    if (field == nullptr) {
      ++spec.unknown_field_count;
    } else if (!value.is_null()) {
      const Status assigned = std::visit(Assign{spec, *field, value, vocabulary_size}, field->target);
      if (!assigned) return tl::unexpected<Error>(assigned.error());
    }
  }
  // The newer name of max_tokens wins, whichever came last.
  const Json* newer = endpoint == Endpoint::chat ? find_member(*json, "max_completion_tokens") : nullptr;
  if (newer != nullptr) spec.max_tokens = newer->get<std::int32_t>();
  const Status together = check_together(spec, *json);
  if (!together) return tl::unexpected<Error>(together.error());
  const Json* logprobs = find_member(*json, "logprobs");
  if (endpoint == Endpoint::chat && (logprobs == nullptr || *logprobs == false)) spec.logprobs.reset();
  return spec;
}

std::vector<NumberField> number_fields() {
  std::vector<NumberField> fields;
  for (const Field& field : kFields) {
    if (field.min == field.max) continue;
    const bool is_float = std::holds_alternative<float RequestSpec::*>(field.target) ||
                          std::holds_alternative<std::optional<float> RequestSpec::*>(field.target);
    fields.push_back({field.name, (field.endpoints & kCompletions) != 0, (field.endpoints & kChat) != 0, !is_float, field.min, field.max});
  }
  return fields;
}

}  // namespace slora
