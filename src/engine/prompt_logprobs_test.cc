// Log-probabilities of prompts: equal to what decoding gives for the same tokens, with the same bits in any batch.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/testing/engine_fixture.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora::testing {
namespace {

// As text, so that failures show the difference and floats are compared by their bits.
std::string text_of(const TokenLogprob& entry) { return fmt::format("{}:{:a}", entry.token, entry.logprob); }
std::string text_of(const std::vector<TokenLogprob>& top) {
  std::string text;
  for (const TokenLogprob& entry : top) text += ' ' + text_of(entry);
  return text;
}
std::string text_of(const std::vector<PromptLogprob>& logprobs) {
  std::string text;
  for (const PromptLogprob& entry : logprobs) {
    text +=
        fmt::format("{} rank {},{}\n", text_of(TokenLogprob{entry.token.id, entry.token.logprob}), entry.rank, text_of(entry.token.top));
  }
  return text;
}

// An adapter of lm_head: rows of one batch need different heads.
void write_head_adapter(const TemporaryFolder& folder, const ModelConfig& config) {
  constexpr std::int64_t kRank = 3;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.2f);
  const auto draw = [&](std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal(random);
    return values;
  };
  const std::string config_file =
      folder.write("head/adapter_config.json",
                   R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 6, "target_modules": ["lm_head"]})");
  const std::string weights_file = fs::path(config_file).replace_filename("adapter_model.safetensors").string();
  const std::vector<float> a = draw(kRank * config.hidden_size), b = draw(config.vocab_size * kRank);
  const Status written = write_safetensors(
      weights_file, {tensor_to_write("base_model.model.lm_head.lora_A.weight", DType::f32, {kRank, config.hidden_size}, a),
                     tensor_to_write("base_model.model.lm_head.lora_B.weight", DType::f32, {config.vocab_size, kRank}, b)});
  check(written.has_value(), "expected to write a head adapter");
}

class PromptLogprobs : public ::testing::TestWithParam<std::string> {
 protected:
  PromptLogprobs() {
    for (const std::string& name : adapters_) {
      if (!name.empty() && name != "head") fs::copy(kGolden / "mix32" / "adapters" / name, fs::path(folder_.path()) / name);
    }
    write_head_adapter(folder_, *read_model_config((kGolden / "mix32").string()));
  }
  [[nodiscard]] EngineSetting setting() const { return {.backend = GetParam(), .adapters = folder_.path()}; }

  // Prompts of 1 to 70 tokens that begin alike, for base and adapters, most of them scored; the same at every call.
  [[nodiscard]] std::vector<GenerationRequest> requests(TestEngine& engine) const {
    std::vector<GenerationRequest> out;
    for (int i = 0; i < 40; ++i) {
      std::vector<TokenId> prompt;
      for (int k = 0; k <= (i * 29) % 70; ++k) prompt.push_back((k < 24 ? k * 5 + 3 : i * 11 + k * 3) % 90 + 1);
      GenerationRequest request = engine.request(adapters_[static_cast<std::size_t>(i) % adapters_.size()], std::move(prompt), 1 + i % 7);
      request.sampling.prompt_logprob_count = std::array{0, -1, 4, 20, 0}[static_cast<std::size_t>(i) % 5];
      if (i % 3 == 1) {
        request.sampling.temperature = 0.9f;
        request.sampling.seed = static_cast<std::uint64_t>(i);
        request.sampling.repetition_penalty = 1.3f;
      }
      out.push_back(std::move(request));
    }
    return out;
  }

  std::vector<Stream> run_together(TestEngine& engine) const {
    std::vector<SequenceId> ids;
    for (GenerationRequest& request : requests(engine)) ids.push_back(engine.submit(std::move(request)));
    std::vector<Stream> streams;
    for (const SequenceId id : ids) streams.push_back(engine.wait(id));
    return streams;
  }
  // One after the other, each prompt in one step.
  [[nodiscard]] std::vector<Stream> run_alone() const {
    EngineSetting alone = setting();
    alone.step_tokens_max = 200;
    TestEngine engine(alone);
    std::vector<Stream> streams;
    for (GenerationRequest& request : requests(engine)) streams.push_back(engine.wait(engine.submit(std::move(request))));
    return streams;
  }

