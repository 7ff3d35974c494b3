#include "api/model_fields.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/request_preparer.h"
#include "api/request_table.h"
#include "api/testing/found_model.h"
#include "api/testing/scripted_generator.h"
#include "api/testing/text_model_folder.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

// A path's form, and where in its body fields may stand.
struct BodyPlace {
  Endpoint endpoint;
  FieldSet set;
  std::string_view object;  // empty: in the body
};
constexpr BodyPlace kBodyPlaces[] = {
    {Endpoint::completions, kCompletionFields, ""},
    {Endpoint::chat, kChatFields, ""},
    {Endpoint::responses, kResponseFields, ""},
    {Endpoint::embeddings, kEmbeddingFields, ""},
    {Endpoint::sglang, kSglangFields, ""},
    {Endpoint::sglang, kSglangSamplingFields, "sampling_params"},
    {Endpoint::slora, kSloraFields, ""},
    {Endpoint::slora, kSloraParameterFields, "parameters"},
    {Endpoint::tgi, kTgiFields, ""},
    {Endpoint::tgi, kTgiParameterFields, "parameters"},
};

// The scripted generator has the adapters "fine", in the folder adapters/fine, and "broken".
class ModelFieldsTest : public ::testing::Test {
 protected:
  ModelFieldsTest() {
    generator.on_look = [this](const AdapterVersion& version) { (void)texts.of(version); };
  }
  // A body whose field stands at the place.
  static Json body_with(const BodyPlace& place, std::string_view field, const Json& value) {
    Json body = Json::object();
    body[words_of(place.endpoint).prompt] = place.endpoint == Endpoint::chat ? Json{{{"role", "user"}, {"content", "Hi"}}} : Json("Hi");
    if (place.endpoint == Endpoint::slora) body["model_dir"] = nullptr;
    (place.object.empty() ? body : body[place.object])[field] = value;
    return body;
  }
  // The name of the adapter that answers, "base", or the code and field of the refusal.
  std::string answered_by(Endpoint endpoint, const Json& body) const {
    const Result<PreparedRequest> request = preparer.prepare(endpoint, body.dump());
    if (!request) return request.error().code + " " + request.error().param;
    return request->adapter ? request->adapter->name() : "base";
  }
  Result<std::shared_ptr<const TextModel>> text_of(const Json& body, const ModelAccess& access = {}) const {
    std::vector<std::string> looked_at;
    return preparer.text_of(body, found_model(preparer, body, access, looked_at));
  }
  std::string complete(std::string_view fields) const {
    return answered_by(Endpoint::completions, Json::parse(fmt::format(R"({{"prompt":"Hi",{}}})", fields)));
  }
  std::string message_of(std::string_view fields) const {
    const auto request = preparer.prepare(Endpoint::completions, fmt::format(R"({{"prompt":"Hi",{}}})", fields));
    return request ? "" : request.error().message;
  }

  // The value of the first name of `way`, such as "a[1].b", so that `value` stands at its end.
  static std::string nested(std::string_view way, std::string value) {
    const std::size_t last = way.find_last_of(".[");
    if (last == std::string_view::npos) return value;
    if (way[last] == '.') return nested(way.substr(0, last), fmt::format(R"({{"{}":{}}})", way.substr(last + 1), value));
    const std::string before = way.substr(last + 1) == "0]" ? "" : "{},";
    return nested(way.substr(0, last), fmt::format("[{}{}]", before, value));
  }

  static constexpr std::int32_t kModelFieldsVocabulary = 200000;
  const TextModelFolder folder{"{}", "{{ messages[0].content }}"};
  ScriptedGenerator generator;
  AdapterTexts texts{folder.load(kModelFieldsVocabulary)};
  const RequestPreparer preparer{{"base", "org/also:7b"}, kModelFieldsVocabulary, texts, generator};
};

std::vector<std::string_view> names_read_by(Status (*read)(RequestSpec&, const std::string&, const Json&)) {
  std::vector<std::string_view> names;
  for (const Field& field : request_fields()) {
    const auto* selecting = std::get_if<ModelField>(&field.kind);
    if (selecting != nullptr && selecting->read == read) names.push_back(field.name);
  }
  return names;
}

