// Answers that must have a form: the same bits whatever else happens, and nobody waits for the masks of others.
#include <atomic>
#include <chrono>
#include <semaphore>
#include <set>
#include <thread>

#include "backend/testing/delayed_backend.h"
#include "constraint/testing/scripted_constraint.h"
#include "constraint/testing/token_automaton.h"
#include "engine/testing/engine_fixture.h"

namespace slora::testing {
namespace {

constexpr std::int32_t kVocabulary = 100;  // of mix32, at least

using Tokens = ConstraintScript::Tokens;

// Allows the tokens that `allowed` gives for the number of tokens before; complete after `length`.
ConstraintScript script_of_length(std::size_t length, std::vector<TokenId> allowed) {
  return {.allowed = [allowed](Tokens) { return allowed; }, .is_complete = [length](Tokens tokens) { return tokens.size() >= length; }};
}

std::shared_ptr<const CompiledConstraint> compiled(ConstraintScript script) {
  return std::make_shared<ScriptedConstraint>(std::move(script));
}

// Every second one is constrained.
std::vector<GenerationRequest> mixed_requests(TestEngine& engine) {
  std::vector<GenerationRequest> requests;
  std::vector<std::string> adapters = adapter_names();
  adapters.resize(7);
  adapters.insert(adapters.begin(), {"", ""});
  for (std::size_t i = 0; i < 2 * adapters.size(); ++i) {
    std::vector<TokenId> prompt;
    for (std::size_t k = 0; k < 1 + i * 5 % 17; ++k) prompt.push_back(static_cast<TokenId>((i * 11 + k * 3) % 90 + 1));
    GenerationRequest request = engine.request(adapters[i / 2], std::move(prompt), 14 + static_cast<std::int32_t>(i % 4));
    request.sampling.seed = i;
    request.sampling.logprob_count = 3;
    if (i % 3 != 0) request.sampling.temperature = 0.9f;
    if (i % 3 == 1) request.sampling.top_p = 0.9f;
    if (i % 5 == 2) request.sampling.repetition_penalty = 1.2f;
    if (i % 2 == 1) request.constraint = TokenAutomaton::random(i, kVocabulary, 1 + static_cast<std::int32_t>(i) * 3);
    requests.push_back(std::move(request));
  }
  return requests;
}

void expect_same(const Stream& found, const Stream& expected, const std::string& what) {
  EXPECT_EQ(found.tokens, expected.tokens) << what;
  EXPECT_EQ(found.logprobs, expected.logprobs) << what;
  EXPECT_EQ(found.end, expected.end) << what << ": " << found.error_message;
}

std::vector<Stream> run_alone(const EngineSetting& setting) {
  TestEngine engine(setting);
  std::vector<Stream> streams;
  for (GenerationRequest& request : mixed_requests(engine)) streams.push_back(engine.wait(engine.submit(std::move(request))));
  return streams;
}

std::vector<Stream> run_together(TestEngine& engine) {
  std::vector<SequenceId> ids;
  for (GenerationRequest& request : mixed_requests(engine)) ids.push_back(engine.submit(std::move(request)));
  std::vector<Stream> streams;
  for (const SequenceId id : ids) streams.push_back(engine.wait(id));
  return streams;
}

void expect_same(const std::vector<Stream>& found, const std::vector<Stream>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) expect_same(found[i], expected[i], what + ", request " + std::to_string(i));
}

struct ConstrainedCase {
  std::string label, backend;
  std::int32_t shards = 1;
  int delayed_depth = 0;
  bool replays = false;
};
void PrintTo(const ConstrainedCase& test, std::ostream* out) { *out << test.label; }

class ConstrainedAnswers : public ::testing::TestWithParam<ConstrainedCase> {
 protected:
  [[nodiscard]] EngineSetting setting() {
    EngineSetting setting{.backend = GetParam().backend, .shards = GetParam().shards};
    if (GetParam().delayed_depth == 0) return setting;
    const DelayedBackend::Options delay{
        .depth = GetParam().delayed_depth, .seed = 7, .replayed_count = GetParam().replays ? &replayed_count_ : nullptr};
    setting.wrap_backend = [delay](std::unique_ptr<Backend> inner) { return std::make_unique<DelayedBackend>(std::move(inner), delay); };
    return setting;
  }

