#include "server/request_preparer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_version.h"
#include "formats/json.h"
#include "server/error_response.h"
#include "server/request_parser.h"

namespace slora {
namespace {

constexpr std::int32_t kCompletionTokensDefault = 16;  // as OpenAI's completions

template <class T, class U>
T either(const std::optional<T>& asked, const std::optional<U>& model_default, T otherwise) {
  if (asked) return *asked;
  return model_default ? static_cast<T>(*model_default) : otherwise;
}

Json json_of(const std::vector<ChatMessage>& messages) {
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    Json entry = {{"role", message.role}, {"content", message.content}};
    if (!message.name.empty()) entry["name"] = message.name;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

RequestPreparer::RequestPreparer(std::vector<std::string> base_names, std::int32_t vocabulary_size, GenerationConfig defaults,
                                 const TextModel& text, Generator& generator)
    : base_names_(std::move(base_names)),
      vocabulary_size_(vocabulary_size),
      defaults_(std::move(defaults)),
      text_(text),
      generator_(generator) {}

Result<PreparedRequest> RequestPreparer::prepare(Endpoint endpoint, std::string_view body) const {
  Result<RequestSpec> spec = parse_request(endpoint, body, vocabulary_size_);
  if (!spec) return forward_error(spec);

  PreparedRequest request;
  request.spec = std::move(*spec);
  request.model_name = request.spec.model.empty() ? base_names_.front() : request.spec.model;
  Result<std::shared_ptr<const AdapterVersion>> adapter = find_adapter(request.model_name);
  if (!adapter) return forward_error(adapter);
  request.adapter = std::move(*adapter);
  request.sampling = sampling_of(request.spec);
  if (Status added = add_prompts(request); !added) return forward_error(added);
  if (Status set = set_output_tokens(request); !set) return forward_error(set);
  return request;
}

Result<std::shared_ptr<const AdapterVersion>> RequestPreparer::find_adapter(const std::string& model) const {
  if (std::ranges::find(base_names_, model) != base_names_.end()) return std::shared_ptr<const AdapterVersion>();
  Result<std::shared_ptr<const AdapterVersion>> adapter = generator_.resolve(model);
  if (adapter) {
    if (generator_.output_tokens_that_fit(0, adapter->get()) > 0) return adapter;
    Error refused{"E_TOO_LARGE",
                  fmt::format("adapter {}: its {} pages leave no room for a sequence in the pool; the server needs more --pool-memory", quote(model),
                              (*adapter)->page_count()),
                  "model"};
    return tl::unexpected(std::move(refused));
  }
  Error& refusal = adapter.error();
  if (refusal.code == "not_found") {
    refusal = {"model_not_found",
               fmt::format("The model {} does not exist. GET /v1/models lists the base model and its adapters.", quote(model)),
               {}};
  }
  refusal.param = "model";
  return adapter;
}

Status RequestPreparer::add_prompts(PreparedRequest& request) const {
  const RequestSpec& spec = request.spec;
  const Tokenizer& tokenizer = text_.tokenizer();
  if (spec.endpoint == Endpoint::chat) {
    const Json messages = json_of(spec.messages);
    const Result<std::string> text = text_.render({.messages = messages});
    if (!text) return tl::unexpected<Error>(text.error());
    // Templates write the special tokens themselves.
    const SpecialTokens special = spec.add_special_tokens.value_or(false) ? SpecialTokens::add : SpecialTokens::omit;
    request.prompts.push_back({tokenizer.encode(*text, special), {}, 0});
    return {};
  }
  for (const Prompt& prompt : spec.prompts) {
    PreparedRequest::Prompt& prepared = request.prompts.emplace_back();
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      const SpecialTokens special = spec.add_special_tokens.value_or(true) ? SpecialTokens::add : SpecialTokens::omit;
      prepared.tokens = tokenizer.encode(*text, special);
      if (spec.echo) prepared.echo = *text;
    } else {
      prepared.tokens = std::get<std::vector<TokenId>>(prompt);
      if (spec.echo) prepared.echo = tokenizer.decode(prepared.tokens, spec.skip_special_tokens ? SpecialText::skip : SpecialText::keep);
    }
  }
  return {};
}

Status RequestPreparer::set_output_tokens(PreparedRequest& request) const {
  const RequestSpec& spec = request.spec;
  const char* prompt_field = spec.endpoint == Endpoint::chat ? "messages" : "prompt";
  for (PreparedRequest::Prompt& prompt : request.prompts) {
    if (prompt.tokens.empty()) return field_error(prompt_field, "{}: expected at least one token, found none", prompt_field);
    if (const TokenId largest = std::ranges::max(prompt.tokens); largest >= vocabulary_size_) {
      return field_error(prompt_field, "{}: its text has a token ({}) that the tokenizer knows and the model, with {} tokens, does not",
                         prompt_field, largest, vocabulary_size_);
    }
    const auto prompt_tokens = static_cast<std::int32_t>(prompt.tokens.size());
    const std::int32_t fitting = generator_.output_tokens_that_fit(prompt_tokens, request.adapter.get());
    const bool is_prompt_too_long = fitting < 1;
    if (is_prompt_too_long || spec.max_tokens.value_or(1) > fitting) {
      return tl::unexpected<Error>(
          Error{"context_length_exceeded",
                fmt::format("This model's context holds {} tokens here; the prompt has {} and {} were asked for as output.",
                            std::int64_t{fitting} + prompt_tokens, prompt_tokens, spec.max_tokens.value_or(1)),
                is_prompt_too_long ? prompt_field : "max_tokens"});
    }
    const std::int32_t by_default = spec.endpoint == Endpoint::chat ? fitting : std::min(fitting, kCompletionTokensDefault);
    prompt.output_tokens_max = spec.max_tokens.value_or(by_default);
    if (spec.min_tokens > prompt.output_tokens_max) {
      return field_error("min_tokens", "min_tokens: expected at most the {} tokens of output that this request may have, found {}",
                         prompt.output_tokens_max, spec.min_tokens);
    }
  }
  return {};
}

SamplingParams RequestPreparer::sampling_of(const RequestSpec& spec) const {
  SamplingParams sampling;
  sampling.temperature = either(spec.temperature, defaults_.temperature, 1.0F);
  sampling.top_p = either(spec.top_p, defaults_.top_p, 1.0F);
  sampling.top_k = std::max(either(spec.top_k, defaults_.top_k, 0), 0);
  sampling.min_p = either(spec.min_p, defaults_.min_p, 0.0F);
  sampling.repetition_penalty = either(spec.repetition_penalty, defaults_.repetition_penalty, 1.0F);
  sampling.presence_penalty = spec.presence_penalty;
  sampling.frequency_penalty = spec.frequency_penalty;
  sampling.logit_bias = spec.logit_bias;
  sampling.logprob_count = spec.logprobs.value_or(-1);
  sampling.min_tokens = spec.min_tokens;
  if (!spec.ignore_eos) sampling.end_tokens = defaults_.eos_token_ids;
  for (const TokenId token : spec.stop_token_ids) {
    if (std::ranges::find(sampling.end_tokens, token) == sampling.end_tokens.end()) sampling.end_tokens.push_back(token);
  }
  return sampling;
}

}  // namespace slora