  static void expect_equal(const std::vector<Stream>& found, const std::vector<Stream>& expected, const std::string& what) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(text_of(found[i].prompt_logprobs), text_of(expected[i].prompt_logprobs)) << what << ", request " << i;
      EXPECT_EQ(found[i].tokens, expected[i].tokens) << what << ", request " << i;
      EXPECT_EQ(found[i].end, EndReason::length) << what << ", request " << i << ": " << found[i].error_message;
    }
  }

  const std::vector<std::string> adapters_ = {"", "a14_r8", "head", "", "a31_r64", "a34_lora_bias", "head"};
  const TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Backends, PromptLogprobs, ::testing::Values("reference", "cpu"), [](const auto& test) { return test.param; });

TEST_P(PromptLogprobs, AreOfEveryTokenButTheFirst) {
  TestEngine engine(setting());
  for (const std::string& adapter : adapters_) {
    for (const std::size_t length : {1, 2, 17}) {
      std::vector<TokenId> prompt(length);
      std::iota(prompt.begin(), prompt.end(), 7);
      GenerationRequest request = engine.request(adapter, prompt, 1);
      request.sampling.prompt_logprob_count = kTopTokensMax;
      const Stream stream = engine.wait(engine.submit(std::move(request)));
      ASSERT_EQ(stream.prompt_logprobs.size() + 1, length);
      for (std::size_t i = 0; i + 1 < length; ++i) {
        const PromptLogprob& entry = stream.prompt_logprobs[i];
        EXPECT_EQ(entry.token.id, prompt[i + 1]);
        ASSERT_EQ(std::ssize(entry.token.top), kTopTokensMax);
        if (entry.rank > kTopTokensMax) continue;
        const TokenLogprob& own = entry.token.top[static_cast<std::size_t>(entry.rank) - 1];
        EXPECT_EQ(text_of(own), text_of(TokenLogprob{entry.token.id, entry.token.logprob})) << "a token stands where its rank says";
      }
    }
  }
}

