#include "api/request_preparer.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_look.h"
#include "adapters/adapter_version.h"
#include "api/api_error.h"
#include "api/model_fields.h"
#include "api/request_parser.h"
#include "api/request_table.h"
#include "api/sampling_defaults.h"
#include "formats/json.h"
#include "text/chat_messages.h"
#include "text/utf8.h"

namespace slora {
namespace {

// Shortens a prompt to `count` tokens.
void truncate(std::vector<TokenId>& tokens, std::size_t count, KeptEnd kept) {
  if (tokens.size() <= count) return;
  if (kept == KeptEnd::last) {
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(count));
  } else {
    tokens.resize(count);
  }
}

// Log-probabilities are held until the answer is complete and written at once: 256 Ki of them are about 16 MB of JSON.
constexpr std::size_t kScoresMax = std::size_t{1} << 18;

// How many tokens of output each choice may have so that all their log-probabilities fit into one answer; a stream sends those of each
// token at once.
std::int64_t scored_tokens_that_fit(const PreparedRequest& request) {
  const RequestSpec& spec = request.spec;
  if (spec.output.stream || !spec.output.logprobs) return std::numeric_limits<std::int64_t>::max();
  const std::size_t choices = request.prompts.size() * static_cast<std::size_t>(spec.output.n);
  return static_cast<std::int64_t>(kScoresMax / (choices * static_cast<std::size_t>(std::max(*spec.output.logprobs, 0) + 1)));
}

// In a stream all log-probabilities of a prompt are one event, which must be smaller.
Status check_scores(const PreparedRequest& request) {
  const std::size_t scores_max = request.spec.output.stream ? std::size_t{1} << 15 : kScoresMax;
  std::size_t tokens = 0;
  for (const PreparedRequest::Prompt& prompt : request.prompts) tokens += prompt.tokens.size();
  const auto per_token = static_cast<std::size_t>(request.spec.sampling.prompt_logprob_count + 1);
  const std::size_t count = tokens * per_token * static_cast<std::size_t>(request.spec.output.n);
  if (count <= scores_max) return {};
  const char* field = request.spec.endpoint == Endpoint::sglang ? "top_logprobs_num"
                      : request.spec.endpoint == Endpoint::tgi  ? "parameters.decoder_input_details"
                      : request.spec.output.prompt_logprobs     ? "prompt_logprobs"
                                                                : "logprobs";
  return field_error(field, "{}: expected at most {} log-probabilities of prompts in one {}, found {}", field, scores_max,
                     request.spec.output.stream ? "stream" : "answer", count);
}

// SGLang's streams repeat the whole choice with every token, so that their size grows with the square of its length.
Status check_stream(const PreparedRequest& request) {
  const RequestSpec& spec = request.spec;
  if (spec.endpoint != Endpoint::sglang || !spec.output.stream) return {};
  constexpr std::size_t bytes_max = std::size_t{256} << 20;
  constexpr std::size_t bytes_of_token = 12, bytes_of_logprob = 40;  // about
  const std::size_t per_token =
      bytes_of_token + bytes_of_logprob * static_cast<std::size_t>(spec.output.logprobs ? *spec.output.logprobs + 1 : 0);
  std::size_t bytes = 0;
  for (const PreparedRequest::Prompt& prompt : request.prompts) {
    const auto tokens = static_cast<std::size_t>(prompt.output_tokens_max);
    bytes += tokens * tokens / 2 * per_token * static_cast<std::size_t>(spec.output.n);
  }
  if (bytes <= bytes_max) return {};
  return field_error("stream",
                     "stream: its events, which repeat all that came before, would have about {} bytes; expected at most {}: "
                     "reduce max_new_tokens or n, or use /v1/completions",
                     bytes, bytes_max);
}

// OpenAI's clients search the message for "maximum context length is N tokens".
tl::unexpected<Error> too_long(std::string_view field, std::string_view what) {
  return tl::unexpected<Error>(Error{"context_length_exceeded", fmt::format("{}: {}", field, what), std::string(field)});
}

// As in vLLM, reasoning_effort reaches the template as variables.
Json template_variables(const RequestSpec& spec) {
  Json variables = spec.chat.template_variables.is_null() ? Json::object() : spec.chat.template_variables;
  if (spec.chat.reasoning_effort.empty()) return variables;
  variables["reasoning_effort"] = spec.chat.reasoning_effort;
  if (!variables.contains("enable_thinking")) variables["enable_thinking"] = spec.chat.reasoning_effort != "none";
  return variables;
}

// Whether all texts of a tree are UTF-8, as the tokenizer expects them; parsed JSON is.
bool is_text_utf8(const Json& value) {
  if (value.is_string()) return is_valid_utf8(value.get_ref<const std::string&>());
  return !value.is_structured() || std::ranges::all_of(value, is_text_utf8);
}

// Where these tokens stand last in the prompt.
std::optional<std::int32_t> last_place_of(std::span<const TokenId> tokens, const SharedTokens& prompt) {
  const auto found = std::find_end(prompt.begin(), prompt.end(), tokens.begin(), tokens.end());
  if (found == prompt.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - prompt.begin());
}

tl::unexpected<Error> too_large(std::string_view name, const AdapterVersion& adapter) {
  return error("E_TOO_LARGE", "adapter {}: with its {} pages in the pool no sequence fits; increase --pool-memory", quote(name),
               adapter.page_count());
}

}  // namespace

