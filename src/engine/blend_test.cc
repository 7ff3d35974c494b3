// Weighted sums of adapters against PEFT, whose layers compute each delta (tools/golden_blends.py).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/testing/engine_fixture.h"
#include "formats/json.h"
#include "formats/temporary_folder.h"

namespace slora::testing {
namespace {

using Names = std::vector<WeightedAdapter>;

struct BlendBackend {
  std::string backend;
  std::int32_t shards;
};
void PrintTo(const BlendBackend& test, std::ostream* out) { *out << test.backend << ", " << test.shards << " shards"; }

class Blends : public ::testing::TestWithParam<BlendBackend> {
 protected:
  [[nodiscard]] EngineSetting setting() const { return {.backend = GetParam().backend, .shards = GetParam().shards}; }
  [[nodiscard]] bool is_exact() const { return GetParam().backend == "reference"; }

  static std::shared_ptr<const AdapterVersion> blend(TestEngine& engine, const Names& names) {
    AdapterStore& store = engine.runtime().adapters();
    for (const WeightedAdapter& wanted : names) EXPECT_TRUE(store.resolve(wanted.name));  // looks at the folder
    AdapterStore::Found found = store.find_blend(names);
    if (!found) ADD_FAILURE() << found.error().message;
    return found.value_or(nullptr);
  }
  static GenerationRequest request(TestEngine& engine, const Names& names, std::vector<TokenId> prompt, std::int32_t output_tokens) {
    GenerationRequest request = engine.request("", std::move(prompt), output_tokens);
    request.adapter = blend(engine, names);
    request.sampling.prompt_logprob_count = 0;
    return request;
  }
};

// Until the oracle's margin is within what rounding may do.
void expect_greedy(const Stream& found, const Json& expected, float margin_min) {
  for (std::size_t i = 0; i < found.tokens.size() && expected["margins"][i].get<float>() >= margin_min; ++i)
    EXPECT_EQ(found.tokens[i], expected["greedy"][i].get<TokenId>()) << "token " << i;
}

TEST_P(Blends, AreTheWeightedSumsOfWhatPeftComputes) {
  TestEngine engine(setting());
  const Json golden = Json::parse(*read_text_file((kGolden / "mix32" / "blends.json").string(), 1 << 20));
  ASSERT_EQ(golden["blends"].size(), 4u);
  for (const Json& expected : golden["blends"]) {
    Names names;
    for (const Json& component : expected["components"]) names.push_back({component["name"], component["weight"]});
    const auto greedy_count = static_cast<std::int32_t>(expected["greedy"].size());
    const Stream found = engine.wait(engine.submit(request(engine, names, expected["ids"], greedy_count)));
    ASSERT_EQ(found.end, EndReason::length) << found.error_message;
    ASSERT_EQ(found.prompt_logprobs.size(), expected["logprobs"].size());
    for (std::size_t i = 0; i < found.prompt_logprobs.size(); ++i) {
      EXPECT_NEAR(found.prompt_logprobs[i].token.logprob, expected["logprobs"][i].get<double>(), is_exact() ? 1e-4 : 0.15)
          << names.front().name << ", position " << i;
    }
    expect_greedy(found, expected, is_exact() ? 1e-3f : 0.15f);
  }
}

// One identity for equal blends: what they share is their image and their cached prefixes.
TEST_P(Blends, AreTheSameWhateverTheOrder) {
  TestEngine engine(setting());
  const auto first = blend(engine, {{"a13_r8", 0.5f}, {"a02_r2", 2.0f}});
  EXPECT_EQ(blend(engine, {{"a02_r2", 2.0f}, {"a13_r8", 0.5f}}), first);
  EXPECT_NE(blend(engine, {{"a02_r2", 0.5f}, {"a13_r8", 2.0f}}), first);
  EXPECT_EQ(blend(engine, {{"a02_r2", 1.0f}}), *engine.runtime().adapters().resolve("a02_r2"));
  EXPECT_EQ(engine.runtime().adapters().find_blend(Names{{"a02_r2", 1.0f}, {"nobody", 1.0f}}).error().code, "not_found");
}

TEST_P(Blends, OfOneAdapterChangeWithItsWeightAndAreTheBaseWhenItIsNearZero) {
  TestEngine engine(setting());
  const std::vector<TokenId> prompt = {3, 14, 15, 92, 65, 35, 89, 79};
  const auto scores = [&](const Names& names) {
    std::vector<float> out;
    for (const PromptLogprob& entry : engine.wait(engine.submit(request(engine, names, prompt, 1))).prompt_logprobs)
      out.push_back(entry.token.logprob);
    return out;
  };
  const std::vector<float> half = scores({{"a31_r64", 0.5f}}), whole = scores({{"a31_r64", 1.0f}}), none = scores({{"a31_r64", 1e-30f}});
  EXPECT_NE(half, whole);
  EXPECT_NE(half, none);
  Stream base = engine.wait(engine.submit([&] {
    GenerationRequest plain = engine.request("", prompt, 1);
    plain.sampling.prompt_logprob_count = 0;
    return plain;
  }()));
  for (std::size_t i = 0; i < none.size(); ++i) EXPECT_EQ(none[i], base.prompt_logprobs[i].token.logprob) << i;
}

TEST_P(Blends, GiveTheSameBitsInABatchAsAlone) {
  const std::vector<Names> wanted = {
      {{"a13_r8", 0.5f}, {"a02_r2", 0.5f}}, {{"a13_r8", 1.0f}}, {{"a02_r2", 1.0f}, {"a31_r64", -0.5f}, {"a00_r1", 3.0f}}};
  const auto run = [&](bool together) {
    TestEngine engine(setting());
    std::vector<SequenceId> ids;
    std::vector<Stream> streams;
    for (int i = 0; i < 12; ++i) {
      std::vector<TokenId> prompt;
      for (int k = 0; k < 2 + i * 5 % 17; ++k) prompt.push_back((k * 7 + i % 2) % 90 + 1);
      const SequenceId id = engine.submit(request(engine, wanted[static_cast<std::size_t>(i) % 3], std::move(prompt), 9));
      if (together) {
        ids.push_back(id);
      } else {
        streams.push_back(engine.wait(id));
      }
    }
    for (const SequenceId id : ids) streams.push_back(engine.wait(id));
    return streams;
  };
  const std::vector<Stream> alone = run(false), together = run(true);
  ASSERT_EQ(alone.size(), together.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(alone[i].tokens, together[i].tokens) << i;
    EXPECT_EQ(alone[i].logprobs, together[i].logprobs) << i;
    EXPECT_EQ(alone[i].end, EndReason::length) << alone[i].error_message;
  }
}

TEST_P(Blends, OfRanksThatDoNotFitAreRefused) {
  const TemporaryFolder folder;
  Names names;
  for (int i = 0; i < 30; ++i) {  // of rank 64: more than the products of a layer have scratch for
    names.push_back({"copy" + std::to_string(i), 1.0f});
    fs::copy(kGolden / "mix32" / "adapters" / "a31_r64", fs::path(folder.path()) / names.back().name);
  }
  EngineSetting with_copies = setting();
  with_copies.adapters = folder.path();
  TestEngine engine(with_copies);
  AdapterStore& store = engine.runtime().adapters();
  for (const WeightedAdapter& copy : names) ASSERT_TRUE(store.resolve(copy.name));
  EXPECT_EQ(store.find_blend(names).error().code, "E_BLEND");
  names.resize(24);  // 24 x 64 columns: as many as one adapter of rank 512 on q, k and v
  EXPECT_EQ(engine.wait(engine.submit(request(engine, names, {1, 2, 3}, 2))).end, EndReason::length);
}

TEST(BlendsOfStoredBiases, AreRefused) {
  EngineSetting setting{.model = "llama_bias"};
  setting.adapters = kGolden / "llama_bias" / "adapters";
  TestEngine engine(setting);
  AdapterStore& store = engine.runtime().adapters();
  int refused_count = 0;
  for (const std::string& name : names_in(setting.adapters)) {
    ASSERT_TRUE(store.resolve(name));
    const AdapterStore::Found blend = store.find_blend(std::vector<WeightedAdapter>{{name, 0.5f}});
    EXPECT_EQ(store.find_version(name).value()->traits().changes_base, !blend.has_value());
    refused_count += blend ? 0 : 1;
    if (!blend) EXPECT_EQ(blend.error().code, "E_BLEND");
    EXPECT_TRUE(store.find_blend(std::vector<WeightedAdapter>{{name, 1.0f}})) << "the adapter itself";
  }
  EXPECT_GT(refused_count, 0);
}

// Whoever blends an adapter gets what its folder holds now.
TEST_P(Blends, FollowTheirComponents) {
  const TemporaryFolder folder;
  const fs::path own = fs::path(folder.path()) / "own";
  fs::copy(kGolden / "mix32" / "adapters" / "a13_r8", own);
  fs::copy(kGolden / "mix32" / "adapters" / "a02_r2", fs::path(folder.path()) / "other");
  EngineSetting with_own = setting();
  with_own.adapters = folder.path();
  TestEngine engine(with_own);
  const Names names = {{"own", 0.5f}, {"other", 1.5f}};
  const std::vector<TokenId> prompt = {3, 14, 15, 92, 65, 35};
  const auto before = blend(engine, names);
  const Stream first = engine.wait(engine.submit(request(engine, names, prompt, 4)));
  EXPECT_TRUE(before->is_resident());
  EXPECT_TRUE(before->components().front().version->is_resident()) << "as part of the blend";

  fs::remove_all(own);
  fs::copy(kGolden / "mix32" / "adapters" / "a31_r64", own);
  ASSERT_TRUE(engine.runtime().adapters().look_at_resident());
  EXPECT_TRUE(before->is_retired());
  const Stream second = engine.wait(engine.submit(request(engine, names, prompt, 4)));
  EXPECT_NE(first.logprobs, second.logprobs);

  TestEngine fresh(with_own);
  EXPECT_EQ(fresh.wait(fresh.submit(request(fresh, names, prompt, 4))), second);
}

// aLoRA: the adapters of the golden file act from the last place of their invocation tokens on.
class ActivatedAdapters : public Blends {
 protected:
  [[nodiscard]] EngineSetting setting() const {
    EngineSetting setting = Blends::setting();
    setting.adapters = kGolden / "mix32" / "activated";
    setting.step_tokens_max = 16;  // some begin within a chunk of the prompt
    return setting;
  }
  static GenerationRequest request(TestEngine& engine, const Json& expected) {
    const std::vector<TokenId> prompt = expected["ids"];
    const auto begin = expected["begin"].get<std::int32_t>();
    const bool acts = std::cmp_less(begin, prompt.size());
    GenerationRequest request =
        engine.request(acts ? expected["adapter"] : Json(""), prompt, static_cast<std::int32_t>(expected["greedy"].size()));
    request.adapter_begin = acts ? begin : 0;
    return request;
  }
  const Json golden_ = Json::parse(*read_text_file((kGolden / "mix32" / "blends.json").string(), 1 << 20))["activated"];
};

TEST_P(ActivatedAdapters, GiveWhatPeftComputes) {
  TestEngine engine(setting());
  ASSERT_EQ(golden_.size(), 16u);
  for (const Json& expected : golden_) {
    GenerationRequest wanted = request(engine, expected);
    wanted.sampling.prompt_logprob_count = 0;
    const Stream found = engine.wait(engine.submit(std::move(wanted)));
    ASSERT_EQ(found.end, EndReason::length) << found.error_message;
    for (std::size_t i = 0; i < found.prompt_logprobs.size(); ++i) {
      EXPECT_NEAR(found.prompt_logprobs[i].token.logprob, expected["logprobs"][i].get<double>(), is_exact() ? 1e-4 : 0.15)
          << expected["where"] << ", position " << i;
    }
    expect_greedy(found, expected, is_exact() ? 1e-3f : 0.15f);
  }
}

// What was computed for the base, and what other requests left in the caches, changes no bit.
TEST_P(ActivatedAdapters, ReadThePrefixesOfTheBase) {
  TestEngine shared(setting());
  std::int32_t read_count = 0;
  for (const Json& expected : golden_) {
    const std::vector<TokenId> prompt = expected["ids"];
    (void)shared.wait(shared.submit(shared.request("", prompt, 1)));
    TestEngine fresh(setting());
    const Stream alone = fresh.wait(fresh.submit(request(fresh, expected)));
    const Stream after_base = shared.wait(shared.submit(request(shared, expected)));
    EXPECT_EQ(after_base, alone) << expected["where"];
    const auto begin = expected["begin"].get<std::int32_t>();
    EXPECT_GE(after_base.cached_tokens, std::min<std::int32_t>(begin, static_cast<std::int32_t>(prompt.size()) - 1) / 4 * 4)
        << expected["where"];
    read_count += after_base.cached_tokens;
    EXPECT_EQ(shared.wait(shared.submit(request(shared, expected))), alone) << "from its own prefix";
  }
  EXPECT_GT(read_count, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, ActivatedAdapters,
                         ::testing::Values(BlendBackend{"reference", 1}, BlendBackend{"reference", 2}, BlendBackend{"cpu", 1}),
                         [](const auto& test) { return test.param.backend + "_" + std::to_string(test.param.shards); });

INSTANTIATE_TEST_SUITE_P(Backends, Blends,
                         ::testing::Values(BlendBackend{"reference", 1}, BlendBackend{"reference", 2}, BlendBackend{"cpu", 1}),
                         [](const auto& test) { return test.param.backend + "_" + std::to_string(test.param.shards); });

}  // namespace
}  // namespace slora::testing