TEST_F(ModelFieldsTest, EveryWayToNameAModelIsFollowedOrRefusedByNameInEveryPlaceOfEveryEndpoint) {
  const auto at = [](const BodyPlace& place, std::string_view name) {
    return place.object.empty() ? std::string(name) : fmt::format("{}.{}", place.object, name);
  };
  const auto refused = [](const std::string& verdict, const std::string& field) {
    return verdict.starts_with("invalid_request_error " + field);
  };
  ASSERT_GE(names_read_by(read_adapter).size(), 20u);
  for (const BodyPlace& place : kBodyPlaces) {
    for (const std::string_view name : names_read_by(read_model)) {
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "fine")), "fine") << at(place, name);
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "base:fine")), "fine") << at(place, name);
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "nobody")), "model_not_found " + at(place, name));
      EXPECT_PRED2(refused, answered_by(place.endpoint, body_with(place, name, 7)), at(place, name));
    }
    for (const std::string_view name : names_read_by(read_adapter)) {
      const Json good = {
          "fine", {"fine"}, {{"name", "fine"}, {"scale", 1.0}}, {{{"name", "fine"}}}, "adapters/fine", {{"path", "adapters/fine"}}};
      for (const Json& value : good) {
        EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, value)), "fine") << at(place, name) << value;
      }
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "nobody")), "model_not_found " + at(place, name));
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "broken")), "E_RANK " + at(place, name));
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, nullptr)), "base") << at(place, name);
      const Json bad = {0, 1, true, {"fine", "nobody"}, Json::object(), {{{"id", 0}, {"scale", 1}}}, {{"name", "fine"}, {"scale", 0}}};
      for (const Json& value : bad)
        EXPECT_PRED2(refused, answered_by(place.endpoint, body_with(place, name, value)), at(place, name)) << value;
    }
    for (const std::string_view name : names_read_by(read_unserved_adapter)) {
      for (const Json& value : Json{0, "fine", Json::object()})
        EXPECT_PRED2(refused, answered_by(place.endpoint, body_with(place, name, value)), at(place, name)) << value;
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, nullptr)), "base");
    }
    // Fields that nobody is known to have.
    for (const char* name : {"loraPath", "LoRA", "use_lora", "x-adapter-name", "activeAdapters", "peft_model_id", "my.lora"}) {
      EXPECT_PRED2(refused, answered_by(place.endpoint, body_with(place, name, "fine")), at(place, name));
      EXPECT_EQ(answered_by(place.endpoint, body_with(place, name, "")), "base") << "says nothing";
    }
    EXPECT_PRED2(refused, answered_by(place.endpoint, body_with(place, "extra_body", {{"adapter_id", "fine"}})),
                 at(place, "extra_body.adapter_id"));
  }
}

TEST_F(ModelFieldsTest, FieldsThatOnlySoundAlikeAreIgnored) {
  for (const char* field : {"exploration", "floral", "metadata", "adaptive", "flora_and_fauna"})
    EXPECT_EQ(complete(fmt::format(R"("{}":{{"a":1}})", field)), "base");
  EXPECT_EQ(complete(R"("metadata":{"adapter":"sql"})"), "base") << "the client's own labels";
  EXPECT_EQ(complete(R"("extra_body":{"top_k":5})"), "base");
}

TEST_F(ModelFieldsTest, SelectionsAreFoundAtAnyDepthOfUnknownFields) {
  for (const char* way : {"a.loraPath", "a.b.lora", "a[1].adapter_id", "a[0][0].b.c[0].peft"}) {
    EXPECT_EQ(complete(R"("a":)" + nested(way, R"("fine")")), fmt::format("invalid_request_error {}", way));
    EXPECT_EQ(complete(R"("a":)" + nested(way, "null")), "base") << "says nothing";
  }
  EXPECT_EQ(complete(R"("a":{"metadata":{"lora":"x"},"b":{"model":"x","flora":"y"}})"), "base") << "labels, and a word of many meanings";
}

TEST_F(ModelFieldsTest, SglangsBaseAndAdapterInOneName) {
  EXPECT_EQ(complete(R"("model":"base:fine")"), "fine");
  EXPECT_EQ(complete(R"("model":"org/also:7b:fine")"), "fine") << "a base's name may have a colon";
  EXPECT_EQ(complete(R"("model":"base:fine","lora_path":"fine")"), "fine");
  EXPECT_EQ(complete(R"("model":"base:fine","lora_path":"base:fine")"), "fine");
  EXPECT_EQ(complete(R"("model":"base:broken")"), "E_RANK model");
  for (const char* unknown : {"base:", "base:nobody", "base:base", "other:fine", ":fine", "fine:base", "base:base:fine"})
    EXPECT_EQ(complete(fmt::format(R"("model":"{}")", unknown)), "model_not_found model") << unknown;
}

