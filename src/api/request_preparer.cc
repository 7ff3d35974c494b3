#include "api/request_preparer.h"

#include <algorithm>
#include <future>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/adapter_look.h"
#include "adapters/adapter_version.h"
#include "api/answer_reader.h"
#include "api/api_error.h"
#include "api/forced_calls.h"
#include "api/model_fields.h"
#include "api/request_fields.h"
#include "api/request_parser.h"
#include "api/request_table.h"
#include "api/sampling_defaults.h"
#include "formats/json.h"
#include "ops/adapter_format.h"
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

// The marks of the reasoning that an answer may begin with.
std::optional<ReasoningMarks> reasoning_marks_of(const PreparedRequest& request, const Json& variables) {
  const AnswerForms& forms = request.text->answer_forms();
  const Json* thinking = find_member(variables, "enable_thinking");
  const bool is_off = thinking != nullptr && *thinking == false;
  if (forms.reasoning == nullptr || is_off) return std::nullopt;
  const std::optional<TokenId> close = request.text->tokenizer().token_id(forms.reasoning->close_token);
  if (!close) return std::nullopt;
  const std::string& begin = request.prompts.back().answer_begin;
  const std::size_t opened = begin.rfind(forms.reasoning->open_token);
  const bool is_open = opened != std::string::npos && begin.find(forms.reasoning->close_token, opened) == std::string::npos;
  return ReasoningMarks{request.text->tokenizer().token_id(forms.reasoning->open_token), *close, is_open};
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

}  // namespace

RequestPreparer::RequestPreparer(std::vector<std::string> base_names, std::int32_t vocabulary_size, AdapterTexts& texts,
                                 Generator& generator)
    : vocabulary_size_(vocabulary_size),
      token_id_limit_(vocabulary_size + kAddedTokensMax),
      texts_(texts),
      generator_(generator),
      models_(std::move(base_names), texts, generator) {}

std::int32_t RequestPreparer::vocabulary_of(const PreparedRequest& request) const {
  return vocabulary_size_ + (request.adapter == nullptr ? 0 : request.adapter->traits().added_tokens);
}

Result<PreparedRequest> RequestPreparer::prepare(Endpoint endpoint, std::string_view body, const ModelAccess& access) const {
  return prepare_spec(read(endpoint, body), access);
}

Result<RequestSpec> RequestPreparer::read(Endpoint endpoint, std::string_view body) const {
  return parse_request(endpoint, body, token_id_limit_);
}

Result<PreparedRequest> RequestPreparer::prepare_json(Endpoint endpoint, const Json& body) const {
  if (!is_text_utf8(body)) return error("invalid_request_error", "The body: expected texts in UTF-8");
  return prepare_spec(read_request(endpoint, body, token_id_limit_), {});
}

Result<PreparedRequest> RequestPreparer::prepare_spec(Result<RequestSpec> spec, const ModelAccess& access) const {
  if (!spec) return forward_error(spec);
  const auto wait = [this](const std::vector<std::string>& adapters, const std::function<void(Status)>& go_on) {
    const auto known = std::make_shared<std::promise<void>>();  // shared with the thread that looks at the folder
    models_.await_looks(adapters, [known] { known->set_value(); });
    known->get_future().wait();
    go_on({});
  };
  std::optional<Result<FoundModel>> after_looks;
  std::optional<Result<FoundModel>> model =
      models_.find(*spec, access, wait, [&](Result<FoundModel> found) { after_looks = std::move(found); });
  if (!model) model = std::move(after_looks);
  return *model ? finish(std::move(*spec), std::move(**model)) : tl::unexpected<Error>(model->error());
}

Result<PreparedRequest> RequestPreparer::finish(RequestSpec spec, FoundModel model) const {
  Result<PreparedRequest> request = build(std::move(spec), LongText::refused, std::move(model));
  if (!request) return request;
  if (Status set = set_embedding(*request); !set) return forward_error(set);
  if (Status set = set_output_tokens(*request); !set) return forward_error(set);
  if (Status fitting = check_scores(*request); !fitting) return forward_error(fitting);
  if (Status fitting = check_stream(*request); !fitting) return forward_error(fitting);
  return request;
}