RequestPreparer::RequestPreparer(std::vector<std::string> base_names, std::int32_t vocabulary_size, AdapterTexts& texts,
                                 Generator& generator)
    : base_names_(std::move(base_names)), vocabulary_size_(vocabulary_size), texts_(texts), generator_(generator) {}

Result<PreparedRequest> RequestPreparer::prepare(Endpoint endpoint, std::string_view body, const ModelAccess& access) const {
  return prepare_spec(read(endpoint, body), access);
}

Result<RequestSpec> RequestPreparer::read(Endpoint endpoint, std::string_view body) const {
  return parse_request(endpoint, body, vocabulary_size_);
}

Result<PreparedRequest> RequestPreparer::prepare_json(Endpoint endpoint, const Json& body) const {
  if (!is_text_utf8(body)) return error("invalid_request_error", "The body: expected texts in UTF-8");
  return prepare_spec(read_request(endpoint, body, vocabulary_size_), {});
}

UnknownAdapters RequestPreparer::unknown_adapters(const RequestSpec& spec, const ModelAccess& access) const {
  UnknownAdapters unknown;
  for (const WeightedAdapter& component : spec.blend) add_unknown(unknown, component.name, NameForm::name_or_folder, access);
  if (spec.blend.empty() && spec.adapter.empty()) add_unknown(unknown, spec.model, NameForm::name, access);
  if (!spec.adapter.empty()) add_unknown(unknown, spec.adapter, NameForm::name_or_folder, access);
  return unknown;
}

void RequestPreparer::add_unknown(UnknownAdapters& unknown, const std::string& name, NameForm form, const ModelAccess& access) const {
  const std::optional<std::string> in_folder = form == NameForm::name_or_folder ? adapter_in_folder(name, access) : std::nullopt;
  const std::string_view of_folder = in_folder ? std::string_view(*in_folder) : std::string_view();
  for (const std::string_view adapter : {std::string_view(name), after_base(name), of_folder}) {
    if (!access.allows(adapter) || is_base(std::string(adapter)) || !is_unknown(adapter)) continue;
    unknown.names.emplace_back(adapter);
    unknown.holds.push_back(texts_.hold(unknown.names.back()));
    return;
  }
}

// Its folder or its text files.
bool RequestPreparer::is_unknown(std::string_view adapter) const {
  if (!generator_.is_known(adapter)) return true;
  const Result<std::shared_ptr<const AdapterVersion>> version = generator_.resolve(adapter);
  return version && !texts_.find(**version);
}

