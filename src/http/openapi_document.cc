#include "http/openapi_document.h"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace slora {
namespace {

struct StatusText {
  int status;
  std::string_view text;
};

// Refusals that are possible on every path.
constexpr std::array kAnyRequest = {400, 408, 413, 414, 429, 431};
constexpr std::array kStatusTexts = {
    StatusText{400, "The request is not what this path takes; param names the field, message says expected and found."},
    StatusText{401, "The request brings no key of this server."},
    StatusText{403, "The key, the web page that asks, or the path that the body names, is not permitted here."},
    StatusText{404, "There is no model, adapter or folder of this name."},
    StatusText{408, "The request came too slowly."},
    StatusText{409, "The adapter changes in another way just now: send it again when that is done."},
    StatusText{413, "The body is too long."},
    StatusText{414, "The path is too long."},
    StatusText{415, "The body does not come in the type that this path takes."},
    StatusText{429, "Too much runs or waits already; Retry-After says when to try again."},
    StatusText{431, "The headers are too long."},
    StatusText{500, "The model failed at this request."},
    StatusText{503, "The server is shutting down or stalls, or the adapter's files can't be read right now."},
    StatusText{504, "The request's timeout is over."},
};

std::string lower_case(std::string_view text) {
  std::string out;
  for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// "post_v1_load_lora_adapter"
std::string operation_id_of(const Route& route) {
  std::string id = lower_case(route.method);
  for (const char c : route.path) {
    if (c == '/' || c == '.') id += '_';
    if (c != '/' && c != '.' && c != '{' && c != '}') id += c;
  }
  return id;
}

std::set<int> refusals_of(const Route& route) {
  std::set<int> statuses(kAnyRequest.begin(), kAnyRequest.end());
  statuses.insert(route.about.refusals.begin(), route.about.refusals.end());
  if (route.about.body) statuses.insert(415);
  if (needs_key(route.role)) statuses.insert(401);
  if (route.role != Role::health) statuses.insert(403);
  return statuses;
}

Json answers_of(const Route& route) {
  Json content = Json::object();
  for (const RouteAbout::Answer& answer : route.about.answers) {
    if (answer.content_type.empty()) continue;
    content[answer.content_type] = answer.body ? Json{{"schema", *answer.body}} : Json::object();
  }
  Json responses = Json::object();
  responses["200"]["description"] = "Done.";
  if (!content.empty()) responses["200"]["content"] = std::move(content);
  const std::set<int> refusals = refusals_of(route);
  for (const StatusText& status : kStatusTexts) {
    if (!refusals.contains(status.status)) continue;
    Json& response = responses[std::to_string(status.status)];
    response["description"] = status.text;
    response["content"]["application/json"]["schema"]["$ref"] = "#/components/schemas/Error";
  }
  return responses;
}

Json operation_of(const Route& route) {
  Json operation = {{"operationId", operation_id_of(route)}, {"summary", route.about.summary}};
  if (route.fixed_path().size() != route.path.size()) {
    const std::string_view name = route.path.substr(route.fixed_path().size() + 1);
    operation["parameters"] = Json::array({{{"name", name.substr(0, name.size() - 1)},
                                            {"in", "path"},
                                            {"required", true},
                                            {"schema", {{"type", "string"}, {"minLength", 1}}}}});
  }
  if (route.about.body)
    operation["requestBody"] = {{"required", true}, {"content", {{std::string(route.about.body_type), {{"schema", *route.about.body}}}}}};
  // A server without keys takes requests without one.
  if (needs_key(route.role)) operation["security"] = Json::array({{{"key", Json::array()}}, Json::object()});
  operation["responses"] = answers_of(route);
  return operation;
}

Json error_schema() {
  const Json text = {{"type", "string"}}, text_or_null = {{"type", Json::array({"string", "null"})}};
  return {{"type", "object"},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"properties", {{"message", text}, {"type", text}, {"param", text_or_null}, {"code", text}}},
              {"required", {"message", "type", "param", "code"}}}}}},
          {"required", Json::array({"error"})}};
}

}  // namespace

Json openapi_document(const RouteTable& routes) {
  Json document = {
      {"openapi", "3.1.0"},
      {"info", {{"title", "slora"}, {"version", SLORA_VERSION}, {"description", "One base model, many LoRA adapters."}}},
      {"paths", Json::object()},
      {"components", {{"schemas", {{"Error", error_schema()}}}, {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
  for (const Route& route : routes.routes()) document["paths"][std::string(route.path)][lower_case(route.method)] = operation_of(route);
  return document;
}

}  // namespace slora
