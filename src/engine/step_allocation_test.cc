// A step allocates nothing after warm-up: this program counts every operator new of every thread. The mappings of a Buffer are not counted.
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <semaphore>

#include "base/testing/allocation_failure.h"
#include "constraint/testing/token_automaton.h"
#include "engine/testing/engine_fixture.h"
#include "memory/stress.h"
#include "scheduler/policies/fcfs.h"

namespace slora::testing {
namespace {

// Counts what all threads allocate from one call of the sink to the next, which is one step, while the submitting thread waits. Warm steps
// are those with a token for every sequence, except for the first few of them. With a model this small the pool's threads often find no
// work, so allocations of theirs alone show up only in some runs.
class StepCounter {
 public:
  explicit StepCounter(std::size_t sequence_count) : sequence_count_(sequence_count) { count_allocations(); }
  ~StepCounter() { (void)end_failures(); }
  StepCounter(const StepCounter&) = delete;
  StepCounter& operator=(const StepCounter&) = delete;

  Engine::EventSink sink() {
    return [this](std::vector<TokenEvent>&& events) {
      held_.wait(true);
      const std::size_t count = allocation_count() - count_before_;
      const auto ended = std::ranges::count_if(events, [](const TokenEvent& event) { return event.end.has_value(); });
      if (events.size() == sequence_count_ && ended == 0 && ++full_steps_ > kWarmUpSteps) {
        ++warm_steps_;
        allocations_ += count;
      }
      if (ended > 0) ended_.release(ended);
      count_before_ = allocation_count();
    };
  }
  // Holds the engine in the sink, so that all sequences that are submitted until let_go() start together.
  void hold() { held_ = true; }
  void let_go() {
    held_ = false;
    held_.notify_all();
  }
  void wait_for_ends() {
    for (std::size_t i = 0; i < sequence_count_; ++i) ASSERT_TRUE(ended_.try_acquire_for(std::chrono::seconds(120)));
  }
  [[nodiscard]] std::size_t warm_steps() const { return warm_steps_; }
  [[nodiscard]] std::size_t allocations() const { return allocations_; }

 private:
  static constexpr std::size_t kWarmUpSteps = 4;

