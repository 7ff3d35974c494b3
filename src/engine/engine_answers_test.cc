// Answers are the same bits whatever else runs, however the work is cut, and whatever is cached, evicted or preempted.
#include <algorithm>

#include "engine/testing/engine_fixture.h"

namespace slora::testing {
namespace {

// A list of requests that mixes adapters, base, lengths, greedy and sampled; the same at every call.
std::vector<GenerationRequest> mixed_requests(TestEngine& engine, std::int32_t output_tokens) {
  std::vector<GenerationRequest> requests;
  std::vector<std::string> adapters = adapter_names();
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

std::vector<Stream> run_together(TestEngine& engine, std::int32_t output_tokens) {
  std::vector<SequenceId> ids;
  for (GenerationRequest& request : mixed_requests(engine, output_tokens)) ids.push_back(engine.submit(std::move(request)));
  std::vector<Stream> streams;
  for (const SequenceId id : ids) streams.push_back(engine.wait(id));
  return streams;
}

std::vector<Stream> run_one_by_one(TestEngine& engine, std::int32_t output_tokens) {
  std::vector<Stream> streams;
  for (GenerationRequest& request : mixed_requests(engine, output_tokens))
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
};
void PrintTo(const AnswersCase& test, std::ostream* out) { *out << test.backend << ", " << test.shards << " shards"; }

class EngineAnswers : public ::testing::TestWithParam<AnswersCase> {
 protected:
  static constexpr std::int32_t kOutputTokens = 12;
  [[nodiscard]] EngineSetting setting() const { return {.backend = GetParam().backend, .shards = GetParam().shards}; }
  [[nodiscard]] std::vector<Stream> alone() const {
    TestEngine engine(setting());
    return run_one_by_one(engine, kOutputTokens);
  }
};

TEST_P(EngineAnswers, AreTheSameBitsAloneAndMixed) {
  TestEngine engine(setting());
  expect_equal(run_together(engine, kOutputTokens), alone(), "mixed");
}

TEST_P(EngineAnswers, AreTheSameBitsWithAnyChunkSize) {
  const std::vector<Stream> expected = alone();
  for (const std::int32_t step_tokens : {1, 2, 3, 5, 7, 16, 500}) {
    EngineSetting changed = setting();
    changed.step_tokens_max = step_tokens;
    TestEngine engine(changed);
    expect_equal(run_together(engine, kOutputTokens), expected, std::to_string(step_tokens) + " tokens a step");
  }
}

TEST_P(EngineAnswers, AreTheSameBitsWithAnyPageSizeAndThreadCount) {
  const std::vector<Stream> expected = alone();
  for (const std::int32_t page_tokens : {2 * GetParam().shards, 8, 32}) {
    EngineSetting changed = setting();
    changed.page_tokens = page_tokens;
    changed.threads = page_tokens == 8 ? 2 : 1;
    TestEngine engine(changed);
    expect_equal(run_together(engine, kOutputTokens), expected, std::to_string(page_tokens) + " tokens a page");
  }
}

TEST_P(EngineAnswers, AreTheSameBitsWhenPrefixesAreReused) {
  const std::vector<Stream> expected = alone();
  TestEngine engine(setting());
  expect_equal(run_together(engine, kOutputTokens), expected, "first time");
  const std::vector<Stream> again = run_together(engine, kOutputTokens);
  expect_equal(again, expected, "second time");
  EXPECT_TRUE(std::ranges::any_of(again, [](const Stream& stream) { return stream.cached_tokens > 0; })) << "nothing was reused";
}

// A pool that holds the largest adapter and a few sequences: adapters and prefixes are evicted all the time, sequences preempted.
TEST_P(EngineAnswers, AreTheSameBitsUnderEvictionAndPreemption) {
  const std::vector<Stream> expected = alone();
  EngineSetting changed = setting();
  changed.page_tokens = 2 * GetParam().shards;
  std::uint32_t largest = 0;
  {
    TestEngine engine(changed);
    for (const std::string& name : adapter_names()) largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
  }
  changed.page_count = largest + 60;
  TestEngine engine(changed);
  for (int round = 0; round < 3; ++round) expect_equal(run_together(engine, kOutputTokens), expected, "round " + std::to_string(round));
  const SchedulerStats stats = engine.engine().stats().scheduler;
  EXPECT_GT(stats.adapter_evictions, 0u);
  EXPECT_GT(stats.prefix_evictions, 0u);
  EXPECT_GT(stats.preemptions, 0u);
}

INSTANTIATE_TEST_SUITE_P(Backends, EngineAnswers,
                         ::testing::Values(AnswersCase{"reference", 1}, AnswersCase{"cpu", 1}, AnswersCase{"reference", 2},
                                           AnswersCase{"cpu", 2}),
                         [](const auto& test) {
                           return test.param.backend + (test.param.shards == 1 ? "" : "_in_" + std::to_string(test.param.shards));
                         });

}  // namespace
}  // namespace slora::testing
