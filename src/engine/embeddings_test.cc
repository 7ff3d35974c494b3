// Embeddings of prompts: those of transformers and PEFT, with the same bits in any batch.
#include <cmath>
#include <numeric>

#include "engine/testing/engine_fixture.h"
#include "formats/safetensors.h"

namespace slora::testing {
namespace {

// One of the oracle's embeddings, and what it is of.
struct Embedding {
  std::string name, adapter;
  Pooling pooling;
  std::vector<TokenId> prompt;
  std::vector<float> expected;
};

template <class T>
std::vector<T> read_tensor(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  check(info != nullptr, "expected a tensor of golden data");
  std::vector<T> out(info->bytes / sizeof(T));
  check(file.read(*info, std::as_writable_bytes(std::span(out))).has_value(), "expected readable golden data");
  return out;
}

std::vector<Embedding> golden_embeddings(const std::string& model) {
  const SafetensorsFile prompts = SafetensorsFile::open((kGolden / model / "expected.safetensors").string()).value();
  const SafetensorsFile file = SafetensorsFile::open((kGolden / model / "embeddings.safetensors").string()).value();
  std::vector<Embedding> embeddings;
  for (const TensorInfo& info : file.tensors()) {
    const std::string key = info.name.substr(5);
    embeddings.push_back({info.name, key.size() == 1 ? "" : key, info.name.starts_with("last") ? Pooling::last : Pooling::mean,
                          read_tensor<TokenId>(prompts, "ids." + key), read_tensor<float>(file, info.name)});
  }
  return embeddings;
}

EngineSetting setting_of(const std::string& model, const std::string& backend) {
  EngineSetting setting{.model = model, .backend = backend, .page_tokens = 16, .page_count = 3000};
  setting.adapters = kGolden / model / "adapters";
  return setting;
}

GenerationRequest request_of(TestEngine& engine, const Embedding& embedding) {
  GenerationRequest request = engine.request(embedding.adapter, embedding.prompt, 1);
  request.pooling = embedding.pooling;
  return request;
}

std::vector<std::vector<float>> run_together(TestEngine& engine, const std::vector<Embedding>& embeddings) {
  std::vector<SequenceId> ids;
  for (const Embedding& embedding : embeddings) {
    ids.push_back(engine.submit(request_of(engine, embedding)));
    (void)engine.submit(engine.request(embedding.adapter, embedding.prompt, 9));  // generations in the same batch
  }
  std::vector<std::vector<float>> found;
  for (const SequenceId id : ids) found.push_back(engine.wait(id).embedding);
  return found;
}

class Embeddings : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Backends, Embeddings, ::testing::Values("reference", "cpu"), [](const auto& test) { return test.param; });

void expect_close(const std::vector<float>& found, const Embedding& embedding, bool is_exact) {
  ASSERT_EQ(found.size(), embedding.expected.size()) << embedding.name;
  double difference = 0, size = 0, largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double delta = static_cast<double>(found[i]) - static_cast<double>(embedding.expected[i]);
    difference += delta * delta;
    size += static_cast<double>(embedding.expected[i]) * static_cast<double>(embedding.expected[i]);
    largest = std::max(largest, std::abs(delta));
  }
  if (is_exact) {
    EXPECT_LE(largest, 1e-4) << embedding.name;
  } else {
    EXPECT_LE(std::sqrt(difference / size), 2e-2) << embedding.name;
  }
}

TEST_P(Embeddings, AreThoseOfTransformersAndPeft) {
  for (const char* model : {"families", "mix32", "qwen3_norms"}) {
    const std::vector<Embedding> embeddings = golden_embeddings(model);
    TestEngine engine(setting_of(model, GetParam()));
    const std::vector<std::vector<float>> found = run_together(engine, embeddings);
    for (std::size_t i = 0; i < embeddings.size(); ++i) expect_close(found[i], embeddings[i], GetParam() == "reference");
    EXPECT_GE(embeddings.size(), 4u);
  }
}

