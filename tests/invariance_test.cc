// Answers are the same bits whatever the batch, the chunks, the pages and the threads.
#include <gtest/gtest.h>

#include <string>

#include "golden_model.h"

namespace slora::testing {
namespace {

struct InvarianceCase {
  std::string backend, model, adapter;
};

// What ctest prints of a case.
void PrintTo(const InvarianceCase& test, std::ostream* out) { *out << test.backend << ' ' << test.model << ' ' << test.adapter; }

class Invariance : public ::testing::TestWithParam<InvarianceCase> {
 protected:
  [[nodiscard]] GoldenModel make(int threads, std::int32_t page_tokens, std::uint64_t page_seed) const {
    return GoldenModel(GetParam().model,
                       {.backend = GetParam().backend, .threads = threads, .page_tokens = page_tokens, .page_seed = page_seed});
  }
  static const AdapterView* adapter_of(GoldenModel& model) {
    return GetParam().adapter.empty() ? nullptr : model.adapter(GetParam().adapter);
  }

  const std::vector<TokenId> prompt_ = Expected(GetParam().model).tokens("ids.3");
};

TEST_P(Invariance, AgainstEveryCutOfThePrompt) {
  GoldenModel model = make(1, 4, 1);
  const AdapterView* adapter = adapter_of(model);
  const auto whole = model.run_alone(prompt_, adapter);
  for (std::size_t cut = 1; cut < prompt_.size(); ++cut) {
    const int stream = static_cast<int>(cut);
    const auto cut_at = prompt_.begin() + static_cast<std::ptrdiff_t>(cut);
    auto rows = model.run({{stream, {prompt_.begin(), cut_at}, adapter}});
    const auto rest = model.run({{stream, {cut_at, prompt_.end()}, adapter}});
    rows.insert(rows.end(), rest.begin(), rest.end());
    ASSERT_EQ(rows, whole) << "cut at " << cut;
  }
}

TEST_P(Invariance, AgainstDecodingTokenByToken) {
  GoldenModel model = make(1, 4, 1);
  const AdapterView* adapter = adapter_of(model);
  const auto whole = model.run_alone(prompt_, adapter);
  for (std::size_t i = 0; i < prompt_.size(); ++i) ASSERT_EQ(model.run({{1, {prompt_[i]}, adapter}}).front(), whole[i]) << "token " << i;
}

TEST_P(Invariance, AgainstPageSizePagePlacesAndThreads) {
  GoldenModel model = make(1, 4, 1);
  const auto whole = model.run_alone(prompt_, adapter_of(model));
  for (const std::int32_t page_tokens : {4, 8, 16, 32, 64}) {
    for (const int threads : {1, 2, 3}) {
      GoldenModel other = make(threads, page_tokens, static_cast<std::uint64_t>(17 * page_tokens + threads));
      ASSERT_EQ(other.run_alone(prompt_, adapter_of(other)), whole) << page_tokens << " tokens a page, " << threads << " threads";
    }
  }
}

TEST_P(Invariance, AgainstTheRestOfTheBatch) {
  GoldenModel model = make(2, 4, 1);
  const AdapterView* adapter = adapter_of(model);
  const auto whole = model.run_alone(prompt_, adapter);
  for (int others = 1; others <= 20; ++others) {
    model.forget_streams();
    std::vector<Piece> pieces;
    for (int i = 0; i < others; ++i) {
      const std::size_t length = 1 + static_cast<std::size_t>(7 * i + others) % prompt_.size();
      pieces.push_back({i + 1, {prompt_.end() - static_cast<std::ptrdiff_t>(length), prompt_.end()}, i % 2 == 0 ? adapter : nullptr});
    }
    pieces.push_back({0, prompt_, adapter});
    const auto rows = model.run(pieces);
    const std::vector<std::vector<float>> own(rows.end() - static_cast<std::ptrdiff_t>(prompt_.size()), rows.end());
    ASSERT_EQ(own, whole) << others << " other spans";
  }
}

std::vector<InvarianceCase> cases() {
  std::vector<InvarianceCase> out;
  for (const char* backend : {"reference", "cpu"}) {
    out.push_back({backend, "llama2_mha", ""});
    out.push_back({backend, "llama2_mha", "all_linear_r16_bf16"});
    out.push_back({backend, "llama2_mha", "k_r256"});
    out.push_back({backend, "mistral_sliding", "all_linear_r16_bf16"});
    out.push_back({backend, "qwen2_bias", "bias_all"});
    out.push_back({backend, "qwen3_norms", "patterns_rslora"});
    out.push_back({backend, "mixtral", "all_linear_r4"});
    out.push_back({backend, "gemma2", "all_linear_r7"});
    out.push_back({backend, "gemma3_text", "norms_r4"});
    out.push_back({backend, "granite", "all_linear_r6"});
    out.push_back({backend, "olmo3", "all_linear_r6"});
    out.push_back({backend, "phi3_longrope", "fused_r6"});
    out.push_back({backend, "smollm3_window", ""});
  }
  out.push_back({"cpu", "qwen2_moe", "all_linear_r5"});
  out.push_back({"cpu", "qwen3_moe", "experts_r6"});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Backends, Invariance, ::testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.backend + "_" + test.param.model + "_" + (test.param.adapter.empty() ? "base" : test.param.adapter);
});

}  // namespace
}  // namespace slora::testing
