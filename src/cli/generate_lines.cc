#include "cli/generate_lines.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "formats/json.h"

namespace slora {
namespace {

GenerateLine complete(Json body, const LineDefaults& defaults) {
  // A copy first: the new member may move the others.
  if (const Json* adapter = find_member(body, "adapter")) body["model"] = Json(*adapter);
  body.erase("adapter");
  if (!body.contains("model") && !defaults.adapter.empty()) body["model"] = defaults.adapter;
  if (!body.contains("max_tokens") && !body.contains("max_completion_tokens")) body["max_tokens"] = defaults.max_tokens;
  if (!body.contains("temperature")) body["temperature"] = defaults.temperature;
  if (!body.contains("seed") && defaults.seed) body["seed"] = *defaults.seed;
  body["stream"] = defaults.stream;
  body.erase("stream_options");
  const Endpoint endpoint = body.contains("messages") ? Endpoint::chat : Endpoint::completions;
  return {endpoint, body.dump(), std::nullopt};
}

// The text of one choice of either endpoint, whole or a part.
Json text_of(const Json& choice) {
  for (const char* holder : {"message", "delta"}) {
    if (const Json* message = find_member(choice, holder)) return (*message)["content"];
  }
  return choice["text"];
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

std::string output_line(std::size_t index, std::string_view body) {
  const Json answer = Json::parse(body);
  Json line = {{"index", index}};
  if (answer.contains("error")) {
    line["error"] = answer["error"];
    return line.dump();
  }
  const Json& choices = answer["choices"];
  line["model"] = answer["model"];
  if (choices.size() == 1) {
    line["text"] = text_of(choices[0]);
    line["finish_reason"] = choices[0]["finish_reason"];
    for (const Json* holder : {&choices[0], &answer}) {
      for (const char* asked : {"logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids"}) {
        const Json* told = find_member(*holder, asked);
        if (told != nullptr && !told->is_null()) line[asked] = *told;
      }
    }
  } else {
    for (const Json& choice : choices) {
      line["text"].push_back(text_of(choice));
      line["finish_reason"].push_back(choice["finish_reason"]);
    }
  }
  line["usage"] = answer["usage"];
  return line.dump();
}

Result<std::string> events_text(std::string_view events) {
  constexpr std::string_view prefix = "data: ";
  constexpr std::string_view end = "\n\n";
  std::string text;
  while (!events.empty()) {
    const std::size_t length = events.find(end);
    const std::string_view data = events.substr(0, length).substr(prefix.size());
    events.remove_prefix(length + end.size());
    const Json answer = Json::parse(data, nullptr, false);
    if (answer.is_discarded()) continue;
    if (answer.contains("error")) return tl::unexpected<Error>(error_of(data));
    const Json& choices = answer["choices"];
    if (!choices.empty()) text += text_of(choices[0]).get<std::string>();
  }
  return text;
}

Error error_of(std::string_view body) {
  const Json answer = Json::parse(body);
  return {answer["error"]["code"].get<std::string>(), answer["error"]["message"].get<std::string>(), {}};
}

}  // namespace slora
