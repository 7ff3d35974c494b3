// Adapters that extend the context: how long their requests may be, and what they share with others.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/testing/engine_fixture.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::int32_t kBaseTokens = 256;  // of the model "families"
const fs::path kAdapters = kGolden / "families" / "adapters";

std::vector<TokenId> prompt_of(std::int32_t length) {
  std::vector<TokenId> tokens;
  for (std::int32_t i = 0; i < length; ++i) tokens.push_back((i * 31 + i / 7) % 96 + 1);
  return tokens;
}

void write_json(const fs::path& path, const Json& content) {
  const fs::path finished = path.string() + ".new";
  std::ofstream(finished) << content.dump();
  fs::rename(finished, path);
}

// A copy of an adapter with further keys in its config.
void copy_adapter(const fs::path& to, const std::string& name, const Json& keys) {
  fs::copy(kAdapters / name, to, fs::copy_options::recursive);
  Json config = read_json_file((kAdapters / name / "adapter_config.json").string()).value();
  config.update(keys);
  write_json(to / "adapter_config.json", config);
}

Json factor(double value) { return {{"rope_scaling", {{"rope_type", "linear"}, {"factor", value}}}}; }

struct LongCase {
  std::string backend;
  std::int32_t shards;
};
void PrintTo(const LongCase& test, std::ostream* out) { *out << test.backend << ", " << test.shards << " shards"; }

class LongContext : public ::testing::TestWithParam<LongCase> {
 protected:
  [[nodiscard]] EngineSetting setting(const fs::path& adapters) const {
    return {.model = "families",
            .backend = GetParam().backend,
            .shards = GetParam().shards,
            .adapters = adapters,
            .max_adapter_len = 2000};  // as the tests run once more on a backend with memory of its own
  }
  // Why the request is refused.
  static std::string refusal(TestEngine& engine, const std::string& adapter, std::int32_t prompt_tokens, std::int32_t output_tokens) {
    const Status submitted = engine.engine().submit(engine.request(adapter, prompt_of(prompt_tokens), output_tokens));
    return submitted ? "accepted" : submitted.error().code + ": " + submitted.error().message;
  }
  static Stream answer(TestEngine& engine, const std::string& adapter, std::int32_t prompt_tokens, std::int32_t output_tokens = 4) {
    return engine.wait(engine.submit(engine.request(adapter, prompt_of(prompt_tokens), output_tokens)));
  }

  TemporaryFolder folder_;
};

TEST_P(LongContext, IsTheAdaptersOwnAndNobodyElses) {
  TestEngine engine(setting(kAdapters));
  ASSERT_EQ(engine.runtime().max_model_len(), kBaseTokens);
  for (const char* name : {"", "mts_norm"}) {
    EXPECT_EQ(answer(engine, name, kBaseTokens - 4).end, EndReason::length) << name;
    EXPECT_EQ(refusal(engine, name, kBaseTokens - 3, 4),
              "never_fits: 253 prompt tokens and 4 output tokens were requested; at most 3 output tokens fit after this prompt.")
        << name;
  }
  EXPECT_EQ(refusal(engine, "longlora_like", 2 * kBaseTokens - 3, 4),
            "never_fits: 509 prompt tokens and 4 output tokens were requested; at most 3 output tokens fit after this prompt.");
  EXPECT_EQ(answer(engine, "longlora_like", 2 * kBaseTokens - 4).end, EndReason::length);
  EXPECT_EQ(answer(engine, "longlora_model_config", 4 * kBaseTokens - 4).end, EndReason::length);
  EXPECT_EQ(answer(engine, "longlora_context_length", 700 - 4).end, EndReason::length);
  EXPECT_THAT(refusal(engine, "longlora_context_length", 700 - 3, 4), HasSubstr("at most 3 output tokens"));
  const AdapterStore& store = engine.runtime().adapters();
  EXPECT_EQ(store.find("longlora_like")->context_tokens_max, 2 * kBaseTokens);
  EXPECT_EQ(store.find("longlora_context_length")->context_tokens_max, 700);
  EXPECT_EQ(store.find("mts_norm")->context_tokens_max, 0);
}

TEST_P(LongContext, GivesTheSameAnswersNextToOthers) {
  const std::vector<std::pair<std::string, std::int32_t>> requests = {
      {"longlora_like", 300}, {"", 200}, {"longlora_model_config", 600}, {"mts_norm", 40}, {"longlora_context_length", 500}, {"dora", 9}};
  std::vector<Stream> alone;
  for (const auto& [name, length] : requests) {
    TestEngine engine(setting(kAdapters));
    alone.push_back(answer(engine, name, length, 12));
    EXPECT_EQ(alone.back().end, EndReason::length) << alone.back().error_message;
  }
  TestEngine engine(setting(kAdapters));
  std::vector<SequenceId> ids;
  for (const auto& [name, length] : requests) ids.push_back(engine.submit(engine.request(name, prompt_of(length), 12)));
  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(engine.wait(ids[i]), alone[i]) << requests[i].first;
}

TEST_P(LongContext, SharesNoPrefixesBetweenFactors) {
  for (const double value : {1.0, 2.0, 3.0}) copy_adapter(folder_.file("by" + std::to_string(int(value))), "mts_norm", factor(value));
  TestEngine engine(setting(folder_.path()));
  std::vector<std::vector<float>> logprobs;
  for (const char* name : {"by1", "by2", "by3"}) {
    const Stream first = answer(engine, name, 100);
    EXPECT_EQ(first.cached_tokens, 0) << name;
    for (const std::vector<float>& other : logprobs) EXPECT_NE(first.logprobs, other) << name << ": the factor is felt";
    logprobs.push_back(first.logprobs);
    const Stream second = answer(engine, name, 100);
    EXPECT_GT(second.cached_tokens, 0) << name;
    EXPECT_EQ(second.logprobs, first.logprobs) << name;
  }
}

