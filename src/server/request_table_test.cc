#include "server/request_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/json.h"
#include "server/request_parser.h"

namespace slora {
namespace {

constexpr std::int32_t kVocabulary = 100;

// Values of one field, as JSON text: to be taken, and to be refused by its name.
struct Probes {
  std::vector<std::string> taken, refused;
};

// Of fields that have a form of their own.
const std::map<std::string_view, Probes>& probes_of_forms() {
  static const std::map<std::string_view, Probes> probes = {
      {"lora_path", {{R"("a")", R"("")"}, {"1", "[]", "{}", "true"}}},
      {"adapter_id", {{R"("a")", R"("")"}, {"1", "[]", "{}", "true"}}},
      {"prompt",
       {{R"("")", "[0,99]", R"(["a"])", "[[1],[2,3]]"}, {"1", "[]", "{}", "true", "[-1]", "[100]", "[1.5]", R"(["a",1])", "[[]]"}}},
      {"messages", {{R"([{"role":"user","content":"a"}])"}, {"1", "[]", "{}", "true", R"("a")", "[{}]", R"([{"role":1,"content":"a"}])"}}},
      {"logit_bias",
       {{"{}", R"({"0":-100,"99":100})"}, {"1", "[]", R"("a")", R"({"100":1})", R"({"0":-101})", R"({"0":101})", R"({"a":1})"}}},
      {"stop", {{R"("")", R"("a")", "[]", R"(["a","b"])"}, {"1", "{}", "true", R"([""])", "[1]"}}},
      {"stop_token_ids", {{"[]", "[0,99]"}, {"1", "{}", R"("a")", "[-1]", "[100]", "[0.5]"}}},
      {"truncation_side", {{R"("left")", R"("right")"}, {"1", "[]", "{}", R"("middle")"}}},
      {"stream_options", {{"{}"}, {"1", "[]", R"("a")", R"({"include_usage":1})", R"({"continuous_usage_stats":"a"})"}}},
      {"tools",
       {{"[]", R"([{"type":"function","function":{"name":"f"}}])"}, {"1", "{}", R"("a")", "[1]", "[{}]", R"([{"function":{"name":1}}])"}}},
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
  Probes operator()(const TextField&) const { return {{R"("a")", R"("")"}, {"1", "true", "[]", "{}"}}; }
  Probes operator()(const FixedField& field) const {
    Probes probes{{}, {R"("other")", "7", R"({"other":1})", R"(["other"])"}};
    const Json accepted = Json::parse(field.accepted);
    for (const Json& value : accepted) probes.taken.push_back(value.dump());
    return probes;
  }
  Probes operator()(const FormField&) const { return probes_of_forms().at(name); }
};

// What some fields need beside them.
std::map<std::string, std::string> company_of(const Field& field, Endpoint endpoint) {
  std::map<std::string, std::string> members;
  if (endpoint == Endpoint::chat) {
    members["messages"] = R"([{"role":"user","content":"p"}])";
  } else {
    members["prompt"] = R"("p")";
  }
  if (field.name == "top_logprobs") members["logprobs"] = "true";
  if (field.name == "max_tokens" && endpoint == Endpoint::completions) members["echo"] = "true";
  if (field.name == "stream_options") members["stream"] = "true";
  return members;
}

// The field that is refused, or "".
std::string verdict(const Field& field, Endpoint endpoint, const std::string& value) {
  std::map<std::string, std::string> members = company_of(field, endpoint);
  members[std::string(field.name)] = value;
  std::string body = "{";
  for (const auto& [name, text] : members) body += (body.size() == 1 ? "\"" : ",\"") + name + "\":" + text;
  const Result<RequestSpec> spec = parse_request(endpoint, body + "}", kVocabulary);
  if (spec) return "";
  EXPECT_EQ(spec.error().code, "invalid_request_error");
  return spec.error().param.substr(0, spec.error().param.find_first_of(".["));
}

TEST(RequestTable, EveryFieldIsHeldToItsRangeAndTypeOnEveryEndpoint) {
  std::size_t tried_count = 0;
  for (const Field& field : request_fields()) {
    for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat}) {
      if ((field.sets & field_set_of(endpoint)) == 0) continue;
      const Probes probes = std::visit(ProbesOf{field.name}, field.kind);
      ASSERT_FALSE(probes.refused.empty()) << field.name;
      for (const std::string& value : probes.taken) EXPECT_EQ(verdict(field, endpoint, value), "") << field.name << ": " << value;
      for (const std::string& value : probes.refused) EXPECT_EQ(verdict(field, endpoint, value), field.name) << value;
      tried_count += probes.taken.size() + probes.refused.size();
    }
  }
  EXPECT_GT(tried_count, 500u);
}

TEST(RequestTable, NullIsTheSameAsAbsent) {
  for (const Field& field : request_fields()) {
    for (const Endpoint endpoint : {Endpoint::completions, Endpoint::chat}) {
      if ((field.sets & field_set_of(endpoint)) == 0) continue;
      const bool is_needed = field.name == "prompt" || field.name == "messages";
      EXPECT_EQ(verdict(field, endpoint, "null"), is_needed ? field.name : "");
    }
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
