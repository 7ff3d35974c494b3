#include "traces/otlp_json.h"

#include <nlohmann/json.hpp>

namespace slora {
namespace {

using nlohmann::json;

// 64-bit integers are text in protobuf's JSON form.
json value_of(const SpanValue& value) {
  struct Visitor {
    json operator()(const std::string& text) const { return {{"stringValue", text}}; }
    json operator()(std::int64_t number) const { return {{"intValue", std::to_string(number)}}; }
    json operator()(double number) const { return {{"doubleValue", number}}; }
    json operator()(bool is_true) const { return {{"boolValue", is_true}}; }
    json operator()(const std::vector<std::string>& texts) const {
      json values = json::array();
      for (const std::string& text : texts) values.push_back((*this)(text));
      return {{"arrayValue", {{"values", std::move(values)}}}};
    }
  };
  return std::visit(Visitor{}, value);
}

json attribute(std::string_view name, const SpanValue& value) { return {{"key", name}, {"value", value_of(value)}}; }

json json_of_span(const Span& span) {
  constexpr int error_code = 2;
  json attributes = json::array();
  for (const auto& [name, value] : span.attributes) attributes.push_back(attribute(name, value));
  json made = {{"traceId", span.context.trace_id},
               {"spanId", span.id},
               {"name", span.name},
               {"kind", static_cast<int>(span.kind)},
               {"startTimeUnixNano", std::to_string(span.begin.count())},
               {"endTimeUnixNano", std::to_string(span.end.count())},
               {"attributes", std::move(attributes)}};
  if (!span.context.parent_id.empty()) made["parentSpanId"] = span.context.parent_id;
  if (!span.context.state.empty()) made["traceState"] = span.context.state;
  if (!span.failure.empty()) made["status"] = {{"code", error_code}, {"message", span.failure}};
  return made;
}

}  // namespace

std::string otlp_body(std::span<const Span> spans, const std::string& service_version) {
  json list = json::array();
  for (const Span& span : spans) list.push_back(json_of_span(span));
  json resource = {{"attributes", {attribute("service.name", "slora"), attribute("service.version", service_version)}}};
  json scope = {{"scope", {{"name", "slora"}, {"version", service_version}}}, {"spans", std::move(list)}};
  const json body = {
      {"resourceSpans", json::array({{{"resource", std::move(resource)}, {"scopeSpans", json::array({std::move(scope)})}}})}};
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace slora
