#include "api/request_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/model_fields.h"
#include "api/request_parser.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::int32_t kTableVocabulary = 100;

// Values of one field, as JSON text: to be taken, and to be refused by its name.
struct Probes {
  std::vector<std::string> taken, refused;
};

// Of fields that have a form of their own.
const std::map<std::string_view, Probes>& probes_of_forms() {
  static const std::map<std::string_view, Probes> probes = {
      {"prompt",
       {{R"("")", "[0,99]", R"(["a"])", "[[1],[2,3]]"}, {"1", "[]", "{}", "true", "[-1]", "[100]", "[1.5]", R"(["a",1])", "[[]]"}}},
      {"messages", {{R"([{"role":"user","content":"a"}])"}, {"1", "[]", "{}", "true", R"("a")", "[{}]", R"([{"role":1,"content":"a"}])"}}},
      {"text", {{R"("")", R"("a")", R"(["a","b"])"}, {"1", "[]", "{}", "[1]", R"(["a",1])"}}},
      {"input_ids", {{"[0,99]", "[[1],[2,3]]"}, {"1", "[]", "{}", R"("a")", R"(["a"])", "[-1]", "[100]", "[[]]"}}},
      {"inputs", {{R"("")", R"("a")"}, {"1", "[]", "{}", "[1]", R"(["a"])"}}},
      {"stop_sequences", {{R"("")", R"("a")", "[]", R"(["a","b"])"}, {"1", "{}", "true", R"([""])", "[1]"}}},
      {"logit_bias",
       {{"{}", R"({"0":-100,"99":100})"}, {"1", "[]", R"("a")", R"({"100":1})", R"({"0":-101})", R"({"0":101})", R"({"a":1})"}}},
      {"stop", {{R"("")", R"("a")", "[]", R"(["a","b"])"}, {"1", "{}", "true", R"([""])", "[1]"}}},
      {"stop_token_ids", {{"[]", "[0,99]"}, {"1", "{}", R"("a")", "[-1]", "[100]", "[0.5]"}}},
      {"truncation_side", {{R"("left")", R"("right")"}, {"1", "[]", "{}", R"("middle")"}}},
      {"stream_options", {{"{}"}, {"1", "[]", R"("a")", R"({"include_usage":1})", R"({"continuous_usage_stats":"a"})"}}},
      {"tools",
       {{"[]", R"([{"type":"function","function":{"name":"f"}}])"}, {"1", "{}", R"("a")", "[1]", "[{}]", R"([{"function":{"name":1}}])"}}},
      // Without tools nothing else is taken; answer_reader_test.cc has the rest.
      {"tool_choice", {{R"("none")"}, {"1", "[]", "{}", "true", R"("any")", R"({"type":"function"})", R"({"function":{"name":1}})"}}},
      {"documents", {{"[]", R"([{"text":"a"}])"}, {"1", "{}", R"("a")", R"(["a"])"}}},
      {"chat_template_kwargs", {{"{}", R"({"a":[]})"}, {"1", "[]", R"("a")", R"({"messages":[]})"}}},
      {"reasoning_effort", {{R"("none")", R"("high")"}, {"1", "[]", "{}", R"("utmost")"}}},
  };
  return probes;
}

struct ProbesOf {
  std::string_view name;

  Probes operator()(const IntegerField& field) const {
    Probes probes{{std::to_string(field.min), std::to_string(field.max)}, {R"("1")", "true", "[]", "{}", "0.5", "1e300", "-1e300"}};
    probes.refused.push_back(field.min == std::numeric_limits<std::int64_t>::min() ? "-9223372036854775809"
                                                                                   : std::to_string(field.min - 1));
    probes.refused.push_back(field.max == std::numeric_limits<std::int64_t>::max() ? "9223372036854775808" : std::to_string(field.max + 1));
    return probes;
  }
  Probes operator()(const NumberField& field) const {
    return {{fmt::format("{}", field.min), fmt::format("{}", field.max), fmt::format("{}", (field.min + field.max) / 2)},
            {R"("1")", "true", "[]", "{}", "1e300", "-1e300", fmt::format("{}", std::nextafter(field.min, -1e9)),
             fmt::format("{}", std::nextafter(field.max, 1e9))}};
  }
  Probes operator()(const FlagField&) const { return {{"true", "false"}, {"0", "1", R"("true")", "[]", "{}"}}; }
  Probes operator()(const TextField& field) const {
    const auto text = [](std::size_t bytes) { return '"' + std::string(bytes, 'a') + '"'; };
    return {{R"("")", text(field.bytes_max)}, {"1", "true", "[]", "{}", text(field.bytes_max + 1)}};
  }
  Probes operator()(const FixedField& field) const {
    Probes probes{{}, {R"("other")", "7", R"({"other":1})", R"(["other"])"}};
    const Json accepted = Json::parse(field.accepted);
    for (const Json& value : accepted) probes.taken.push_back(value.dump());
    return probes;
  }
  Probes operator()(const ModelField& field) const {
    const std::vector<std::string> never = {"1", "0", "true", "{}", "[1]", "[[]]", R"(["a","b"])"};
    if (field.read == read_model) return {{R"("a")", R"("")", R"(["a"])", "[]"}, never};
    if (field.read == read_adapter) {
      return {{R"("a")", R"("")", "[]", R"(["a","a"])", "[null,null]", R"({"name":"a","scale":1})", R"([{"name":"a"}])"}, never};
    }
    return {{}, {R"("a")", "1", "0", "true", "[]", "{}"}};
  }
  Probes operator()(const FormField&) const { return probes_of_forms().at(name); }
  Probes operator()(const ObjectField&) const { return {{"{}"}, {"1", "true", R"("a")", "[]"}}; }
};