  std::atomic<std::uint64_t> replayed_count_{0};
};

INSTANTIATE_TEST_SUITE_P(Backends, ConstrainedAnswers,
                         ::testing::Values(ConstrainedCase{"reference", "reference"}, ConstrainedCase{"cpu", "cpu"},
                                           ConstrainedCase{"cpu_in_2", "cpu", 2}, ConstrainedCase{"depth_1", "reference", 1, 1},
                                           ConstrainedCase{"depth_2", "reference", 1, 2},
                                           ConstrainedCase{"depth_2_replaying", "cpu", 1, 2, true}),
                         [](const auto& test) { return test.param.label; });

TEST_P(ConstrainedAnswers, AreTheSameBitsWhateverElseRunsAndHaveTheirForm) {
  const std::vector<Stream> expected = run_alone({.backend = GetParam().backend, .shards = GetParam().shards});
  TestEngine engine(setting());
  expect_same(run_together(engine), expected, "mixed");
  const std::vector<GenerationRequest> requests = mixed_requests(engine);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(expected[i].end, EndReason::length) << expected[i].error_message;
    if (requests[i].constraint == nullptr) continue;
    const std::unique_ptr<TokenConstraint> form = requests[i].constraint->start();
    for (const TokenId token : expected[i].tokens) EXPECT_TRUE(form->accept(token)) << "request " << i;
  }
}

TEST_P(ConstrainedAnswers, AreTheSameBitsWithAnyChunksPagesAndThreads) {
  const std::vector<Stream> expected = run_alone({.backend = GetParam().backend, .shards = GetParam().shards});
  for (const std::int32_t step_tokens : {1, 3, 16, 500}) {
    EngineSetting changed = setting();
    changed.step_tokens_max = step_tokens;
    changed.page_tokens = step_tokens == 16 ? 16 : 4;
    changed.threads = step_tokens == 3 ? 2 : 1;
    TestEngine engine(changed);
    expect_same(run_together(engine), expected, std::to_string(step_tokens) + " tokens a step");
  }
}

TEST_P(ConstrainedAnswers, AreTheSameBitsWhenPreemptedWithinTheirForm) {
  const std::vector<Stream> expected = run_alone({.backend = GetParam().backend, .shards = GetParam().shards});
  EngineSetting changed = setting();
  std::uint32_t largest = 0;
  {
    TestEngine engine(changed);
    for (const std::string& name : adapter_names()) largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
  }
  changed.page_count = largest + 40 / static_cast<std::uint32_t>(GetParam().shards);
  TestEngine engine(changed);
  for (int round = 0; round < 3; ++round) expect_same(run_together(engine), expected, "round " + std::to_string(round));
  EXPECT_GT(engine.engine().stats().scheduler.preemptions, 0u);
  EXPECT_EQ(replayed_count_ > 0, GetParam().replays);
}

// Masks that come after tokens were drawn without them: answers and those of the others are the same bits.
TEST_P(ConstrainedAnswers, AreTheSameBitsWhenMasksComeLate) {
  TestEngine engine(setting());
  const Counter& suspended_rows = engine.runtime().metrics().counter("slora_constraint_suspended_rows_total", "");
  const auto request_of = [&](bool is_suspended) {
    ConstraintScript script = script_of_length(9, {3, 20, 35, 36, 64, 77});
    if (is_suspended) {
      script.on_fill = [&suspended_rows](Tokens tokens) {
        const std::uint64_t before = suspended_rows.value();
        while (tokens.size() % 3 == 1 && suspended_rows.value() == before) std::this_thread::yield();
        return Status{};
      };
    }
    GenerationRequest request = engine.request("", {5, 6, 7, 8, 9}, 30);
    request.sampling.temperature = 0.8f;
    request.constraint = compiled(std::move(script));
    return request;
  };
  const Stream expected = engine.wait(engine.submit(request_of(false)));
  EXPECT_EQ(expected.tokens.size(), 9u);
  EXPECT_EQ(expected.end, EndReason::complete) << expected.error_message;
  const auto other = [&] { return engine.request("", {1, 2, 3}, 40); };
  const Stream plain = engine.wait(engine.submit(other()));
  const SequenceId id = engine.submit(other());
  const std::uint64_t before = suspended_rows.value();
  expect_same(engine.wait(engine.submit(request_of(true))), expected, "late");
  expect_same(engine.wait(id), plain, "next to it");
  EXPECT_GE(suspended_rows.value(), before + 3);
}

TEST(ConstrainedEngine, EndsWithTheLastTokenOfACompleteForm) {
  TestEngine engine({});
  GenerationRequest request = engine.request("", {5, 6, 7}, 30);
  request.constraint = compiled(script_of_length(3, {11}));
  const Stream stream = engine.wait(engine.submit(std::move(request)));
  EXPECT_EQ(stream.tokens, (std::vector<TokenId>{11, 11, 11}));
  EXPECT_EQ(stream.end, EndReason::complete);

  GenerationRequest exact = engine.request("", {5, 6, 7}, 3);
  exact.constraint = compiled(script_of_length(3, {11}));
  EXPECT_EQ(engine.wait(engine.submit(std::move(exact))).end, EndReason::complete) << "with the last token that it may have";

  GenerationRequest shorter = engine.request("", {5, 6, 7}, 2);
  shorter.constraint = compiled(script_of_length(3, {11}));
  const Stream cut = engine.wait(engine.submit(std::move(shorter)));
  EXPECT_EQ(cut.end, EndReason::length);
  EXPECT_EQ(cut.tokens, (std::vector<TokenId>{11, 11})) << "a prefix";
}