TEST_P(LongContext, FollowsAConfigOfTheModelThatChanges) {
  copy_adapter(folder_.file("sql"), "mts_norm", Json::object());
  const fs::path model_config = fs::path(folder_.file("sql")) / "config.json";
  const auto scaled_by = [](double value) { return Json{{"rope_scaling", {{"type", "linear"}, {"factor", value}}}}; };
  TestEngine engine(setting(folder_.path()));
  const auto look = [&] { ASSERT_TRUE(engine.runtime().adapters().look_at_resident()); };
  const Stream plain = answer(engine, "sql", 100);
  write_json(model_config, scaled_by(2));
  look();
  const Stream by_two = answer(engine, "sql", 100);
  EXPECT_EQ(by_two.cached_tokens, 0);
  EXPECT_NE(by_two.logprobs, plain.logprobs);
  EXPECT_EQ(answer(engine, "sql", 300).end, EndReason::length);
  write_json(model_config, scaled_by(3));
  look();
  const Stream by_three = answer(engine, "sql", 100);
  EXPECT_EQ(by_three.cached_tokens, 0);
  EXPECT_NE(by_three.logprobs, by_two.logprobs);
  fs::remove(model_config);
  look();
  EXPECT_EQ(answer(engine, "sql", 100), plain);
  EXPECT_THAT(refusal(engine, "sql", 300, 1), HasSubstr("never_fits"));
}

TEST_P(LongContext, HasAFewFactorsAtATime) {
  for (int value = 2; value <= 6; ++value) copy_adapter(folder_.file("by" + std::to_string(value)), "mts_norm", factor(value));
  TestEngine engine(setting(folder_.path()));
  AdapterStore& store = engine.runtime().adapters();
  for (const char* name : {"by2", "by3", "by4", "by5"}) EXPECT_EQ(answer(engine, name, 20).end, EndReason::length) << name;
  const AdapterStore::Found fifth = store.resolve("by6");
  ASSERT_FALSE(fifth);
  EXPECT_EQ(fifth.error().code, "E_ROPE");
  EXPECT_THAT(fifth.error().message, HasSubstr("RoPE factor 6: expected one of those that other adapters have (2, 3, 4, 5)"));
  ASSERT_TRUE(store.remove("by3"));
  // The thread that loaded "by3" may hold it for a moment after its answer.
  for (int attempt = 0; attempt < 1000 && !store.resolve("by6"); ++attempt) ASSERT_TRUE(store.add_folder("by6", folder_.file("by6")));
  const Stream in_its_place = answer(engine, "by6", 20);
  TestEngine other(setting(folder_.path()));
  EXPECT_EQ(in_its_place, answer(other, "by6", 20));
}

TEST_P(LongContext, IsPartOfNoBlendWithAnother) {
  copy_adapter(folder_.file("plain"), "longlora_context_length", {{"context_length", nullptr}});
  copy_adapter(folder_.file("by2"), "longlora_context_length", {{"context_length", 512}});
  copy_adapter(folder_.file("also_by2"), "longlora_context_length", {{"context_length", 400}});
  TestEngine engine(setting(folder_.path()));
  AdapterStore& store = engine.runtime().adapters();
  for (const char* name : {"plain", "by2", "also_by2"}) ASSERT_TRUE(store.resolve(name));
  const auto blend = [&](const char* first, const char* second) {
    return store.find_blend(std::vector<WeightedAdapter>{{first, 0.5f}, {second, 0.25f}});
  };
  const AdapterStore::Found refused = blend("by2", "plain");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_BLEND");
  EXPECT_EQ(refused.error().message, "adapters \"by2\" and \"plain\" have different RoPE factors, and cannot be parts of one blend");
  const AdapterStore::Found blended = blend("by2", "also_by2");
  ASSERT_TRUE(blended) << blended.error().message;
  EXPECT_EQ(engine.engine().context_of(blended->get()), 400);
  GenerationRequest request = engine.request("", prompt_of(380), 4);
  request.adapter = *blended;
  const Stream stream = engine.wait(engine.submit(std::move(request)));
  EXPECT_EQ(stream.end, EndReason::length) << stream.error_message;
}

TEST_P(LongContext, IsWhatTheOperatorAllows) {
  EngineSetting limited = setting(kAdapters);
  limited.max_adapter_len = 400;
  TestEngine engine(limited);
  EXPECT_EQ(answer(engine, "longlora_like", 396).end, EndReason::length);
  EXPECT_THAT(refusal(engine, "longlora_like", 397, 4), HasSubstr("at most 3 output tokens"));

  limited.max_adapter_len = 0;
  TestEngine none(limited);
  const AdapterStore::Found refused = none.runtime().adapters().resolve("longlora_like");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_ROPE");
  EXPECT_THAT(refused.error().message, HasSubstr("--max-adapter-len"));
}

INSTANTIATE_TEST_SUITE_P(Backends, LongContext,
                         ::testing::Values(LongCase{"reference", 1}, LongCase{"cpu", 1}, LongCase{"reference", 2}, LongCase{"cpu", 2}),
                         [](const auto& test) { return test.param.backend + "_" + std::to_string(test.param.shards); });

}  // namespace
}  // namespace slora::testing
