#include "api/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "api/api_error.h"
#include "api/constraint_fields.h"
#include "api/conversation_fields.h"
#include "api/embedding_fields.h"
#include "api/model_fields.h"
#include "api/request_table.h"
#include "api/response_fields.h"
#include "formats/json.h"

namespace slora {
namespace {

// A whole number, also when it is written as a fraction (5.0).
std::optional<std::int64_t> integer_of(const Json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  if (value.is_number_integer()) return value.get<std::int64_t>();
  constexpr double exact_max = 9007199254740992;  // 2^53
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(std::abs(number) <= exact_max) || number != std::floor(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

template <class T>
struct Held {
  using Value = T;
};
template <class T>
struct Held<std::optional<T>> {
  using Value = T;
};

// Assigns the value to a field's target, if it has one.
template <class Target, class Value>
void set(RequestSpec& spec, const Target& target, const Value& value) {
  const auto assign = [&](auto member_of) {
    if constexpr (!std::is_same_v<decltype(member_of), std::monostate>) {
      auto& member = member_of(spec);
      member = static_cast<typename Held<std::remove_reference_t<decltype(member)>>::Value>(value);
    }
  };
  std::visit(assign, target);
}

// Reads all fields of an object; `place` is where it stands, followed by a dot; empty for the body.
Status read_fields(RequestSpec& spec, const std::string& place, const Json& object, FieldSet set, std::int32_t vocabulary_size);

// Reads one field; a visitor over its kinds.
struct ReadField {
  RequestSpec& spec;
  const std::string name;
  const Json& value;
  std::int32_t vocabulary_size;

  Status operator()(const IntegerField& field) const {
    const std::optional<std::int64_t> number = integer_of(value);
    if (!number || *number < field.min || *number > field.max) {
      return expected_at(name, fmt::format("an integer from {} to {}", field.min, field.max), value);
    }
    set(spec, field.target, *number);
    return {};
  }

  Status operator()(const NumberField& field) const {
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= field.min && number <= field.max)) {
      return expected_at(name, fmt::format("a number from {} to {}", field.min, field.max), value);
    }
    set(spec, field.target, number);
    return {};
  }

  Status operator()(const FlagField& field) const {
    if (!value.is_boolean()) return expected_at(name, "true or false", value);
    set(spec, field.target, value.get<bool>());
    return {};
  }

  Status operator()(const TextField& field) const {
    if (!value.is_string()) return expected_at(name, "a string", value);
    const std::string& text = value.get_ref<const std::string&>();
    if (text.size() > field.bytes_max) {
      return field_error(name, "{}: expected a string of at most {} bytes, found {} bytes", name, field.bytes_max, text.size());
    }
    set(spec, field.target, text);
    return {};
  }

  Status operator()(const FixedField& field) const {
    const Json accepted = Json::parse(field.accepted);
    if (std::ranges::find(accepted, value) != accepted.end()) return {};
    if (accepted.empty()) return field_error(name, "{}: this field is not served, and would change the answer; leave it out", name);
    std::vector<std::string> served;
    for (const Json& one : accepted) served.push_back(one.dump());
    return field_error(name, "{}: expected {}, since nothing else is served, found {}", name, fmt::join(served, " or "), shown(value));
  }

  Status operator()(const ModelField& field) const { return field.read(spec, name, value); }
  Status operator()(const FormField& field) const { return field.read(spec, name, value, vocabulary_size); }

  Status operator()(const ObjectField& field) const {
    if (!value.is_object()) return expected_at(name, "an object", value);
    return read_fields(spec, name + ".", value, field.members, vocabulary_size);
  }
};

const Field* find_field(std::string_view name, FieldSet set) {
  for (const Field& field : request_fields()) {
    if (field.name == name && (field.sets & set) != 0) return &field;
  }
  return nullptr;
}

Status read_fields(RequestSpec& spec, const std::string& place, const Json& object, FieldSet set, std::int32_t vocabulary_size) {
  for (const auto& [name, value] : object.items()) {
    const Field* field = find_field(name, set);
    if (field == nullptr) {
      if (Status harmless = check_unknown_field(place + name, name, value); !harmless) return harmless;
      ++spec.unknown_field_count;
    } else if (!value.is_null()) {
      if (Status read = std::visit(ReadField{spec, place + name, value, vocabulary_size}, field->kind); !read) return read;
    }
  }
  return {};
}

Status check_output(const RequestSpec& spec) {
  const EndpointWords words = words_of(spec.endpoint);
  if (spec.output.scores_only() && !spec.output.echo) {
    return field_error("max_tokens", "max_tokens: expected at least 1, or 0 together with \"echo\": true, found 0");
  }
  if (spec.prompt.truncate_tokens == 0) {
    return field_error("truncate_prompt_tokens", "truncate_prompt_tokens: expected how many tokens are kept, or -1, found 0");
  }
  if (spec.output.token_limit() && spec.sampling.min_tokens > *spec.output.token_limit()) {
    return field_error(std::string(words.min_tokens), "{}: expected at most {} ({}), found {}", words.min_tokens, words.output_tokens,
                       *spec.output.token_limit(), spec.sampling.min_tokens);
  }
  if (spec.endpoint == Endpoint::chat && spec.output.top_logprobs.value_or(0) > 0 && !spec.output.wants_logprobs) {
    return field_error("top_logprobs", "top_logprobs: allowed only together with \"logprobs\": true");
  }
  if (spec.output.stream && spec.sglang.logprob_start_len >= 0) {
    return field_error("logprob_start_len", "logprob_start_len: expected -1 together with \"stream\": true, found {}",
                       spec.sglang.logprob_start_len);
  }
  if (spec.output.stream && spec.tgi.prompt_details) {
    return field_error("parameters.decoder_input_details", "parameters.decoder_input_details: not available in streams; leave it out");
  }
  if (spec.output.stream && spec.output.prompt_logprobs.value_or(0) > 0) {
    return field_error("prompt_logprobs", "prompt_logprobs: not available in streams; leave out \"stream\"");
  }
  return {};
}

// Rules that involve several fields.
Status check_together(const RequestSpec& spec, const Json& body) {
  if (spec.prompt.given.empty() && spec.chat.messages.empty()) {
    const std::string_view needed = words_of(spec.endpoint).prompt;
    return field_error(std::string(needed), "{}: this field is needed{}", needed,
                       spec.endpoint == Endpoint::sglang ? " where there is no input_ids" : "");
  }
  if (is_embedding(spec.endpoint)) return check_embedding(spec);
  if (spec.prompt.given.size() * static_cast<std::size_t>(spec.output.n) > kSequencesMax) {
    const char* field = spec.endpoint == Endpoint::sglang ? "sampling_params.n" : "n";
    return field_error(field, "{}: expected at most {} answers in all, found {} prompts with {} each", field, kSequencesMax,
                       spec.prompt.given.size(), spec.output.n);
  }
  const bool has_options = find_field("stream_options", field_set_of(spec.endpoint)) != nullptr;
  const Json* stream_options = has_options ? find_member(body, "stream_options") : nullptr;
  if (!spec.output.stream && stream_options != nullptr && !stream_options->empty()) {
    return field_error("stream_options", "stream_options: allowed only together with \"stream\": true");
  }
  if (spec.chat.continue_final_message && spec.chat.add_generation_prompt.value_or(false)) {
    return field_error("add_generation_prompt", "add_generation_prompt: expected false where continue_final_message is true, found true");
  }
  if (Status fits = check_tool_choice(spec, find_member(body, "tool_choice") != nullptr); !fits) return fits;
  if (Status constraint = check_constraint_fields(spec); !constraint) return constraint;
  return check_output(spec);
}

// What the engine reads from other parts of the request, whatever the model.
void complete_sampling(SamplingParams& sampling, const RequestSpec& spec) {
  const OutputSpec& output = spec.output;
  sampling.logprob_count = output.logprobs.value_or(-1);
  const std::int32_t echoed = output.echo && spec.endpoint == Endpoint::completions ? output.logprobs.value_or(-1) : -1;
  const std::int32_t shown_apart = output.stream ? -1 : output.prompt_logprobs.value_or(-1);
  sampling.prompt_logprob_count = std::max(echoed, shown_apart);
}

// As TGI decides: a temperature of 1 alone does not make it draw.
bool draws_as_tgi(const RequestSpec& spec) {
  const GivenSampling& given = spec.given;
  return spec.tgi.do_sample || given.temperature.value_or(1) != 1 || given.top_p.value_or(1) != 1 || given.top_k.value_or(0) > 0;
}

void complete_as_tgi(RequestSpec& spec) {
  spec.output.logprobs = std::max(spec.tgi.top_tokens.value_or(0), spec.tgi.alternatives.value_or(0));
  if (spec.tgi.prompt_details) spec.output.prompt_logprobs = 0;
  spec.tgi.details = spec.tgi.details || spec.tgi.prompt_details;
  spec.output.include_stop_text = !spec.output.stop.empty();
  if (!draws_as_tgi(spec)) spec.given.temperature = 0;
}

// Translates fields that only this endpoint has into those that all have.
void complete(RequestSpec& spec) {
  if (spec.endpoint == Endpoint::responses) complete_response(spec);
  if (is_embedding(spec.endpoint)) complete_embedding(spec);
  if (spec.output.wants_logprobs) spec.output.logprobs = spec.output.top_logprobs.value_or(0);
  if (spec.endpoint == Endpoint::sglang && spec.output.logprobs && spec.sglang.logprob_start_len >= 0)
    spec.output.prompt_logprobs = spec.output.logprobs;
  if (spec.endpoint == Endpoint::slora) {
    spec.output.logprobs = 0;
    if (!spec.slora.do_sample) spec.given.temperature = 0;
  }
  if (spec.endpoint == Endpoint::tgi) complete_as_tgi(spec);
  complete_sampling(spec.sampling, spec);
}

// Three servers have a /generate, and two of them a /generate_stream with "inputs".
Endpoint form_of(Endpoint path, const Json& body) {
  if (path == Endpoint::completions || is_conversation(path) || is_embedding(path)) return path;
  if (path == Endpoint::sglang && !body.contains("inputs")) return path;
  const bool is_slora = path != Endpoint::tgi && (body.contains("lora_dir") || body.contains("model_dir"));
  return is_slora ? Endpoint::slora : Endpoint::tgi;
}

}  // namespace

Result<RequestSpec> parse_request(Endpoint endpoint, std::string_view body, std::int32_t vocabulary_size) {
  const Result<Json> json = parse_json(body);
  if (!json) return error("invalid_request_error", "The body is not the JSON that this path expects: {}", json.error().message);
  return read_request(endpoint, *json, vocabulary_size);
}

Result<RequestSpec> read_request(Endpoint endpoint, const Json& body, std::int32_t vocabulary_size) {
  if (!body.is_object()) return error("invalid_request_error", "The body: expected a JSON object, found {}", type_name(body));

  RequestSpec spec;
  spec.endpoint = form_of(endpoint, body);
  if (Status read = read_fields(spec, "", body, field_set_of(spec.endpoint), vocabulary_size); !read) return forward_error(read);
  if (endpoint == Endpoint::slora) spec.output.stream = true;
  spec.tgi.in_list = endpoint == Endpoint::tgi;
  const Status together = check_together(spec, body);
  if (!together) return tl::unexpected<Error>(together.error());
  complete(spec);
  return spec;
}

}  // namespace slora