TEST_F(ModelFieldsTest, PeersObjectsNameTheirAdapter) {
  EXPECT_EQ(complete(R"("lora_request":{"lora_name":"fine","lora_int_id":1,"lora_path":"adapters/fine"})"), "fine");
  EXPECT_EQ(complete(R"("merged_adapters":{"ids":["fine"],"weights":[1.0],"merge_strategy":"linear","density":0.5})"), "fine");
  EXPECT_EQ(complete(R"("lora":[{"id":"fine","scale":1.0}])"), "fine");
  EXPECT_EQ(complete(R"("lora_request":{"lora_name":"fine","lora_int_id":1,"lora_path":"/elsewhere"})"),
            "invalid_request_error lora_request.lora_path");
  EXPECT_EQ(complete(R"("merged_adapters":{"ids":["fine","fine"],"weights":[0.5,0.5]})"), "invalid_request_error merged_adapters.ids");
  EXPECT_EQ(complete(R"("merged_adapters":{"ids":["fine"],"weights":[0.5]})"), "invalid_request_error merged_adapters.weights");
  EXPECT_EQ(complete(R"("merged_adapters":{"ids":["fine"],"weights":[1],"merge_strategy":"ties"})"),
            "invalid_request_error merged_adapters.merge_strategy");
  EXPECT_EQ(complete(R"("lora":[{"id":0,"scale":1.0}])"), "invalid_request_error lora[0].id") << "llama.cpp's numbers";
  EXPECT_EQ(complete(R"("adapter":{"name":"fine","revision":"v2"})"), "invalid_request_error adapter.revision");
  EXPECT_EQ(complete(R"("adapter_id":"fine","adapter_source":"s3")"), "invalid_request_error adapter_source");
}

TEST_F(ModelFieldsTest, WeightedAdaptersAreABlend) {
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"name":"good","weight":-2}])"), "0.5 x fine + -2 x good");
  EXPECT_EQ(complete(R"("adapters":[{"name":"good"},{"name":"fine","weight":0.5}])"), "0.5 x fine + 1 x good") << "by name";
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.25}])"), "0.25 x fine");
  EXPECT_EQ(complete(R"("lora":[{"id":"fine","scale":0.25},{"id":"good","scale":1}])"), "0.25 x fine + 1 x good");
  EXPECT_EQ(complete(R"("lora_request":{"lora_name":"fine","lora_scale":0.25,"lora_int_id":1})"), "0.25 x fine");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine"},{"name":"fine"}])"), "fine") << "the same adapter, as PEFT's names of a batch";
  EXPECT_EQ(complete(R"("model":"base","adapters":[{"name":"adapters/fine","weight":3}])"), "3 x fine") << "its folder's end";
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":2}],"lora":[{"id":"fine","scale":2}])"), "2 x fine");
}

TEST_F(ModelFieldsTest, BlendsThatMeanNothingAreRefused) {
  const std::string refused = "invalid_request_error ";
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"name":"fine","weight":1}])"), refused + "adapters");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},"good"])"), refused + "adapters");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"weight":1}])"), refused + "adapters[1]");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0}, {"name":"good"}])"), refused + "adapters[0].weight");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":1e9},{"name":"good"}])"), refused + "adapters[0].weight");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":1e-60},{"name":"good"}])"), refused + "adapters[0].weight");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":"1"},{"name":"good"}])"), refused + "adapters[0].weight");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":"1"}])"), refused + "adapters[0].weight");
  EXPECT_EQ(complete(R"("adapter":{"name":"fine","weight":true})"), refused + "adapter.weight");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","path":"x"},{"name":"good"}])"), refused + "adapters[0].path");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","rank":1},{"name":"good"}])"), refused + "adapters[0].rank");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"name":"nobody"}])"), "model_not_found adapters");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"name":"base"}])"), refused + "adapters");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":0.5},{"name":"broken"}])"), "E_RANK adapters");
  EXPECT_EQ(complete(R"("model":"fine","adapters":[{"name":"fine","weight":0.5}])"), refused + "model");
  EXPECT_EQ(complete(R"("lora_name":"fine","adapters":[{"name":"fine","weight":0.5}])"), refused + "lora_name");
  EXPECT_EQ(complete(R"("adapters":[{"name":"fine","weight":2}],"lora":[{"id":"fine","scale":3}])"), refused + "lora");
  std::string many;
  for (int i = 0; i < 17; ++i) many += fmt::format(R"({}{{"name":"a{}","weight":2}})", i > 0 ? "," : "", i);
  EXPECT_EQ(complete(fmt::format(R"("adapters":[{}])", many)), refused + "adapters");
}