  const std::size_t sequence_count_;
  std::size_t count_before_ = 0, full_steps_ = 0;  // of the engine thread
  std::atomic<std::size_t> warm_steps_{0}, allocations_{0};
  std::counting_semaphore<> ended_{0};
  std::atomic<bool> held_{false};
};

struct AllocationCase {
  int threads;
  std::int32_t shards;
  std::string model = "mix32";
  std::vector<std::string> adapters = {"", "a21_r16", "a14_r8", "", "a21_r16", "a16_r9", "", "a14_r8"};
  std::shared_ptr<const CompiledConstraint> constraint{};  // of every second sequence
};
void PrintTo(const AllocationCase& test, std::ostream* out) {
  *out << test.threads << " threads, " << test.shards << " shards, " << test.model << (test.constraint == nullptr ? "" : ", constrained");
}
const AllocationCase kFamilies{
    2,
    1,
    "families",
    {"", "dora", "ia3_feedforward", "vera_mixed_shapes", "flora_r3", "mts_embed_head_norm", "tokens_map", "adalora_full"}};

const AllocationCase kConstrained{2, 1, "mix32", {"", "a21_r16", "a14_r8", ""}, TokenAutomaton::random(1, 100, 3)};

class StepAllocation : public ::testing::TestWithParam<AllocationCase> {};
INSTANTIATE_TEST_SUITE_P(Threads, StepAllocation,
                         ::testing::Values(AllocationCase{1, 1}, AllocationCase{2, 1}, AllocationCase{2, 2}, kFamilies, kConstrained));

TEST_P(StepAllocation, NothingIsAllocatedInAWarmStep) {
  constexpr std::int32_t kOutputTokens = 150;  // 37 new pages for each
  const std::vector<std::string>& adapters = GetParam().adapters;
  StepCounter counter(adapters.size());
  RuntimeOptions options;
  options.model_folder = kGolden / GetParam().model;
  options.model_name = GetParam().model;
  options.backend = "cpu";
  options.threads = GetParam().threads;
  options.shard_count = GetParam().shards;
  options.page_tokens = 4;
  options.step_tokens_max = 64;
  options.running_max = 16;
  options.pool_bytes = std::uint64_t{64} << 20;
  options.adapter_folders = {kGolden / GetParam().model / "adapters"};
  options.adapter_look_interval = std::chrono::hours(1);  // looks at folders allocate on threads of their own
  Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), counter.sink());
  ASSERT_TRUE(runtime) << runtime.error().message;
  Engine& engine = (*runtime)->engine();

  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    GenerationRequest& request = requests.emplace_back();
    std::vector<TokenId> prompt;
    for (std::size_t token = 0; token < 3 + 5 * i; ++token) prompt.push_back(static_cast<TokenId>(2 + (7 * i + token) % 60));
    request.prompt = std::move(prompt);
    if (!adapters[i].empty()) request.adapter = (*runtime)->adapters().resolve(adapters[i]).value();
    request.sampling.temperature = i % 2 == 0 ? 0.0f : 0.8f;
    if (i % 4 == 1) request.sampling.top_p = 0.9f;
    if (i == 3) request.sampling.top_k = 20;
    if (i == 4) request.sampling.repetition_penalty = 1.2f;
    if (i == 5) request.sampling.presence_penalty = 0.5f;
    if (i >= 6) request.sampling.logprob_count = 5;
    request.sampling.seed = i;
    request.client = ClientId{1 + i % 3};
    if (i % 2 == 1) request.constraint = GetParam().constraint;
  }
  for (const std::int32_t output_tokens : {1, kOutputTokens}) {  // the first round loads the adapters
    counter.hold();
    for (GenerationRequest request : requests) {
      request.id = engine.next_sequence_id();
      request.output_tokens_max = output_tokens;
      EXPECT_TRUE(engine.submit(std::move(request)));
    }
    counter.let_go();
    counter.wait_for_ends();
  }
  EXPECT_GT(counter.warm_steps(), 100u);
  EXPECT_EQ(engine.stats().scheduler.preemptions > 0, kStressMode == StressMode::force_preempt);
  EXPECT_EQ(counter.allocations(), 0u);
}

// A scheduler with a sequence that runs, for 90 steps after its prompt.
struct RunningSequence {
  RunningSequence() {
    add(1, prompt, 90);
    step();
  }
  void add(std::uint64_t id, std::vector<TokenId> tokens, std::int32_t output_tokens_max) {
    ASSERT_TRUE(scheduler.add(
        {.id = SequenceId{id}, .tenant = {}, .client = {}, .prompt = std::move(tokens), .output_tokens_max = output_tokens_max}));
  }
  void step() {
    scheduler.schedule(plan, Timestamp{});
    result.rows.assign(static_cast<std::size_t>(plan.output_row_count), RowResult{7, RowOutcome::goes_on});
    scheduler.commit(plan, result, ended);
  }
  std::size_t allocations_of_steps(int count) {
    count_allocations();
    for (int i = 0; i < count; ++i) step();
    return end_failures();
  }

  const std::vector<TokenId> prompt = [] {
    std::vector<TokenId> tokens(100);
    std::iota(tokens.begin(), tokens.end(), 10);
    return tokens;
  }();
  Scheduler scheduler{[] {
                        SchedulerOptions options;
                        options.page_count = 50;
                        options.page_tokens = 4;
                        options.running_max = 8;
                        options.preempted_every = 0;
                        return options;
                      }(),
                      std::make_unique<FcfsPolicy>()};
  StepPlan plan;
  StepResult result;
  std::vector<SequenceEnd> ended;
};

TEST(SchedulerAllocation, NothingIsAllocatedWhileTheHeadOfTheLineDoesNotFitNextToItsCachedPrefix) {
  RunningSequence running;
  std::vector<TokenId> longer(running.prompt.begin(), running.prompt.begin() + 40);  // ten pages are cached
  longer.resize(150, 5);
  running.add(2, longer, 10);
  for (int i = 0; i < 5; ++i) running.step();
  EXPECT_EQ(running.allocations_of_steps(60), 0u);
  EXPECT_EQ(running.scheduler.stats().waiting, 1u);
  EXPECT_EQ(running.scheduler.check_invariants(), "");
}

}  // namespace
}  // namespace slora::testing
