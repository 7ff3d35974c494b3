#include "cli/generate_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/json_text.h"
#include "api/model_fields.h"
#include "api/openai_format.h"

namespace slora {
namespace {

GenerateLine complete(Json body, const LineDefaults& defaults) {
  const Json choice = model_members(body);
  const bool chooses = std::ranges::any_of(choice, [](const Json& member) { return !member.is_null(); });
  if (!chooses && !defaults.adapter.empty()) body["model"] = defaults.adapter;
  if (!body.contains("max_tokens") && !body.contains("max_completion_tokens")) body["max_tokens"] = defaults.max_tokens;
  if (!body.contains("temperature")) body["temperature"] = defaults.temperature;
  if (!body.contains("seed") && defaults.seed) body["seed"] = *defaults.seed;
  body["stream"] = defaults.stream;
  body.erase("stream_options");
  const Endpoint endpoint = body.contains("messages") ? Endpoint::chat : Endpoint::completions;
  return {endpoint, std::move(body), std::nullopt};
}

// The details of a single choice that the request wants, in the forms of the API.
void append_details(std::string& out, const Answer& answer) {
  const RequestSpec& spec = answer.request.spec;
  const AnsweredChoice& choice = answer.choices.front();
  const OpenAiLogprobs logprobs(answer.request.text->tokenizer(), OpenAiLogprobs::names_for(spec));
  if (spec.output.logprobs) out += R"(,"logprobs":)" + logprobs.of_choice({answer, 0});
  if (spec.output.prompt_logprobs) out += R"(,"prompt_logprobs":)" + logprobs.prompt(answer.prompts.front().logprobs);
  if (!spec.output.return_token_ids) return;
  std::vector<TokenId> tokens;
  for (const Token& token : choice.tokens) tokens.push_back(token.id);
  out +=
      fmt::format(R"(,"token_ids":[{}],"prompt_token_ids":[{}])", fmt::join(tokens, ","), fmt::join(answer.prompt_tokens_of(choice), ","));
}

}  // namespace

GenerateLine parse_line(std::string_view text, const LineDefaults& defaults) {
  Result<Json> body = parse_json(text);
  if (!body) return {Endpoint::completions, {}, Error{"invalid_request_error", body.error().message, {}}};
  if (!body->is_object()) return {Endpoint::completions, {}, Error{"invalid_request_error", "expected a JSON object per line", {}}};
  return complete(std::move(*body), defaults);
}

GenerateLine parse_conversation(std::string_view text, const LineDefaults& defaults) {
  const auto refuse = [](std::string message) {
    return GenerateLine{Endpoint::chat, {}, Error{"invalid_request_error", std::move(message), {}}};
  };
  Result<Json> json = parse_json(text);
  if (!json) return refuse(json.error().message);
  Json body = json->is_array() ? Json{{"messages", std::move(*json)}} : std::move(*json);
  if (!body.is_object() || !body.contains("messages")) return refuse("expected a list of messages, or an object with \"messages\"");
  const Json* n = find_member(body, "n");
  if (n != nullptr && *n != 1) return refuse("n: expected 1 for one conversation; --input takes requests with several answers");
  return complete(std::move(body), defaults);
}

GenerateLine make_line(const std::string& prompt, const std::string& message, const LineDefaults& defaults) {
  Json body = Json::object();
  if (!prompt.empty()) {
    body["prompt"] = prompt;
  } else {
    body["messages"] = Json::array({{{"role", "user"}, {"content", message}}});
  }
  return complete(std::move(body), defaults);
}

std::string output_line(std::size_t index, const Answer& answer) {
  std::string out = fmt::format(R"({{"index":{},"model":)", index);
  append_json_string(out, answer.request.model_name);
  const bool is_one = answer.choices.size() == 1;
  // One value, or a list of one for each choice.
  const auto append_each = [&](std::string_view name, auto append) {
    out += name;
    if (is_one) return append(answer.choices.front());
    append_json_list(out, answer.choices, append);
  };
  append_each(R"(,"text":)", [&](const AnsweredChoice& choice) { append_json_string(out, choice.text); });
  append_each(R"(,"finish_reason":)", [&](const AnsweredChoice& choice) { append_json_string(out, choice.finish_reason); });
  if (is_one) append_details(out, answer);
  return out + R"(,"usage":)" + usage_json(answer.usage()) + "}";
}

std::string output_line(std::size_t index, const ApiError& error) {
  // The body's one member, after the index.
  return fmt::format(R"({{"index":{},)", index) + error_body(error).substr(1);
}

}  // namespace slora