// As PEFT's calculate_alora_offsets: from the last place of the whole sequence on.
TEST_F(ModelFieldsTest, AnActivatedAdapterActsFromItsInvocationOn) {
  const auto begins = [&](std::string_view prompts) {
    const auto request = preparer.prepare(Endpoint::completions, fmt::format(R"({{"model":"late","prompt":{}}})", prompts));
    std::vector<std::optional<std::int32_t>> out;
    if (request) {
      for (const PreparedRequest::Prompt& prompt : request->prompts) out.push_back(prompt.adapter_begin);
    }
    return out;
  };
  using Begins = std::vector<std::optional<std::int32_t>>;
  EXPECT_EQ(begins("[[1,7,8,2],[7,8],[7,8,1,7,8,3],[7,7,8],[1,2,7],[8,7]]"), (Begins{1, 0, 3, 1, std::nullopt, std::nullopt}));
}

TEST_F(ModelFieldsTest, DifferentAnswersToOneQuestionAreRefused) {
  EXPECT_EQ(complete(R"("adapter_id":"fine","lora":"nobody")"), "invalid_request_error lora");
  EXPECT_EQ(complete(R"("model":"fine","model_name":"base")"), "invalid_request_error model_name");
  EXPECT_EQ(complete(R"("model":"nobody","adapter":"fine")"), "invalid_request_error adapter");
  EXPECT_EQ(complete(R"("model":"fine","adapter":"base")"), "invalid_request_error adapter");
  EXPECT_EQ(complete(R"("model":"base","adapter":"fine","lora_name":["fine"])"), "fine");
}

TEST_F(ModelFieldsTest, NoWayToNameAnAdapterPassesTheCallersKey) {
  const ModelAccess only_base({"base"}), only_fine({"fine"});
  const auto found = [&](Json body, const ModelAccess& access) {
    body["prompt"] = "a";
    const Result<PreparedRequest> request = preparer.prepare(Endpoint::completions, body.dump(), access);
    EXPECT_EQ(text_of(body, access).has_value(), request.has_value() || body.size() == 1);
    return request ? request->model_name : request.error().code;
  };
  const Json ways = {{{"model", "fine"}}, {{"model", "base:fine"}}, {{"lora_path", "fine"}}, {{"lora", {{{"id", "fine"}}}}}};
  for (const Json& body : ways) {
    EXPECT_EQ(found(body, only_base), "model_not_found") << body;
    EXPECT_NE(found(body, only_fine), "model_not_found") << body;
  }
  EXPECT_EQ(found({{"prompt", "a"}}, only_fine), "model_not_found");
  EXPECT_EQ(found({{"lora_path", "adapters/fine"}}, only_base), "model_not_found");
  EXPECT_EQ(found({{"lora_path", "adapters/fine"}}, only_fine), "model_not_found") << "folders are for callers who may name every model";
}

TEST_F(ModelFieldsTest, RefusalsSayWhatToWrite) {
  EXPECT_THAT(message_of(R"("lora":[{"id":3}])"),
              HasSubstr("lora[0].id: expected the name of an adapter, found 3; write the adapter's name in \"model\""));
  EXPECT_THAT(message_of(R"("lora_task_id":3)"), HasSubstr("found 3; write the adapter's name in \"model\""));
  EXPECT_THAT(message_of(R"("loraPath":"fine")"), HasSubstr("loraPath"));
  EXPECT_THAT(message_of(R"("adapter_id":"nobody")"), HasSubstr("adapter_id: The model \"nobody\" does not exist"));
}

TEST_F(ModelFieldsTest, AreTakenOutOfABodyForEndpointsWithFewFields) {
  const Json body = Json::parse(R"({"prompt":"a","model":"m","lora":null,"xLora":1,"extra_body":{"lora":"b"},"options":{},"n":2})");
  EXPECT_EQ(model_members(body), Json::parse(R"({"model":"m","lora":null,"xLora":1,"extra_body":{"lora":"b"}})"));
  for (const auto& read : {read_model, read_adapter, read_unserved_adapter}) {
    for (const std::string_view name : names_read_by(read)) EXPECT_EQ(model_members({{name, "a"}, {"b", 1}}).size(), 1u) << name;
  }
  EXPECT_EQ(complete(R"("model":"fine")"), "fine");  // its texts are read
  EXPECT_TRUE(text_of({{"lora_path", "fine"}, {"other", 1}}));
  EXPECT_EQ(text_of({{"adapterId", "fine"}}).error().param, "adapterId");
  EXPECT_TRUE(text_of({{"other", 1}}));
}

}  // namespace
}  // namespace slora