UnknownAdapters RequestPreparer::unknown_adapters_of(const Json& body, const ModelAccess& access) const {
  const Result<RequestSpec> spec = read_model_choice(body);
  return spec ? unknown_adapters(*spec, access) : UnknownAdapters();
}

void RequestPreparer::await_adapters(const std::vector<std::string>& adapters, std::function<void()> then) const {
  if (adapters.empty()) return then();
  const auto left = std::make_shared<std::atomic<std::size_t>>(adapters.size());  // shared with the threads that look
  const auto shared_then = std::make_shared<const std::function<void()>>(std::move(then));
  for (const std::string& adapter : adapters) {
    generator_.await_adapter(adapter, [left, shared_then] {
      if (left->fetch_sub(1) == 1) (*shared_then)();
    });
  }
}

Result<PreparedRequest> RequestPreparer::prepare_spec(Result<RequestSpec> spec, const ModelAccess& access) const {
  if (!spec) return forward_error(spec);
  const UnknownAdapters unknown = unknown_adapters(*spec, access);
  const auto known = std::make_shared<std::promise<void>>();  // shared with the thread that looks at the folder
  await_adapters(unknown.names, [known] { known->set_value(); });
  known->get_future().wait();
  return finish(std::move(*spec), access);
}

Result<PreparedRequest> RequestPreparer::finish(RequestSpec spec, const ModelAccess& access) const {
  Result<PreparedRequest> request = build(std::move(spec), LongText::refused, access);
  if (!request) return request;
  if (Status set = set_output_tokens(*request); !set) return forward_error(set);
  if (Status fitting = check_scores(*request); !fitting) return forward_error(fitting);
  if (Status fitting = check_stream(*request); !fitting) return forward_error(fitting);
  return request;
}

Result<PreparedRequest> RequestPreparer::read_prompts(Endpoint endpoint, const Json& body, const ModelAccess& access) const {
  Result<RequestSpec> spec = read_request(endpoint, body, vocabulary_size_);
  if (!spec) return forward_error(spec);
  return build(std::move(*spec), LongText::taken, access);
}

Result<PreparedRequest> RequestPreparer::build(RequestSpec spec, LongText long_text, const ModelAccess& access) const {
  PreparedRequest request;
  request.spec = std::move(spec);
  if (request.spec.priority != 0 && !generator_.follows_priority()) {
    return field_error("priority", "priority: expected 0, because this server does not run with --policy priority, found {}",
                       request.spec.priority);
  }
  Result<NamedModel> model = find_model(request.spec, access);
  if (!model) return forward_error(model);
  Result<std::shared_ptr<const TextModel>> text = find_text(*model);
  if (!text) return forward_error(text);
  request.model_name = std::move(model->name);
  request.adapter = std::move(model->adapter);
  request.text = std::move(*text);
  apply_sampling_defaults(request.spec, request.text->sampling());
  if (Status added = add_prompts(request, long_text); !added) return forward_error(added);
  if (request.adapter != nullptr && !request.adapter->invocation_tokens().empty()) {
    for (PreparedRequest::Prompt& prompt : request.prompts)
      prompt.adapter_begin = last_place_of(request.adapter->invocation_tokens(), prompt.tokens);
  }
  return request;
}

Result<std::shared_ptr<const TextModel>> RequestPreparer::text_of(const Json& body, const ModelAccess& access) const {
  const Result<RequestSpec> spec = read_model_choice(body);
  if (!spec) return tl::unexpected(spec.error());
  if (spec->model.empty() && spec->adapter.empty() && spec->blend.empty()) return texts_.base();
  const Result<NamedModel> model = find_model(*spec, access);
  return model ? find_text(*model) : tl::unexpected(model.error());
}