// Every token as the one that follows: each has a rank of its own, and their probabilities are 1 together.
TEST_P(PromptLogprobs, AreADistributionOverTheVocabulary) {
  TestEngine engine(setting());
  const auto vocab = static_cast<std::size_t>(engine.runtime().model_config().vocab_size);
  for (const std::string adapter : {"", "head"}) {
    std::vector<SequenceId> ids;
    for (TokenId token = 0; std::cmp_less(token, vocab); ++token) {
      GenerationRequest request = engine.request(adapter, {7, token}, 1);
      request.sampling.prompt_logprob_count = 0;
      ids.push_back(engine.submit(std::move(request)));
    }
    std::vector<bool> is_taken(vocab + 1);
    double sum = 0;
    for (const SequenceId id : ids) {
      const Stream stream = engine.wait(id);
      ASSERT_EQ(stream.prompt_logprobs.size(), 1u);
      const auto rank = static_cast<std::size_t>(stream.prompt_logprobs[0].rank);
      ASSERT_TRUE(rank >= 1 && rank <= vocab && !is_taken[rank]) << rank;
      is_taken[rank] = true;
      sum += std::exp(static_cast<double>(stream.prompt_logprobs[0].token.logprob));
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

TEST_P(PromptLogprobs, AreRefusedForMoreTokensThanAStepReports) {
  TestEngine engine(setting());
  GenerationRequest request = engine.request("", {1, 2, 3}, 1);
  request.sampling.prompt_logprob_count = kTopTokensMax + 1;
  const Status refused = engine.engine().submit(std::move(request));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "too_many_logprobs");
}

TEST_P(PromptLogprobs, AreOnlyGivenIfRequested) {
  TestEngine engine(setting());
  EXPECT_TRUE(engine.wait(engine.submit(engine.request("head", {1, 2, 3}, 2))).prompt_logprobs.empty());
}

TEST_P(PromptLogprobs, AreWhatDecodingGivesForTheSameTokens) {
  constexpr std::int32_t kOutputTokens = 20;
  TestEngine engine(setting());
  for (const std::string& adapter : adapters_) {
    const std::vector<TokenId> prompt = {4, 8, 15, 16, 23, 42};
    GenerationRequest generate = engine.request(adapter, prompt, kOutputTokens);
    generate.sampling.logprob_count = 6;
    generate.sampling.temperature = 0.8f;  // log-probabilities are of the model, before temperature
    generate.sampling.seed = 3;
    const Stream generated = engine.wait(engine.submit(std::move(generate)));

    std::vector<TokenId> whole = prompt;
    whole.insert(whole.end(), generated.tokens.begin(), generated.tokens.end());
    GenerationRequest score = engine.request(adapter, whole, 1);
    score.sampling.prompt_logprob_count = 6;
    const Stream scored = engine.wait(engine.submit(std::move(score)));
    EXPECT_EQ(scored.cached_tokens, 0);
    ASSERT_EQ(scored.prompt_logprobs.size() + 1, whole.size());
    for (std::size_t i = 0; i < generated.tokens.size(); ++i) {
      const PromptLogprob& entry = scored.prompt_logprobs[prompt.size() - 1 + i];
      EXPECT_EQ(entry.token.id, generated.tokens[i]);
      EXPECT_EQ(entry.token.logprob, generated.logprobs[i]) << adapter << ", output token " << i;
      EXPECT_EQ(text_of(entry.token.top), text_of(generated.top[i])) << adapter << ", output token " << i;
    }
  }
}

TEST_P(PromptLogprobs, AreTheSameBitsAloneAndMixedWithAnyChunkSizeAndBlock) {
  const std::vector<Stream> expected = run_alone();
  for (const std::int32_t step_tokens : {1, 3, 8, 33, 64, 500}) {
    for (const std::int32_t running : {2, 64}) {  // which makes blocks of 32 or 64 rows of logits
      EngineSetting changed = setting();
      changed.step_tokens_max = step_tokens;
      changed.running_max = running;
      TestEngine engine(changed);
      expect_equal(run_together(engine), expected, fmt::format("{} tokens a step, {} sequences", step_tokens, running));
    }
  }
}

TEST_P(PromptLogprobs, AreTheSameBitsWithAnyPageSizeAndThreadCount) {
  const std::vector<Stream> expected = run_alone();
  for (const std::int32_t page_tokens : {2, 8, 32}) {
    EngineSetting changed = setting();
    changed.page_tokens = page_tokens;
    changed.threads = page_tokens == 8 ? 1 : 3;
    TestEngine engine(changed);
    expect_equal(run_together(engine), expected, fmt::format("{} tokens a page", page_tokens));
  }
}

TEST_P(PromptLogprobs, AreComputedWhateverIsCached) {
  const std::vector<Stream> expected = run_alone();
  TestEngine engine(setting());
  expect_equal(run_together(engine), expected, "first time");
  const std::vector<Stream> again = run_together(engine);
  expect_equal(again, expected, "second time");
  bool others_read = false;
  for (const Stream& stream : again) {
    const bool is_scored = !stream.prompt_logprobs.empty();
    EXPECT_TRUE(!is_scored || stream.cached_tokens == 0);
    others_read |= stream.cached_tokens > 0;
  }
  EXPECT_TRUE(others_read) << "sequences that are not scored reused nothing";
}

// A pool for little more than two of the longest: prompts are preempted when half scored, and computed again.
TEST_P(PromptLogprobs, AreGivenOnceWhenSequencesArePreempted) {
  const std::vector<Stream> expected = run_alone();
  EngineSetting changed = setting();
  changed.page_tokens = 2;
  changed.step_tokens_max = 11;
  std::uint32_t largest = 0;
  {
    TestEngine engine(changed);
    for (const std::string& name : adapters_) {
      if (!name.empty()) largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
    }
  }
  changed.page_count = largest + 60;
  TestEngine engine(changed);
  for (int round = 0; round < 3; ++round) expect_equal(run_together(engine), expected, fmt::format("round {}", round));
  EXPECT_GT(engine.engine().stats().scheduler.preemptions, 0u);
}

}  // namespace
}  // namespace slora::testing
