#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "e2e/demo_server.h"

namespace slora {
namespace {

// Whether a value is of one of JSON Schema's types.
bool is_of_type(const Json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return value.is_number_integer() || (value.is_number() && value == std::floor(value.get<double>()));
}

// The parts of JSON Schema that our schemas use.
bool allows(const Json& schema, const Json& value) {
  const auto limit = [&](const char* name, double none) { return schema.contains(name) ? schema[name].get<double>() : none; };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (schema.contains("anyOf")) return std::ranges::any_of(schema["anyOf"], [&](const Json& one) { return allows(one, value); });
  if (schema.contains("const") && value != schema["const"]) return false;
  if (schema.contains("enum") && std::ranges::find(schema["enum"], value) == schema["enum"].end()) return false;
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::ranges::none_of(types, [&](const Json& type) { return is_of_type(value, type); })) return false;
  }
  if (value.is_number() && (value.get<double>() < limit("minimum", -infinity) || value.get<double>() > limit("maximum", infinity)))
    return false;
  if (value.is_string()) {
    const auto length = static_cast<double>(value.get<std::string>().size());
    return length >= limit("minLength", 0) && length <= limit("maxLength", infinity);
  }
  if (value.is_array()) {
    const auto count = static_cast<double>(value.size());
    if (count < limit("minItems", 0) || count > limit("maxItems", infinity)) return false;
    return std::ranges::all_of(value, [&](const Json& item) { return !schema.contains("items") || allows(schema["items"], item); });
  }
  if (!value.is_object()) return true;
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  for (const auto& [name, member] : value.items()) {
    const bool is_known = schema.contains("properties") && schema["properties"].contains(name);
    if (is_known && !allows(schema["properties"][name], member)) return false;
    if (!is_known && schema.contains("additionalProperties") && !allows(schema["additionalProperties"], member)) return false;
  }
  return true;
}

// Values of every type, and those at and beside the bounds of a field.
std::vector<Json> probes_of(const Json& schema) {
  std::vector<Json> probes = {nullptr,
                              true,
                              false,
                              -1,
                              0,
                              1,
                              7,
                              0.5,
                              1e300,
                              "",
                              "x",
                              Json::array(),
                              Json::array({0}),
                              Json::array({"x"}),
                              Json::array({Json::array()}),
                              Json::object(),
                              Json{{"x", 1}}};
  for (const char* name : {"minimum", "maximum"}) {
    if (!schema.contains(name)) continue;
    const Json& bound = schema[name];
    const int outward = std::string(name) == "minimum" ? -1 : 1;
    probes.push_back(bound);
    const bool has_neighbour = std::abs(bound.get<double>()) < 1e15;
    if (has_neighbour && bound.is_number_integer()) probes.push_back(bound.get<std::int64_t>() + outward);
    if (has_neighbour && bound.is_number_float()) probes.push_back(bound.get<double>() + 0.01 * outward);
  }
  if (schema.contains("enum")) probes.insert(probes.end(), schema["enum"].begin(), schema["enum"].end());
  return probes;
}

// Bodies that are answered, to which fields are added one by one.
Json plain_body(const std::string& path) {
  Json body = {{"max_tokens", 2}};
  if (path == "/v1/completions") body["prompt"] = {5, 6};
  if (path == "/v1/chat/completions") body["messages"] = {{{"role", "user"}, {"content", "Hi"}}};
  return body;
}

class Fields : public ::testing::TestWithParam<const char*> {};

TEST_P(Fields, AreHeldToThePublishedSchema) {
  const std::string path = GetParam();
  const std::uint16_t port = demo_server().port();
  const Json operation = get(port, "/openapi.json").json()["paths"][path]["post"];
  const Json properties = operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
  ASSERT_GT(properties.size(), 50u);
  std::size_t refused_count = 0;
  for (const auto& [name, schema] : properties.items()) {
    for (const Json& value : probes_of(schema)) {
      Json body = plain_body(path);
      body[name] = value;
      const Reply reply = post(port, path, body);
      ASSERT_TRUE(operation["responses"].contains(std::to_string(reply.status))) << name << ": " << value << " " << reply.status;
      if (reply.status == 400) {
        const std::string param = reply.json()["error"]["param"];
        EXPECT_EQ(param.substr(0, param.find_first_of(".[")), name) << value << " " << reply.body;
        EXPECT_THAT(reply.json()["error"]["message"].get<std::string>(), ::testing::HasSubstr(name));
      }
      if (!allows(schema, value)) {
        ++refused_count;
        EXPECT_EQ(reply.status, 400) << name << ": " << value << " " << reply.body;
      }
    }
  }
  EXPECT_GT(refused_count, 500u);
  EXPECT_EQ(metric(port, "vllm:num_requests_running"), 0);
  EXPECT_EQ(metric(port, "vllm:num_requests_waiting"), 0);
}
INSTANTIATE_TEST_SUITE_P(Routes, Fields, ::testing::Values("/v1/completions", "/v1/chat/completions"));

}  // namespace
}  // namespace slora
