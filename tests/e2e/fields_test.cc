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

// A route, a body that is answered, and where in it fields are set one by one.
struct Place {
  std::string path;
  Json body;
  std::string member;  // of the body; empty: the body itself
  std::size_t refused_count_min;
  std::size_t form = 0;  // of the path's forms, where there are several
};

// The schema of what stands at the place.
Json schema_at(const Json& operation, const Place& place) {
  Json schema = operation["requestBody"]["content"]["application/json"]["schema"];
  if (schema.contains("anyOf")) schema = Json(schema["anyOf"][place.form]);
  return place.member.empty() ? schema : schema["properties"][place.member];
}

class Fields : public ::testing::TestWithParam<Place> {};

TEST_P(Fields, AreHeldToThePublishedSchema) {
  const Place& place = GetParam();
  const std::uint16_t port = demo_server().port();
  const Json operation = get(port, "/openapi.json").json()["paths"][place.path]["post"];
  const Json published = schema_at(operation, place);
  std::size_t refused_count = 0;
  for (const auto& [name, schema] : published["properties"].items()) {
    for (const Json& value : probes_of(schema)) {
      Json body = place.body;
      (place.member.empty() ? body : body[place.member])[name] = value;
      const Reply reply = post(port, place.path, body);
      ASSERT_TRUE(operation["responses"].contains(std::to_string(reply.status))) << name << ": " << value << " " << reply.status;
      if (reply.status == 400) {
        const Json error = reply.json()["error"];
        const std::string field = place.member.empty() ? name : place.member + "." + name;
        EXPECT_THAT(error["param"].get<std::string>(), ::testing::StartsWith(field)) << value << " " << reply.body;
        EXPECT_THAT(error["message"].get<std::string>(), ::testing::HasSubstr(field)) << value;
      }
      if (!allows(schema, value)) {
        ++refused_count;
        EXPECT_EQ(reply.status, 400) << name << ": " << value << " " << reply.body;
      }
    }
  }
  EXPECT_GT(refused_count, place.refused_count_min);
  EXPECT_EQ(metric(port, "vllm:num_requests_running"), 0);
  EXPECT_EQ(metric(port, "vllm:num_requests_waiting"), 0);
}

const Json kTgiBody = {{"inputs", "Hi"}, {"parameters", {{"max_new_tokens", 2}}}};
const Json kSloraBody = {{"inputs", "Hi"}, {"model_dir", "demo"}, {"parameters", {{"max_new_tokens", 2}}}};
const Json kMessages = {{{"role", "user"}, {"content", "Hi"}}};
INSTANTIATE_TEST_SUITE_P(
    Places, Fields,
    ::testing::Values(Place{"/v1/completions", {{"prompt", {5, 6}}, {"max_tokens", 2}}, "", 500},
                      Place{"/v1/chat/completions", {{"messages", kMessages}, {"max_tokens", 2}}, "", 500},
                      Place{"/generate", {{"text", "Hi"}, {"sampling_params", {{"max_new_tokens", 2}}}}, "", 100},
                      Place{"/generate", {{"text", "Hi"}, {"sampling_params", {{"max_new_tokens", 2}}}}, "sampling_params", 100},
                      Place{"/generate", kTgiBody, "", 100, 1}, Place{"/", kTgiBody, "parameters", 100},
                      Place{"/generate_stream", kTgiBody, "", 100}, Place{"/generate_stream", kTgiBody, "parameters", 100},
                      Place{"/generate_stream", kSloraBody, "", 20, 1}, Place{"/generate_stream", kSloraBody, "parameters", 100, 1}));

}  // namespace
}  // namespace slora