TEST_P(Embeddings, AreThoseOfShards) {
  const std::vector<Embedding> embeddings = golden_embeddings("mix32");
  EngineSetting setting = setting_of("mix32", GetParam());
  setting.shards = 2;
  TestEngine engine(setting);
  const std::vector<std::vector<float>> found = run_together(engine, embeddings);
  for (std::size_t i = 0; i < embeddings.size(); ++i) expect_close(found[i], embeddings[i], GetParam() == "reference");
}

TEST_P(Embeddings, HaveTheSameBitsHoweverTheyAreComputed) {
  const std::vector<Embedding> embeddings = golden_embeddings("mix32");
  std::vector<std::vector<float>> alone;
  {
    EngineSetting setting = setting_of("mix32", GetParam());
    setting.step_tokens_max = 200;
    TestEngine engine(setting);
    for (const Embedding& embedding : embeddings) alone.push_back(engine.wait(engine.submit(request_of(engine, embedding))).embedding);
  }
  for (const std::int32_t step_tokens : {5, 16, 64}) {
    EngineSetting setting = setting_of("mix32", GetParam());
    setting.page_tokens = 4;
    setting.step_tokens_max = step_tokens;
    TestEngine engine(setting);
    EXPECT_EQ(run_together(engine, embeddings), alone) << step_tokens;
  }
}

TEST_P(Embeddings, OfTheMeanReadNoCachedPrefixAndStoreTheirs) {
  TestEngine engine(setting_of("mix32", GetParam()));
  std::vector<TokenId> prompt(70);
  std::iota(prompt.begin(), prompt.end(), 5);
  const auto run = [&](Pooling pooling) {
    GenerationRequest request = engine.request("a14_r8", prompt, 1);
    request.pooling = pooling;
    return engine.wait(engine.submit(std::move(request)));
  };
  const Stream mean = run(Pooling::mean), last = run(Pooling::last);
  EXPECT_EQ(mean.cached_tokens, 0);
  EXPECT_GE(last.cached_tokens, 64) << "the mean's prefixes are stored";
  const Stream again = run(Pooling::mean);
  EXPECT_EQ(again.cached_tokens, 0);
  EXPECT_EQ(again.embedding, mean.embedding);
  EXPECT_NE(last.embedding, mean.embedding);
}

TEST_P(Embeddings, SurvivePreemption) {
  std::vector<TokenId> prompt(60);
  std::iota(prompt.begin(), prompt.end(), 3);
  const auto run_with = [&](std::uint32_t page_count) {
    EngineSetting setting = setting_of("mix32", GetParam());
    setting.adapters.clear();
    setting.page_tokens = 4;
    setting.page_count = page_count;
    setting.step_tokens_max = 12;
    TestEngine engine(setting);
    std::vector<SequenceId> generations, pooled;
    for (int i = 0; i < 12; ++i) {
      generations.push_back(engine.submit(engine.request("", {static_cast<TokenId>(i + 1)}, 60)));
      GenerationRequest request = engine.request("", prompt, 1);
      request.prompt = std::vector<TokenId>(prompt.begin() + i, prompt.end());
      request.pooling = i % 2 == 0 ? Pooling::mean : Pooling::last;
      pooled.push_back(engine.submit(std::move(request)));
    }
    std::vector<std::vector<float>> found;
    for (const SequenceId id : pooled) found.push_back(engine.wait(id).embedding);
    for (const SequenceId id : generations) EXPECT_EQ(engine.wait(id).end, EndReason::length);
    return std::pair(std::move(found), engine.engine().stats().scheduler.preemptions);
  };
  const auto [roomy, none] = run_with(2000);
  const auto [tight, preemptions] = run_with(60);
  EXPECT_EQ(none, 0u);
  EXPECT_GT(preemptions, 0u);
  EXPECT_EQ(tight, roomy);
}

}  // namespace
}  // namespace slora::testing