TEST(ConstrainedEngine, EndsWithAnEndTokenThatTheFormAllowsThoughFewerTokensCameThanItShould) {
  TestEngine engine({});
  GenerationRequest request = engine.request("", {5, 6, 7}, 30);
  request.sampling.end_tokens = {9, 10};
  request.sampling.min_tokens = 20;
  request.constraint = compiled({.allowed =
                                     [](Tokens tokens) {
                                       return tokens.size() < 2 ? std::vector<TokenId>{11, 9} : std::vector<TokenId>{10};
                                     },
                                 .is_complete = [](Tokens) { return false; }});
  const Stream stream = engine.wait(engine.submit(std::move(request)));
  EXPECT_EQ(stream.tokens, (std::vector<TokenId>{11, 11, 10})) << "the ban of end tokens holds while others are allowed";
  EXPECT_EQ(stream.end, EndReason::stop);
}

TEST(ConstrainedEngine, ChoicesOfOneFormHaveConstraintsOfTheirOwn) {
  TestEngine engine({});
  const std::shared_ptr<const CompiledConstraint> form = TokenAutomaton::random(5, kVocabulary, 8);
  std::vector<SequenceId> ids;
  for (std::uint32_t choice = 0; choice < 4; ++choice) {
    GenerationRequest request = engine.request("", {5, 6, 7}, 12);
    request.sampling.temperature = 1;
    request.choice = choice;
    request.constraint = form;
    ids.push_back(engine.submit(std::move(request)));
  }
  std::set<std::vector<TokenId>> answers;
  for (const SequenceId id : ids) answers.insert(engine.wait(id).tokens);
  EXPECT_EQ(answers.size(), 4u);
}

// What fill or accept say, or throw, ends that sequence; the others do not notice.
TEST(ConstrainedEngine, AFailureEndsItsSequenceOnly) {
  TestEngine engine({});
  const auto request_of = [&](ConstraintScript script) {
    GenerationRequest request = engine.request("", {5, 6, 7}, 30);
    request.constraint = compiled(std::move(script));
    return request;
  };
  const auto fails_after = [](std::size_t count, auto what) {
    return [count, what](Tokens tokens) -> Status {
      if (tokens.size() >= count) return what();
      return {};
    };
  };
  const auto costly = []() -> Status { return error("constraint_too_costly", "too many items"); };
  const auto throws = []() -> Status { throw std::bad_alloc(); };
  std::vector<ConstraintScript> scripts(5, script_of_length(20, {11, 12}));
  scripts[0].on_fill = fails_after(0, costly);
  scripts[1].on_fill = fails_after(4, costly);
  scripts[2].on_accept = fails_after(4, costly);
  scripts[3].on_accept = fails_after(4, throws);
  scripts[4].allowed = [](Tokens tokens) { return tokens.size() < 4 ? std::vector<TokenId>{11} : std::vector<TokenId>{}; };
  const SequenceId other = engine.submit(request_of(script_of_length(20, {11, 12})));
  std::vector<SequenceId> ids;
  for (const ConstraintScript& script : scripts) ids.push_back(engine.submit(request_of(script)));
  std::vector<Stream> streams;
  for (const SequenceId id : ids) streams.push_back(engine.wait(id));
  for (const Stream& stream : streams) EXPECT_EQ(stream.end, EndReason::failed);
  EXPECT_EQ(streams[0].tokens.size(), 0u);
  EXPECT_EQ(streams[1].tokens.size(), 4u);
  EXPECT_EQ(streams[1].error_code, "constraint_too_costly");
  EXPECT_EQ(streams[1].error_message, "too many items");
  EXPECT_EQ(streams[2].tokens.size(), 4u);
  EXPECT_EQ(streams[2].error_code, "constraint_too_costly");
  EXPECT_EQ(streams[3].error_code, "out_of_memory");
  EXPECT_EQ(streams[4].tokens.size(), 4u);
  EXPECT_EQ(streams[4].error_code, "constraint_unsatisfiable");
  EXPECT_EQ(engine.wait(other).end, EndReason::complete);
}