Result<std::shared_ptr<const TextModel>> RequestPreparer::find_text(const NamedModel& model) const {
  if (model.adapter == nullptr) return texts_.base();
  Result<std::shared_ptr<const TextModel>> text =
      model.adapter->components().empty() ? text_of_adapter(*model.adapter) : common_text(*model.adapter);
  if (!text) text.error().param = model.field;
  return text;
}

Result<std::shared_ptr<const TextModel>> RequestPreparer::text_of_adapter(const AdapterVersion& adapter) const {
  std::optional<Result<std::shared_ptr<const TextModel>>> text = texts_.find(adapter);
  if (!text) text = tl::unexpected(adapter_unavailable(adapter.name(), {"E_READ", "its text files have not been read", {}}));
  return std::move(*text);
}

Result<std::shared_ptr<const TextModel>> RequestPreparer::common_text(const AdapterVersion& blend) const {
  std::shared_ptr<const TextModel> common;
  for (const BlendComponent& component : blend.components()) {
    Result<std::shared_ptr<const TextModel>> text = text_of_adapter(*component.version);
    if (!text) return text;
    if (common != nullptr && common != *text) {
      return error("E_BLEND", "the adapters of a blend must read and write texts alike, and \"{}\" has a tokenizer or template of its own",
                   component.version->name());
    }
    common = *text;
  }
  return common;
}

Result<NamedModel> RequestPreparer::find_blend(const RequestSpec& spec, const ModelAccess& access) const {
  const std::string& field = spec.blend_field;
  if (!spec.adapter.empty()) return field_error(spec.adapter_field, "{}: {} names adapters, too", spec.adapter_field, field);
  if (!spec.model.empty() && !is_base(spec.model)) {
    return field_error(spec.model_field, "{}: expected the base model or nothing in a request with {}, found {}", spec.model_field, field,
                       quote(spec.model));
  }
  std::vector<WeightedAdapter> names;
  for (const WeightedAdapter& component : spec.blend) {
    Result<std::shared_ptr<const AdapterVersion>> adapter = find_adapter(component.name, NameForm::name_or_folder, access);
    if (adapter && *adapter == nullptr)
      return field_error(field, "{}: expected adapters, found the base model {}", field, quote(component.name));
    if (adapter && !(*adapter)->invocation_tokens().empty()) {
      return field_error(field, "{}: adapter {} acts from its invocation tokens on only, and cannot be part of a blend", field,
                         quote(component.name));
    }
    if (!adapter) {
      adapter.error().param = field;
      adapter.error().message = fmt::format("{}: {}", field, adapter.error().message);
      return forward_error(adapter);
    }
    names.push_back({(*adapter)->name(), component.weight});
  }
  std::ranges::sort(names, {}, &WeightedAdapter::name);
  const auto same = std::ranges::adjacent_find(names, {}, &WeightedAdapter::name);
  if (same != names.end()) return field_error(field, "{}: expected different adapters, found {} twice", field, quote(same->name));
  Result<std::shared_ptr<const AdapterVersion>> blend = generator_.find_blend(names);
  if (blend && generator_.output_tokens_that_fit(0, blend->get()) <= 0) blend = too_large((*blend)->name(), **blend);
  if (!blend) {
    blend.error().param = field;
    return forward_error(blend);
  }
  return NamedModel{(*blend)->name(), std::move(*blend), field};
}

