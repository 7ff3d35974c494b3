#include "api/request_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/constraint_fields.h"
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
      {"response_format",
       {{R"({"type":"text"})", R"({"type":"json_object"})", R"({"type":"json_schema","json_schema":{"name":"a","schema":{}}})"},
        {"1", "[]", "{}", R"("json_object")", R"({"type":"structural_tag"})", R"({"type":"json_schema"})",
         R"({"type":"json_schema","json_schema":{"name":"a"}})", R"({"type":"json_schema","json_schema":{"schema":1}})"}}},
      {"structured_outputs",
       {{R"({"json":{}})", R"({"regex":"a"})", R"({"choice":["a"]})", R"({"json_object":true})", R"({"grammar":"a","json":null})"},
        {"1", "[]", "{}", R"({"json":1})", R"({"json":{},"regex":"a"})", R"({"choice":[]})", R"({"json_object":false})",
         R"({"regex":"a","whitespace_pattern":" "})"}}},
      {"guided_json", {{"{}", "true", R"("{}")"}, {"1", "[]"}}},
      {"guided_regex", {{R"("a")"}, {"1", "[]", "{}"}}},
      {"guided_choice", {{R"(["a","b"])"}, {"1", "[]", "{}", "[1]", R"("a")"}}},
      {"guided_grammar", {{R"("root ::= \"a\"")"}, {"1", "[]", "{}"}}},
      {"grammar", {{R"("root ::= \"a\"")"}, {"1", "[]", "{}"}}},
      {"tgi grammar",
       {{R"({"type":"json","value":{}})", R"({"type":"regex","value":"a"})", R"({"type":"json_schema","value":{"schema":{}}})"},
        {"1", "[]", "{}", R"({"type":"json"})", R"({"type":"regex","value":{}})", R"({"type":"ebnf","value":"a"})"}}},
      {"json_schema", {{"{}", R"("")", R"("{}")"}, {"1", "[]"}}},
      {"regex", {{R"("")", R"("a")"}, {"1", "[]", "{}"}}},
      {"ebnf", {{R"("")", R"("root ::= \"a\"")"}, {"1", "[]", "{}"}}},
      {"structural_tag", {{R"("")", "{}", R"("{}")"}, {"1", "[]", "true"}}},
      {"reasoning_effort", {{R"("none")", R"("high")"}, {"1", "[]", "{}", R"("utmost")"}}},
  };
  return probes;
}

// Of those that /v1/responses alone has.
const std::map<std::string_view, Probes>& probes_of_response_forms() {
  static const std::map<std::string_view, Probes> probes = {
      {"input",
       {{R"("a")", R"([{"role":"user","content":"a"}])", R"([{"type":"function_call","call_id":"1","name":"f","arguments":"{}"}])"},
        {"1", "[]", "{}", "true", "[1]", "[{}]", R"([{"role":"user"}])", R"([{"type":"item_reference","id":"1"}])",
         R"([{"role":"user","content":[{"type":"input_image","image_url":"a"}]}])"}}},
      {"instructions", {{R"("")", R"("a")"}, {"1", "[]", "{}"}}},
      {"text",
       {{"{}", R"({"format":{"type":"text"}})", R"({"verbosity":"low"})"},
        {"1", "[]", R"({"format":{"type":"xml"}})", R"({"verbosity":"some"})"}}},
      {"tools",
       {{"[]", R"([{"type":"function","name":"f","parameters":{},"strict":true}])"},
        {"1", "{}", "[1]", R"([{"type":"web_search"}])", R"([{"type":"function"}])",
         R"([{"type":"function","name":"f","parameters":1}])"}}},
      {"tool_choice", {{R"("none")", R"("auto")"}, {"1", R"("required")", R"({"type":"function","name":"f"})"}}},
      {"reasoning", {{"{}", R"({"effort":"low","summary":"auto"})"}, {"1", "[]", R"({"effort":"some"})", R"({"summary":"some"})"}}},
      {"include", {{"[]", R"(["message.output_text.logprobs"])"}, {"1", "{}", "[1]", R"(["all"])"}}},
      {"truncation", {{R"("auto")", R"("disabled")"}, {"1", R"("some")"}}},
      {"metadata", {{"{}", R"({"a":"b"})"}, {"1", "[]", R"({"a":1})"}}},
      {"stream_options", {{"{}", R"({"include_obfuscation":false})"}, {"1", "[]", R"({"include_obfuscation":1})"}}},
      {"previous_response_id", {{}, {R"("resp_1")"}}},
      {"conversation", {{}, {R"("conv_1")", R"({"id":"conv_1"})"}}},
  };
  return probes;
}

// Of those that only endpoints of embeddings have.
const std::map<std::string_view, Probes>& probes_of_embedding_forms() {
  const Probes texts = {{R"("a")", R"(["a"])", R"([{"text":"a"}])"}, {"1", "[]", "[1]", "{}", R"([{"text":1}])"}};
  static const std::map<std::string_view, Probes> probes = {
      {"input", {{R"("")", "[0,99]", R"(["a"])", "[[1],[2,3]]"}, {"1", "[]", "{}", "true", "[-1]", "[100]", R"(["a",1])", "[[]]"}}},
      {"encoding_format", {{R"("float")", R"("base64")"}, {"1", R"("hex")"}}},
      {"pooling", {{R"("last")", R"("mean")"}, {"1", R"("cls")"}}},
      {"text_1", texts},
      {"queries", texts},
      {"text_2", texts},
      {"documents", texts},
      {"query", {{R"("a")"}, {"1", "[]", R"(["a"])", "{}"}}},
  };
  return probes;
}

constexpr unsigned kEmbeddingSets = kEmbeddingFields | kScoreFields | kRerankFields;

const std::map<std::string_view, Probes>& forms_of(unsigned sets) {
  if (sets == kResponseFields) return probes_of_response_forms();
  return (sets & ~kEmbeddingSets) == 0 ? probes_of_embedding_forms() : probes_of_forms();
}

struct ProbesOf {
  const Field& of;

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
  Probes operator()(const FormField& field) const {
    if (field.read == read_tgi_grammar) return probes_of_forms().at("tgi grammar");  // two fields have this name
    return forms_of(of.sets).at(of.name);
  }
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
      {Endpoint::responses, kResponseFields, ""},
      {Endpoint::embeddings, kEmbeddingFields, ""},
      {Endpoint::score, kScoreFields, ""},
      {Endpoint::rerank, kRerankFields, ""},
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
  if (field.name == "text") return field.sets == kSglangFields;
  if (field.name == "prompt") return field.sets == kCompletionFields;
  if (field.name == "documents") return field.sets != kChatFields;
  for (const char* name : {"messages", "input", "input_ids", "inputs", "text_2"}) {
    if (field.name == name) return true;
  }
  return false;
}

Probes probes_of(const Field& field) { return std::visit(ProbesOf{field}, field.kind); }

// The field of a query, which scores need in addition to documents.
std::string query_of(Endpoint endpoint) { return endpoint == Endpoint::rerank ? "query" : "queries"; }

// An object with one field and what it needs beside it, as JSON text.
std::string object_with(const Field& field, Endpoint endpoint, const std::string& value, bool in_body) {
  std::map<std::string, std::string> members;
  if (in_body && !is_prompt(field))
    members[std::string(words_of(endpoint).prompt)] = endpoint == Endpoint::chat ? R"([{"role":"user","content":"p"}])" : R"("p")";
  const bool is_query = query_of(endpoint) == field.name || field.name == "text_1";
  if (is_embedding(endpoint) && endpoint != Endpoint::embeddings && !is_query) members[query_of(endpoint)] = R"("q")";
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
      const bool is_query = field.name == query_of(place.endpoint) || field.name == "text_1";
      const std::string needed = is_query ? query_of(place.endpoint) : std::string(words_of(place.endpoint).prompt);
      EXPECT_EQ(verdict(field, place, "null"), is_query || is_prompt(field) ? needed : "") << field.name;
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