// Where fields of one set stand: in the body, or in an object in it.
struct Place {
  Endpoint endpoint;
  FieldSet set;
  std::string object;  // empty: in the body
};

const std::vector<Place>& places() {
  static const std::vector<Place> places = {
      {Endpoint::completions, kCompletionFields, ""},
      {Endpoint::chat, kChatFields, ""},
      {Endpoint::sglang, kSglangFields, ""},
      {Endpoint::sglang, kSglangSamplingFields, "sampling_params"},
      {Endpoint::slora, kSloraFields, ""},
      {Endpoint::slora, kSloraParameterFields, "parameters"},
      {Endpoint::tgi, kTgiFields, ""},
      {Endpoint::tgi, kTgiParameterFields, "parameters"},
  };
  return places;
}

bool is_prompt(const Field& field) {
  for (const char* name : {"prompt", "messages", "text", "input_ids", "inputs"}) {
    if (field.name == name) return true;
  }
  return false;
}

Probes probes_of(const Field& field) { return std::visit(ProbesOf{field.name}, field.kind); }

// An object with one field and what it needs beside it, as JSON text.
std::string object_with(const Field& field, Endpoint endpoint, const std::string& value, bool in_body) {
  std::map<std::string, std::string> members;
  if (in_body && !is_prompt(field))
    members[std::string(words_of(endpoint).prompt)] = endpoint == Endpoint::chat ? R"([{"role":"user","content":"p"}])" : R"("p")";
  if (endpoint == Endpoint::slora && in_body) members["model_dir"] = "null";  // else the body is TGI's
  if (field.name == "top_logprobs") members["logprobs"] = "true";
  if (field.name == "max_tokens" && endpoint == Endpoint::completions) members["echo"] = "true";
  if (field.name == "stream_options") members["stream"] = "true";
  members[std::string(field.name)] = value;
  std::string body;
  for (const auto& [name, text] : members) body += (body.empty() ? "{\"" : ",\"") + name + "\":" + text;
  return body + "}";
}

// The field that is refused, or "".
std::string verdict(const Field& field, const Place& place, const std::string& value) {
  std::string body = object_with(field, place.endpoint, value, place.object.empty());
  if (!place.object.empty()) {
    const std::string_view form = place.endpoint == Endpoint::slora ? R"("model_dir":null,)" : "";
    body = fmt::format(R"({{{}"{}":"p","{}":{}}})", form, words_of(place.endpoint).prompt, place.object, body);
  }
  const Result<RequestSpec> spec = parse_request(place.endpoint, body, {kTableVocabulary});
  if (spec) return "";
  EXPECT_EQ(spec.error().code, "invalid_request_error");
  std::string param = spec.error().param;
  if (!place.object.empty() && param.starts_with(place.object + ".")) param = param.substr(place.object.size() + 1);
  return param.substr(0, param.find_first_of(".["));
}

TEST(RequestTable, EveryFieldIsHeldToItsRangeAndTypeOnEveryEndpoint) {
  std::size_t tried_count = 0;
  for (const Field& field : request_fields()) {
    for (const Place& place : places()) {
      if ((field.sets & place.set) == 0) continue;
      const Probes probes = probes_of(field);
      ASSERT_FALSE(probes.refused.empty()) << field.name;
      for (const std::string& value : probes.taken) EXPECT_EQ(verdict(field, place, value), "") << field.name << ": " << value;
      for (const std::string& value : probes.refused) EXPECT_EQ(verdict(field, place, value), field.name) << value;
      tried_count += probes.taken.size() + probes.refused.size();
    }
  }
  EXPECT_GT(tried_count, 800u);
}

TEST(RequestTable, NullIsTheSameAsAbsent) {
  for (const Field& field : request_fields()) {
    for (const Place& place : places()) {
      if ((field.sets & place.set) == 0) continue;
      EXPECT_EQ(verdict(field, place, "null"), is_prompt(field) ? words_of(place.endpoint).prompt : "") << field.name;
    }
  }
}

TEST(RequestTable, EveryFieldStandsSomewhere) {
  for (const Field& field : request_fields()) {
    EXPECT_TRUE(std::ranges::any_of(places(), [&](const Place& place) { return (field.sets & place.set) != 0; })) << field.name;
  }
}

TEST(RequestTable, NamesNoFieldTwiceOnOneEndpoint) {
  for (const Field& field : request_fields()) {
    EXPECT_FALSE(field.description.empty()) << field.name;
    const auto overlaps = [&](const Field& other) { return other.name == field.name && (other.sets & field.sets) != 0; };
    EXPECT_EQ(std::ranges::count_if(request_fields(), overlaps), 1) << field.name;
  }
}

}  // namespace
}  // namespace slora