Result<NamedModel> RequestPreparer::find_model(const RequestSpec& spec, const ModelAccess& access) const {
  if (!spec.blend.empty()) return find_blend(spec, access);
  const bool is_apart = !spec.adapter.empty();
  const std::string& field = is_apart ? spec.adapter_field : spec.model_field;
  const std::string& name = is_apart ? spec.adapter : spec.model.empty() ? base_names_.front() : spec.model;
  Result<std::shared_ptr<const AdapterVersion>> adapter = find_adapter(name, is_apart ? NameForm::name_or_folder : NameForm::name, access);
  if (!adapter) {
    adapter.error().param = field;
    if (field != "model") adapter.error().message = fmt::format("{}: {}", field, adapter.error().message);
    return forward_error(adapter);
  }
  const std::string own_name = *adapter ? (*adapter)->name() : name;
  if (is_apart && !spec.model.empty() && !is_base(spec.model) && spec.model != own_name && after_base(spec.model) != own_name) {
    return field_error(field, "{}: {} names {}, and this field {}", field, spec.model_field, quote(spec.model), quote(name));
  }
  if (!spec.adapter_folder.empty() && adapter_in_folder(spec.adapter_folder, access) != own_name) {
    return field_error(spec.adapter_folder_field, "{}: expected nothing, or the folder of adapter {} here, found {}",
                       spec.adapter_folder_field, quote(own_name), quote(spec.adapter_folder));
  }
  return NamedModel{is_apart ? own_name : name, std::move(*adapter), field};
}

bool RequestPreparer::is_base(const std::string& model) const { return std::ranges::find(base_names_, model) != base_names_.end(); }

std::string_view RequestPreparer::after_base(std::string_view model) const {
  for (const std::string& base : base_names_) {
    if (model.starts_with(base) && model.substr(base.size()).starts_with(':')) return model.substr(base.size() + 1);
  }
  return {};
}

std::optional<std::string> RequestPreparer::adapter_in_folder(std::string_view path, const ModelAccess& access) const {
  return access.allows_all() ? generator_.adapter_in_folder(path) : std::nullopt;
}

Result<std::shared_ptr<const AdapterVersion>> RequestPreparer::find_adapter(const std::string& model, NameForm form,
                                                                            const ModelAccess& access) const {
  if (access.allows(model) && is_base(model)) return std::shared_ptr<const AdapterVersion>();
  // No adapter has an empty name: what is not allowed takes as long as what does not exist.
  const auto resolve = [&](std::string_view name) { return generator_.resolve(access.allows(name) ? name : std::string_view()); };
  const auto is_unknown = [](const auto& adapter) { return !adapter && adapter.error().code == "not_found"; };
  Result<std::shared_ptr<const AdapterVersion>> adapter = resolve(model);
  if (const std::string_view rest = after_base(model); is_unknown(adapter) && !rest.empty()) adapter = resolve(rest);
  if (is_unknown(adapter) && form == NameForm::name_or_folder) {
    if (const auto in_folder = adapter_in_folder(model, access)) adapter = resolve(*in_folder);
  }
  if (is_unknown(adapter)) {
    adapter.error() = {"model_not_found",
                       fmt::format("The model {} does not exist. GET /v1/models lists the base model and its adapters.", quote(model)),
                       {}};
  }
  if (!adapter || generator_.output_tokens_that_fit(0, adapter->get()) > 0) return adapter;
  return too_large(model, **adapter);
}

Status RequestPreparer::add_prompts(PreparedRequest& request, LongText long_text) const {
  const RequestSpec& spec = request.spec;
  if (spec.endpoint == Endpoint::chat) {
    if (Status added = add_conversation(request, long_text); !added) return added;
  }
  const Tokenizer& tokenizer = request.text->tokenizer();
  const SpecialText special_text = spec.output.skip_special_tokens ? SpecialText::skip : SpecialText::keep;
  for (const Prompt& prompt : spec.prompt.given) {
    PreparedRequest::Prompt& prepared = request.prompts.emplace_back();
    const auto* text = std::get_if<std::string>(&prompt);
    Tokens tokens;
    if (text == nullptr) {
      tokens.kept = std::get<std::vector<TokenId>>(prompt);
      if (const auto count = tokens_to_keep(request)) truncate(tokens.kept, *count, spec.prompt.kept_end);
    } else {
      const SpecialTokens special = spec.prompt.add_special_tokens.value_or(true) ? SpecialTokens::add : SpecialTokens::omit;
      Result<Tokens> encoded = tokens_of(request, *text, special, long_text);
      if (!encoded) return forward_error(encoded);
      tokens = std::move(*encoded);
    }
    if (spec.output.echo) prepared.echo = text != nullptr && tokens.is_whole ? *text : tokenizer.decode(tokens.kept, special_text);
    prepared.tokens = std::move(tokens.kept);
  }
  return {};
}

