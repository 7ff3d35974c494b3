// The network on the CUDA backend against transformers and peft (tests/golden/README.md): on an emulated device, or on a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cuda_device.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

constexpr BackendCase kCuda{"cuda", false};

GoldenModel::Options on_cuda(std::int32_t page_tokens = 4) {
  return {.page_tokens = page_tokens, .make_backend = [] { return open_cuda_device().backend; }};
}

// Adapters that change norms, the embedding or rows of the head, and sparse ones, by how golden ones are called.
bool is_refused(const std::string& adapter) {
  return adapter.ends_with("_mts") || adapter.ends_with("_tokens") ||
         std::ranges::any_of(std::array{"emb_", "grown_", "ln_tuning", "longlora_like", "mts_", "tokens_", "shira"},
                             [&](const char* prefix) { return adapter.starts_with(prefix); });
}

// Those of families whose ops the backend has.
std::vector<std::string> served_models() {
  std::vector<std::string> models = golden_models_with("expected.safetensors");
  std::erase_if(models, [](const std::string& name) { return read_model_config(golden_folder(name))->needs_further_ops(); });
  return models;
}

class CudaGolden : public ::testing::TestWithParam<std::string> {
 protected:
  Expected expected_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Models, CudaGolden, ::testing::ValuesIn(served_models()), [](const auto& test) { return test.param; });

TEST_P(CudaGolden, LogitsOfTheBaseEqualTransformers) {
  GoldenModel model(GetParam(), on_cuda());
  int compared = 0;
  for (const std::string& ids : expected_.names_with("ids.")) {
    const std::string prompt = ids.substr(4);
    if (!expected_.has("logits." + prompt)) continue;
    expect_close(model.run_alone(expected_.tokens(ids)), expected_.floats("logits." + prompt), kCuda, "prompt " + prompt);
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST_P(CudaGolden, AdaptersGiveTheLogitsOfPeft) {
  const std::string folder = golden_folder(GetParam()) + "/adapters";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "a model without adapters";
  GoldenModel model(GetParam(), on_cuda());
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string adapter = entry.path().filename().string();
    if (is_refused(adapter)) {
      EXPECT_TRUE(model.refuses(adapter)) << adapter;
      ++compared;
      continue;
    }
    for (const std::string& name : expected_.names_with("logits." + adapter + ".")) {
      const std::string prompt = name.substr(name.rfind('.') + 1);
      expect_close(model.run_alone(expected_.tokens("ids." + prompt), model.adapter(adapter)), expected_.floats(name), kCuda, name);
      ++compared;
    }
    const std::string tail = "logits_tail." + adapter;
    if (!expected_.has(tail)) continue;
    expect_close(model.run_alone(expected_.tokens("ids." + adapter), model.adapter(adapter)), expected_.floats(tail), kCuda, tail);
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

// Prompts of a model, each under an adapter or none, in one forward pass.
class Mixture {
 public:
  explicit Mixture(const std::string& name) : expected_(name), model_(name, on_cuda()) {}

  // `name`: of the logits that the oracle has.
  void add(const std::string& name, const std::string& prompt, const std::string& adapter = "") {
    const AdapterView* const view = adapter.empty() ? nullptr : model_.adapter(adapter);
    pieces_.push_back({static_cast<int>(pieces_.size()), expected_.tokens("ids." + prompt), view});
    names_.push_back(name);
  }

  // Each as the oracle has it alone, with the same bits as alone.
  void expect_each_as_alone() {
    const std::vector<std::vector<float>> rows = model_.run(pieces_);
    std::size_t row = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const std::vector<std::vector<float>> own(rows.begin() + static_cast<std::ptrdiff_t>(row),
                                                rows.begin() + static_cast<std::ptrdiff_t>(row + pieces_[i].tokens.size()));
      row += pieces_[i].tokens.size();
      expect_close(own, expected_.floats(names_[i]), kCuda, names_[i]);
      EXPECT_EQ(own, model_.run_alone(pieces_[i].tokens, pieces_[i].adapter)) << names_[i] << ": the same bits alone as in the batch";
    }
  }

 private:
  Expected expected_;
  GoldenModel model_;
  std::vector<Piece> pieces_;
  std::vector<std::string> names_;
};

TEST(CudaMixedBatch, OfAdaptersAndBaseRowsEqualsEachAlone) {
  Mixture mixture("mix32");
  mixture.add("logits.2", "2");
  for (const char* const adapter : {"a00_r1", "a07_r4", "a11_r7", "a19_r13", "a22_r16", "a23_r17", "a28_r47"}) {
    mixture.add(std::string("logits_tail.") + adapter, adapter, adapter);
  }
  mixture.add("logits.1", "1");
  mixture.expect_each_as_alone();
}

TEST(CudaMixedBatch, OfAllFamiliesEqualsEachAlone) {
  Mixture mixture("families");
  mixture.add("logits.2", "2");
  const std::vector<std::string> tails = Expected("families").names_with("logits_tail.");
  EXPECT_GE(tails.size(), 29u);
  for (const std::string& tail : tails) {
    const std::string adapter = tail.substr(12);
    if (is_refused(adapter)) continue;
    mixture.add(tail, adapter, adapter);
  }
  mixture.add("logits.1", "1");
  mixture.expect_each_as_alone();
}

// However a prompt is cut and in whatever pages it lies, its logits have the same bits.
TEST(CudaMixedBatch, CutsAndPagesChangeNoBit) {
  for (const char* const name : {"mistral_sliding", "llama2_mha"}) {
    const Expected expected(name);
    std::vector<TokenId> prompt = expected.tokens(expected.names_with("ids.").back());
    prompt.resize(std::min<std::size_t>(prompt.size(), 24));
    GoldenModel model(name, on_cuda());
    const std::vector<std::vector<float>> whole = model.run_alone(prompt);
    std::vector<std::vector<float>> cut;
    for (std::size_t begin = 0, count = 1; begin < prompt.size(); begin += count, count = count % 9 + 3) {
      const auto first = prompt.begin() + static_cast<std::ptrdiff_t>(begin);
      const std::vector<TokenId> part(first, first + static_cast<std::ptrdiff_t>(std::min(count, prompt.size() - begin)));
      for (std::vector<float>& row : model.run({{1, part, nullptr}})) cut.push_back(std::move(row));
    }
    EXPECT_EQ(cut, whole) << name;
    EXPECT_EQ(GoldenModel(name, on_cuda(16)).run_alone(prompt), whole) << name << ": other pages";
  }
}

}  // namespace
}  // namespace slora::testing
