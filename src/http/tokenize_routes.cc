#include "http/tokenize_routes.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "adapters/adapter_version.h"
#include "api/api_error.h"
#include "api/json_text.h"
#include "api/model_fields.h"
#include "api/request_schema.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr SmallField kReturnTokenStrs{"return_token_strs", FieldForm::flag, FieldNeed::optional, "Return the tokens' texts too."};
constexpr std::array kDetokenizeFields = {SmallField{"tokens", FieldForm::token_ids, FieldNeed::needed, "Token ids."}};
// The fields of generation requests that define the prompt.
constexpr std::array kPromptFields = {"prompt", "add_special_tokens"};
constexpr std::array kConversationFields = {
    "messages",          "tools", "documents", "chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message",
    "add_special_tokens"};

Json body_schema_of(Endpoint endpoint, std::span<const char* const> names, std::int32_t vocabulary_size) {
  const Json whole = request_schema(endpoint, vocabulary_size);
  Json properties = model_members(whole["properties"]);
  for (const char* name : names) properties[name] = whole["properties"].at(name);
  properties.update(small_body_schema({&kReturnTokenStrs, 1}, vocabulary_size)["properties"]);
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", whole["required"]}};
}

}  // namespace

TokenizeRoutes::TokenizeRoutes(const RequestPreparer& preparer, std::int32_t vocabulary_size, std::int32_t max_model_len, PostToIo post,
                               TextPool& text_pool)
    : preparer_(preparer),
      vocabulary_size_(vocabulary_size),
      max_model_len_(max_model_len),
      post_(std::move(post)),
      text_pool_(text_pool),
      waits_([this](const std::vector<std::string>& adapters,
                    std::function<void()> then) { preparer_.await_adapters(adapters, std::move(then)); },
             text_pool) {}

void TokenizeRoutes::tokenize(const std::shared_ptr<Exchange>& exchange) { answer(exchange, &TokenizeRoutes::tokenize_now); }

void TokenizeRoutes::detokenize(const std::shared_ptr<Exchange>& exchange) { answer(exchange, &TokenizeRoutes::detokenize_now); }

void TokenizeRoutes::answer(const std::shared_ptr<Exchange>& exchange, Work work) {
  const ClientId client = exchange->request().client;
  // Shared by the two steps, of which the first sets it.
  const auto model = std::make_shared<Result<FoundModel>>(error("out_of_memory", "The server ran out of memory; try again later."));
  const auto run = [this, client](std::size_t body_bytes, std::function<void()> job) {
    return text_pool_.try_run(client, body_bytes, std::move(job));
  };
  const auto find = [this, client, model, access = exchange->request().access](std::string_view body, const AdapterWaits::Work& go_on) {
    const Result<Json> given = parse_json(body);  // its errors are those of the work
    if (!given || !given->is_object()) return false;
    const auto await = [this, client, bytes = body.size()](const std::vector<std::string>& adapters, AdapterWaits::Work then) {
      waits_.run_after_look(adapters, client, bytes, std::move(then));
    };
    std::optional<Result<FoundModel>> found =
        preparer_.find_model_of(*given, *access, await, [model, access, go_on](Result<FoundModel> later) {
          *model = std::move(later);
          go_on({});
        });
    const bool waits = !found;
    if (found) *model = std::move(*found);
    return waits;
  };
  answer_json_elsewhere(
      exchange, post_, run, [this, work, model](std::string_view body) { return (this->*work)(body, *model); }, find);
}

HttpResponse TokenizeRoutes::tokenize_now(std::string_view body, const Result<FoundModel>& model) const {
  const Result<Json> own = parse_small_body({&kReturnTokenStrs, 1}, body, vocabulary_size_);
  if (!own) return error_response(own.error());
  const Json whole = Json::parse(body);
  const bool is_chat = find_member(whole, "prompt") == nullptr && find_member(whole, "messages") != nullptr;
  Json prompt = model_members(whole);
  for (const char* name : is_chat ? std::span<const char* const>(kConversationFields) : kPromptFields) {
    if (const Json* member = find_member(whole, name)) prompt[name] = *member;
  }
  const Result<PreparedRequest> request = preparer_.read_prompts(is_chat ? Endpoint::chat : Endpoint::completions, prompt, model);
  if (!request) return error_response(request.error());
  if (!is_chat && !whole["prompt"].is_string()) return error_response(expected_at("prompt", "a string", whole["prompt"]).value());

  const SharedTokens& tokens = request->prompts.front().tokens;
  const std::int32_t own_context = request->adapter != nullptr ? request->adapter->traits().context_tokens_max : 0;
  const std::int32_t max_model_len = own_context > 0 ? own_context : max_model_len_;
  HttpResponse response;
  std::string& out = response.body;
  out = fmt::format(R"({{"count":{},"max_model_len":{},"tokens":[{}],"token_strs":)", tokens.size(), max_model_len, fmt::join(tokens, ","));
  if (!own->value("return_token_strs", false)) {
    out += "null}";
    return response;
  }
  out += '[';
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i != 0) out += ',';
    append_json_string(out, request->text->tokenizer().token_text(tokens[i]));
  }
  out += "]}";
  return response;
}

HttpResponse TokenizeRoutes::detokenize_now(std::string_view body, const Result<FoundModel>& model) const {
  const AdapterVersion* const adapter = model ? model->adapter.get() : nullptr;
  const std::int32_t vocabulary = vocabulary_size_ + (adapter != nullptr ? adapter->traits().added_tokens : 0);
  const Result<Json> given = parse_small_body(kDetokenizeFields, body, vocabulary);
  if (!given) return error_response(given.error());
  const Result<std::shared_ptr<const TextModel>> text = preparer_.text_of(Json::parse(body), model);
  if (!text) return error_response(text.error());
  const auto tokens = given->at("tokens").get<std::vector<TokenId>>();
  HttpResponse response;
  response.body = R"({"prompt":)";
  append_json_string(response.body, (*text)->tokenizer().decode(tokens, SpecialText::keep));
  response.body += '}';
  return response;
}

Json TokenizeRoutes::tokenize_schema(std::int32_t vocabulary_size) {
  Json prompt = body_schema_of(Endpoint::completions, kPromptFields, vocabulary_size);
  prompt["properties"]["prompt"] = {{"type", "string"}, {"description", "A text."}};
  return {{"anyOf", Json::array({std::move(prompt), body_schema_of(Endpoint::chat, kConversationFields, vocabulary_size)})}};
}

Json TokenizeRoutes::detokenize_schema(std::int32_t vocabulary_size) {
  Json schema = small_body_schema(kDetokenizeFields, vocabulary_size);
  schema["properties"].update(model_members(request_schema(Endpoint::completions, vocabulary_size)["properties"]));
  return schema;
}

}  // namespace slora