Status RequestPreparer::add_conversation(PreparedRequest& request, LongText long_text) const {
  const RequestSpec& spec = request.spec;
  const auto given = [](const Json& part) { return part.is_null() ? nullptr : &part; };
  const Json variables = template_variables(spec);
  Conversation conversation{.messages = spec.chat.messages};
  conversation.tools = given(spec.chat.tools);
  conversation.documents = given(spec.chat.documents);
  conversation.kwargs = &variables;
  if (spec.chat.template_name) conversation.template_name = *spec.chat.template_name;
  conversation.add_generation_prompt = spec.chat.add_generation_prompt.value_or(!spec.chat.continue_final_message);
  conversation.continue_final_message = spec.chat.continue_final_message;
  Result<std::string> text = request.text->render(conversation);
  if (!text && text.error().param.empty()) text.error().param = spec.prompt.field;
  if (!text) return forward_error(text);

  PreparedRequest::Prompt& prompt = request.prompts.emplace_back();
  // Chat templates contain the special tokens already.
  const SpecialTokens special = spec.prompt.add_special_tokens.value_or(false) ? SpecialTokens::add : SpecialTokens::omit;
  Result<Tokens> tokens = tokens_of(request, *text, special, long_text);
  if (!tokens) return forward_error(tokens);
  prompt.tokens = std::move(tokens->kept);
  const Json& last = spec.chat.messages.back();
  if (spec.output.echo && last["role"] == "assistant") {
    const Result<Json> plain = to_template_messages(Json::array({last}), ContentFormat::text);
    if (!plain) return tl::unexpected<Error>(plain.error());
    prompt.echo = plain->front()["content"].get<std::string>();
  }
  return {};
}

// What is encoded of a long text is bounded: only the tokens that are kept, or as many as show that it does not fit.
Result<RequestPreparer::Tokens> RequestPreparer::tokens_of(const PreparedRequest& request, std::string_view text, SpecialTokens special,
                                                           LongText long_text) const {
  const Tokenizer& tokenizer = request.text->tokenizer();
  const PromptSpec& prompt = request.spec.prompt;
  const auto with = [](Result<std::vector<TokenId>> encoded) -> Result<Tokens> {
    if (!encoded) return forward_error(encoded);
    return Tokens{std::move(*encoded), true};
  };
  if (const auto count = tokens_to_keep(request)) {
    const std::size_t asked = *count + 1;  // one more than is kept, to know whether there are more
    Result<Tokens> tokens =
        with(prompt.kept_end == KeptEnd::last ? tokenizer.encode_last(text, special, asked) : tokenizer.encode_first(text, special, asked));
    if (!tokens) return tokens;
    tokens->is_whole = tokens->kept.size() <= *count;
    truncate(tokens->kept, *count, prompt.kept_end);
    return tokens;
  }
  if (long_text == LongText::taken) return with(tokenizer.encode(text, special));

  constexpr std::size_t left_out_max = 4;  // a tokenizer may drop or shorten parts of a text, such as white space next to special tokens
  constexpr std::size_t counted_max = std::size_t{1} << 16;  // of a text that does not fit
  const std::int64_t context = std::max<std::int64_t>(std::int64_t{1} + generator_.output_tokens_that_fit(1, request.adapter.get()), 1);
  const std::size_t bytes_max = static_cast<std::size_t>(context) * request.text->token_bytes_max() * left_out_max;
  if (text.size() > bytes_max) {
    return too_long(prompt.field,
                    fmt::format("expected at most {} bytes of text, found {}. This model's maximum context length is {} tokens.", bytes_max,
                                text.size(), context));
  }
  const std::size_t tokens_max = std::max(static_cast<std::size_t>(context), counted_max);
  Result<Tokens> tokens = with(tokenizer.encode_first(text, special, tokens_max + 1));
  if (tokens && tokens->kept.size() > tokens_max) {
    return too_long(prompt.field,
                    fmt::format("expected at most {} tokens, found more than {}. This model's maximum context length is {} tokens.",
                                context - 1, tokens_max, context));
  }
  return tokens;
}