// A constraint whose accepts take the processor for long is asked on other threads, and only its sequence waits.
TEST(ConstrainedEngine, ExpensiveAcceptsGiveTheSameAnswer) {
  const auto request_of = [](TestEngine& engine, bool is_expensive) {
    ConstraintScript script = script_of_length(8, {3, 20, 35, 36});
    if (is_expensive) {
      script.on_accept = [](Tokens) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
        while (std::chrono::steady_clock::now() < end) continue;
        return Status{};
      };
    }
    GenerationRequest request = engine.request("", {5, 6, 7, 8, 9}, 8);
    request.sampling.temperature = 0.8f;
    request.constraint = compiled(std::move(script));
    return request;
  };
  TestEngine engine({});
  const Stream expected = engine.wait(engine.submit(request_of(engine, false)));
  EXPECT_EQ(expected.end, EndReason::complete);
  expect_same(engine.wait(engine.submit(request_of(engine, true))), expected, "expensive");
}

// Calls that do not return, until the test lets them.
class Stuck {
 public:
  ~Stuck() { let_go(); }
  [[nodiscard]] ConstraintScript script(std::size_t after) {
    ConstraintScript script = script_of_length(30, {11, 12});
    script.on_fill = [this, after](Tokens tokens) {
      if (tokens.size() >= after) {
        ++count_;
        is_free_.wait(false);
      }
      return Status{};
    };
    return script;
  }
  void let_go() {
    is_free_ = true;
    is_free_.notify_all();
  }
  [[nodiscard]] int count() const { return count_; }

 private:
  std::atomic<int> count_{0};
  std::atomic<bool> is_free_{false};
};

TEST(ConstrainedEngine, CallsThatDoNotReturnEndTheirSequencesAndDelayNoOther) {
  Stuck stuck;
  TestEngine engine({});
  const auto request_of = [&](ConstraintScript script) {
    GenerationRequest request = engine.request("", {5, 6, 7}, 30);
    request.constraint = compiled(std::move(script));
    return request;
  };
  std::vector<SequenceId> ids;
  for (std::size_t i = 0; i < 4; ++i) ids.push_back(engine.submit(request_of(stuck.script(i))));  // more than there are threads
  while (stuck.count() < 2) std::this_thread::yield();
  const Stream other = engine.wait(engine.submit(request_of(script_of_length(20, {11, 12}))));
  EXPECT_EQ(other.end, EndReason::complete) << other.error_message;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Stream stream = engine.wait(ids[i]);
    EXPECT_EQ(stream.end, EndReason::failed);
    EXPECT_EQ(stream.error_code, "constraint_too_costly");
    EXPECT_EQ(stream.tokens.size(), i);
  }
  EXPECT_FALSE(engine.engine().wait_for_threads(std::chrono::milliseconds(1)));
  stuck.let_go();
  EXPECT_TRUE(engine.engine().wait_for_threads(std::chrono::seconds(60)));
}

// An accept that does not return after others that were quick.
TEST(ConstrainedEngine, AcceptsThatDoNotReturnEndTheirSequencesAndDelayNoOther) {
  std::atomic<int> count{0};
  std::atomic<bool> is_free{false};
  TestEngine engine({});
  const auto request_of = [&](bool is_stuck) {
    ConstraintScript script = script_of_length(20, {11, 12});
    if (is_stuck) {
      script.on_accept = [&](Tokens tokens) {
        if (tokens.size() < 6) return Status{};
        ++count;
        is_free.wait(false);
        return Status{};
      };
    }
    GenerationRequest request = engine.request("", {5, 6, 7}, 30);
    request.constraint = compiled(std::move(script));
    return request;
  };
  const SequenceId plain = engine.submit(engine.request("", {1, 2, 3}, 60));
  std::vector<SequenceId> stuck;
  for (int i = 0; i < 4; ++i) stuck.push_back(engine.submit(request_of(true)));  // more than there are threads
  while (count < 2) std::this_thread::yield();
  EXPECT_EQ(engine.wait(plain).end, EndReason::length);
  EXPECT_EQ(engine.wait(engine.submit(request_of(false))).end, EndReason::complete);
  for (const SequenceId id : stuck) {
    const Stream stream = engine.wait(id);
    EXPECT_EQ(stream.error_code, "constraint_too_costly");
    EXPECT_EQ(stream.tokens.size(), 6u);
  }
  is_free = true;
  is_free.notify_all();
  EXPECT_TRUE(engine.engine().wait_for_threads(std::chrono::seconds(60)));
}

TEST(ConstrainedEngine, CancelledWhileItsMaskIsAwaitedItEndsAtOnce) {
  Stuck stuck;
  TestEngine engine({});
  GenerationRequest request = engine.request("", {5, 6, 7}, 30);
  request.constraint = compiled(stuck.script(1));
  const SequenceId id = engine.submit(std::move(request));
  while (stuck.count() < 1) std::this_thread::yield();
  engine.engine().cancel(id);
  EXPECT_EQ(engine.wait(id).end, EndReason::cancelled);
  EXPECT_EQ(engine.wait(engine.submit(engine.request("", {1, 2}, 3))).end, EndReason::length);
  stuck.let_go();
}

}  // namespace
}  // namespace slora::testing