std::optional<Result<FoundModel>> RequestPreparer::find_model_of(const Json& body, const ModelAccess& access, ModelFinder::Await await,
                                                                 ModelFinder::Then then) const {
  Result<RequestSpec> read = read_model_choice(body);
  if (!read) return tl::unexpected(read.error());
  const auto spec = std::make_shared<const RequestSpec>(std::move(*read));  // shared with whoever calls `then`
  return models_.find(*spec, access, std::move(await),
                      [spec, then = std::move(then)](Result<FoundModel> model) { then(std::move(model)); });
}

Result<PreparedRequest> RequestPreparer::read_prompts(Endpoint endpoint, const Json& body, Result<FoundModel> model) const {
  Result<RequestSpec> spec = read_request(endpoint, body, token_id_limit_);
  if (!spec) return forward_error(spec);
  return build(std::move(*spec), LongText::taken, std::move(model));
}

Result<PreparedRequest> RequestPreparer::build(RequestSpec spec, LongText long_text, Result<FoundModel> model) const {
  PreparedRequest request;
  request.spec = std::move(spec);
  if (request.spec.priority != 0 && !generator_.follows_priority()) {
    return field_error("priority", "priority: expected 0, because this server does not run with --policy priority, found {}",
                       request.spec.priority);
  }
  if (!model) return forward_error(model);
  request.model_name = std::move(model->name);
  request.adapter = std::move(model->adapter);
  request.text = std::move(model->text);
  if (Status known = check_token_ids(request.spec, vocabulary_of(request)); !known) return forward_error(known);
  apply_sampling_defaults(request.spec, request.text->sampling());
  if (Status formed = force_calls(request.spec, request.text->answer_forms()); !formed) return forward_error(formed);
  if (Status added = add_prompts(request, long_text); !added) return forward_error(added);
  if (request.adapter != nullptr && !request.adapter->invocation_tokens().empty()) {
    for (PreparedRequest::Prompt& prompt : request.prompts)
      prompt.adapter_begin = last_place_of(request.adapter->invocation_tokens(), prompt.tokens);
  }
  return request;
}

Result<std::shared_ptr<const TextModel>> RequestPreparer::text_of(const Json& body, const Result<FoundModel>& model) const {
  const Result<RequestSpec> spec = read_model_choice(body);
  if (!spec) return tl::unexpected(spec.error());
  if (spec->model.empty() && spec->adapter.empty() && spec->blend.empty()) return texts_.base();
  if (!model) return tl::unexpected(model.error());
  return model->text;
}

Status RequestPreparer::add_prompts(PreparedRequest& request, LongText long_text) const {
  const RequestSpec& spec = request.spec;
  if (is_conversation(spec.endpoint)) {
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
  if (const AnswerFormat* format = format_to_read(request)) prompt.answer_begin = answer_begin_in(*format, *text);
  request.reasoning = reasoning_marks_of(request, variables);
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

Status RequestPreparer::set_embedding(PreparedRequest& request) const {
  if (!is_embedding(request.spec.endpoint)) return {};
  const EmbeddingSupport support = generator_.embeddings();
  EmbeddingSpec& embedding = request.spec.embedding;
  if (!support.is_served) return error("no_embeddings", "This server's backend gives no embeddings; started with --backend cpu it would.");
  if (embedding.pooling == Pooling::none) embedding.pooling = support.pooling;
  if (embedding.pooling == Pooling::none) {
    return field_error("pooling",
                       "pooling: expected \"last\" or \"mean\", since the model's 1_Pooling/config.json names no pooling that is served");
  }
  if (embedding.dimensions.value_or(1) > support.size) {
    return field_error("dimensions", "dimensions: expected at most {}, found {}", support.size, *embedding.dimensions);
  }
  return {};
}

Status RequestPreparer::set_output_tokens(PreparedRequest& request) const {
  const RequestSpec& spec = request.spec;
  const EndpointWords words = words_of(spec.endpoint);
  const std::string& prompt_field = spec.prompt.field;
  const std::int64_t scored_max = scored_tokens_that_fit(request);
  for (PreparedRequest::Prompt& prompt : request.prompts) {
    if (prompt.tokens.empty()) return field_error(prompt_field, "{}: expected at least one token, found none", prompt_field);
    if (const TokenId largest = std::ranges::max(prompt.tokens); largest >= vocabulary_of(request)) {
      return field_error(prompt_field, "{}: its text has a token ({}) that the tokenizer knows and the model, with {} tokens, does not",
                         prompt_field, largest, vocabulary_of(request));
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