std::optional<std::size_t> RequestPreparer::tokens_to_keep(const PreparedRequest& request) const {
  const RequestSpec& spec = request.spec;
  if (!spec.prompt.truncate_tokens) return std::nullopt;
  if (*spec.prompt.truncate_tokens >= 0) return static_cast<std::size_t>(*spec.prompt.truncate_tokens);
  const std::int32_t by_default = words_of(spec.endpoint).output_tokens_default;
  const std::int64_t context = std::int64_t{1} + generator_.output_tokens_that_fit(1, request.adapter.get());
  return static_cast<std::size_t>(std::max<std::int64_t>(context - std::max(spec.output.token_limit().value_or(by_default), 1), 1));
}

Status RequestPreparer::set_output_tokens(PreparedRequest& request) const {
  const RequestSpec& spec = request.spec;
  const EndpointWords words = words_of(spec.endpoint);
  const std::string& prompt_field = spec.prompt.field;
  const std::int64_t scored_max = scored_tokens_that_fit(request);
  for (PreparedRequest::Prompt& prompt : request.prompts) {
    if (prompt.tokens.empty()) return field_error(prompt_field, "{}: expected at least one token, found none", prompt_field);
    if (const TokenId largest = std::ranges::max(prompt.tokens); largest >= vocabulary_size_) {
      return field_error(prompt_field, "{}: its text has a token ({}) that the tokenizer knows and the model, with {} tokens, does not",
                         prompt_field, largest, vocabulary_size_);
    }
    const auto prompt_tokens = static_cast<std::int32_t>(prompt.tokens.size());
    const std::int32_t fitting = generator_.output_tokens_that_fit(prompt_tokens, request.adapter.get());
    const std::int64_t context = std::int64_t{fitting} + prompt_tokens;
    if (fitting < 1) {
      return too_long(prompt_field, fmt::format("expected at most {} tokens, found {}. This model's maximum context length is {} tokens.",
                                                context - 1, prompt_tokens, context));
    }
    const std::optional<std::int32_t> asked = spec.output.token_limit();
    if (asked.value_or(1) > fitting) {
      return too_long(spec.output.max_completion_tokens ? "max_completion_tokens" : words.output_tokens,
                      fmt::format("expected at most {}, found {}. This model's maximum context length is {} tokens, and the prompt has {}.",
                                  fitting, *asked, context, prompt_tokens));
    }
    if (asked.value_or(1) > scored_max) {
      return field_error(
          spec.output.max_completion_tokens ? "max_completion_tokens" : std::string(words.output_tokens),
          "{}: expected at most {}, because an answer has at most {} log-probabilities, {} for each token of its {} choices, "
          "found {}; a stream may have more",
          spec.output.max_completion_tokens ? "max_completion_tokens" : words.output_tokens, scored_max, kScoresMax,
          *spec.output.logprobs + 1, request.prompts.size() * static_cast<std::size_t>(spec.output.n), *asked);
    }
    const std::int32_t by_default = words.output_tokens_default == 0 ? fitting : std::min(fitting, words.output_tokens_default);
    const auto fitting_default = static_cast<std::int32_t>(std::min<std::int64_t>(by_default, scored_max));
    prompt.output_tokens_max = std::max(asked.value_or(fitting_default), 1);  // the engine draws at least one
    if (spec.sampling.min_tokens > prompt.output_tokens_max) {
      return field_error(std::string(words.min_tokens), "{}: expected at most the {} tokens of output that this request may have, found {}",
                         words.min_tokens, prompt.output_tokens_max, spec.sampling.min_tokens);
    }
  }
  return {};
}

}  // namespace slora
