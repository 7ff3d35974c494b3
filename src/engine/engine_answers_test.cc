// Answers are the same bits whatever else runs, however the work is cut, and whatever is cached, evicted or preempted.
#include <algorithm>

#include "engine/testing/engine_fixture.h"

namespace slora::testing {
namespace {

// Those of the folder that can be served: with shards, not all can.
std::vector<std::string> served_names(TestEngine& engine, const fs::path& adapters) {
  std::vector<std::string> names = names_in(adapters);
  std::erase_if(names, [&](const std::string& name) { return !engine.runtime().adapters().resolve(name).has_value(); });
  return names;
}

// A list of requests that mixes adapters, base, lengths, greedy and sampled; the same at every call.
std::vector<GenerationRequest> mixed_requests(TestEngine& engine, const fs::path& folder, std::int32_t output_tokens) {
  std::vector<GenerationRequest> requests;
  std::vector<std::string> adapters = served_names(engine, folder);
  for (std::size_t i = 0; i < adapters.size(); i += 4) adapters.insert(adapters.begin() + static_cast<std::ptrdiff_t>(i), "");
  int index = 0;
  for (const std::string& adapter : adapters) {
    std::vector<TokenId> prompt;
    const int length = 1 + (index * 7) % 23;
    for (int i = 0; i < length; ++i) prompt.push_back((i < 9 ? i * 5 + 3 : index * 11 + i * 3) % 90 + 1);
    GenerationRequest request = engine.request(adapter, std::move(prompt), output_tokens + index % 5);
    if (index % 3 == 1) {
      request.sampling.temperature = 0.9f;
      request.sampling.top_p = 0.9f;
      request.sampling.seed = static_cast<std::uint64_t>(index);
      request.sampling.repetition_penalty = 1.1f;
      request.sampling.frequency_penalty = 0.2f;
    }
    requests.push_back(std::move(request));
    ++index;
  }
  return requests;
}

std::vector<Stream> run_together(TestEngine& engine, const fs::path& folder, std::int32_t output_tokens) {
  std::vector<SequenceId> ids;
  for (GenerationRequest& request : mixed_requests(engine, folder, output_tokens)) ids.push_back(engine.submit(std::move(request)));
  std::vector<Stream> streams;
  for (const SequenceId id : ids) streams.push_back(engine.wait(id));
  return streams;
}

std::vector<Stream> run_one_by_one(TestEngine& engine, const fs::path& folder, std::int32_t output_tokens) {
  std::vector<Stream> streams;
  for (GenerationRequest& request : mixed_requests(engine, folder, output_tokens))
    streams.push_back(engine.wait(engine.submit(std::move(request))));
  return streams;
}

void expect_equal(const std::vector<Stream>& found, const std::vector<Stream>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].tokens, expected[i].tokens) << what << ", request " << i;
    EXPECT_EQ(found[i].logprobs, expected[i].logprobs) << what << ", request " << i;
    EXPECT_EQ(found[i].end, EndReason::length) << what << ", request " << i << ": " << found[i].error_message;
  }
}

struct AnswersCase {
  std::string backend;
  std::int32_t shards;
  std::string model = "mix32";  // "families": adapters of all families
};
void PrintTo(const AnswersCase& test, std::ostream* out) { *out << test.backend << ", " << test.shards << " shards, " << test.model; }

class EngineAnswers : public ::testing::TestWithParam<AnswersCase> {
 protected:
  static constexpr std::int32_t kOutputTokens = 12;
  [[nodiscard]] EngineSetting setting() const {
    return {.model = GetParam().model,
            .backend = GetParam().backend,
            .shards = GetParam().shards,
            .page_tokens = std::max(4, page_tokens_min()),
            .adapters = folder_};
  }
  // A page holds the longest vector of an adapter, or of KV a column block of every shard.
  [[nodiscard]] std::int32_t page_tokens_min() const { return (GetParam().model == "mix32" ? 2 : 4) * GetParam().shards; }
  [[nodiscard]] std::vector<Stream> alone() const {
    TestEngine engine(setting());
    return run_one_by_one(engine, folder_, kOutputTokens);
  }
  [[nodiscard]] std::vector<Stream> together(TestEngine& engine) const { return run_together(engine, folder_, kOutputTokens); }

  const fs::path folder_ = kGolden / GetParam().model / "adapters";
};

TEST_P(EngineAnswers, AreTheSameBitsAloneAndMixed) {
  TestEngine engine(setting());
  expect_equal(together(engine), alone(), "mixed");
}

TEST_P(EngineAnswers, AreTheSameBitsWithAnyChunkSize) {
  const std::vector<Stream> expected = alone();
  for (const std::int32_t step_tokens : {1, 2, 3, 5, 7, 16, 500}) {
    EngineSetting changed = setting();
    changed.step_tokens_max = step_tokens;
    TestEngine engine(changed);
    expect_equal(together(engine), expected, std::to_string(step_tokens) + " tokens a step");
  }
}

TEST_P(EngineAnswers, AreTheSameBitsWithAnyPageSizeAndThreadCount) {
  const std::vector<Stream> expected = alone();
  for (const std::int32_t page_tokens : {page_tokens_min(), 8, 32}) {
    EngineSetting changed = setting();
    changed.page_tokens = page_tokens;
    changed.threads = page_tokens == 8 ? 2 : 1;
    TestEngine engine(changed);
    expect_equal(together(engine), expected, std::to_string(page_tokens) + " tokens a page");
  }
}

TEST_P(EngineAnswers, AreTheSameBitsWhenPrefixesAreReused) {
  const std::vector<Stream> expected = alone();
  TestEngine engine(setting());
  expect_equal(together(engine), expected, "first time");
  const std::vector<Stream> again = together(engine);
  expect_equal(again, expected, "second time");
  EXPECT_TRUE(std::ranges::any_of(again, [](const Stream& stream) { return stream.cached_tokens > 0; })) << "nothing was reused";
}

// A pool that holds the largest adapter and a few sequences: adapters and prefixes are evicted all the time, sequences preempted.
TEST_P(EngineAnswers, AreTheSameBitsUnderEvictionAndPreemption) {
  const std::vector<Stream> expected = alone();
  EngineSetting changed = setting();
  changed.page_tokens = page_tokens_min();
  std::uint32_t largest = 0;
  {
    TestEngine engine(changed);
    for (const std::string& name : served_names(engine, folder_))
      largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
  }
  changed.page_count = largest + 60 / static_cast<std::uint32_t>(GetParam().shards);  // of which pages are as many times longer
  TestEngine engine(changed);
  for (int round = 0; round < 3; ++round) expect_equal(together(engine), expected, "round " + std::to_string(round));
  const SchedulerStats stats = engine.engine().stats().scheduler;
  EXPECT_GT(stats.adapter_evictions, 0u);
  EXPECT_GT(stats.prefix_evictions, 0u);
  EXPECT_GT(stats.preemptions, 0u);
}

INSTANTIATE_TEST_SUITE_P(Backends, EngineAnswers,
                         ::testing::Values(AnswersCase{"reference", 1}, AnswersCase{"cpu", 1}, AnswersCase{"reference", 2},
                                           AnswersCase{"cpu", 2}, AnswersCase{"reference", 1, "families"},
                                           AnswersCase{"cpu", 1, "families"}, AnswersCase{"cpu", 2, "families"}),
                         [](const auto& test) {
                           return test.param.backend + (test.param.shards == 1 ? "" : "_in_" + std::to_string(test.param.shards)) +
                                  (test.param.model == "mix32" ? "" : "_" + test.param.model);
                         });

}  // namespace
}  // namespace slora::testing
