// The engine on the CUDA backend, on an emulated device or on a GPU: steps two deep, replayed as graphs.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/forwarding_backend.h"
#include "cuda_device.h"
#include "engine/testing/engine_fixture.h"
#include "engine/testing/random_requests.h"

namespace slora::testing {
namespace {

enum class Replays : std::uint8_t { yes, no };

// Notes which calls from the upload of a step to its download wait for the device, and what the device found when it ends.
class WatchedBackend final : public ForwardingBackend {
 public:
  struct Seen {
    std::string faults;
    std::map<std::string, std::int64_t> waiting_calls;
    std::int64_t steps = 0, replayed = 0, called = 0;
  };
  WatchedBackend(CudaDevice device, Replays replays, Seen& seen)
      : ForwardingBackend(std::move(device.backend)), watch_(std::move(device.watch)), replays_(replays), seen_(seen) {}
  ~WatchedBackend() override {
    seen_.faults += watch_->take_faults();
    seen_.waiting_calls = watch_->waiting_calls();
  }
  WatchedBackend(const WatchedBackend&) = delete;
  WatchedBackend& operator=(const WatchedBackend&) = delete;

  bool replays_steps() const override { return replays_ == Replays::yes; }
  const std::byte* upload_step(int slot, std::span<const std::byte> bytes) override {
    ++seen_.steps;
    watch_->begin_step();
    return ForwardingBackend::upload_step(slot, bytes);
  }
  void replay_step(const StepKey& key, const std::function<void()>& call_ops) override {
    ++seen_.replayed;
    ForwardingBackend::replay_step(key, [&] {
      ++seen_.called;
      call_ops();
    });
  }
  Fence download_step(std::span<std::byte> to, const std::byte* from) override {
    const Fence fence = ForwardingBackend::download_step(to, from);
    watch_->end_step();
    return fence;
  }

 private:
  const std::unique_ptr<DeviceWatch> watch_;
  const Replays replays_;
  Seen& seen_;
};

// Of a golden model; `seed` is of the order in which an emulated device works.
EngineSetting on_cuda(WatchedBackend::Seen& seen, std::uint64_t seed, Replays replays = Replays::yes) {
  EngineSetting setting;
  setting.backend = "cpu";  // which is replaced, and has KV of the same type
  setting.step_tokens_max = 32;
  setting.running_max = 8;
  setting.page_count = 1000;
  setting.wrap_backend = [&seen, seed, replays](std::unique_ptr<Backend>) {
    return std::make_unique<WatchedBackend>(open_cuda_device(seed), replays, seen);
  };
  return setting;
}

struct Answers {
  std::vector<Stream> streams;
  SchedulerStats stats;
};
Answers answers(const EngineSetting& setting, std::uint64_t seed, std::size_t count) {
  TestEngine engine(setting);
  std::vector<SequenceId> ids;
  std::vector<GenerationRequest> requests = RandomRequests(seed).make(engine);
  requests.resize(count);
  for (GenerationRequest& request : requests) ids.push_back(engine.submit(std::move(request)));
  Answers out;
  for (const SequenceId id : ids) out.streams.push_back(engine.wait(id));
  // Alone: its steps are all of one kind.
  out.streams.push_back(engine.wait(engine.submit(engine.request("", {5, 6, 7}, 14))));
  out.stats = engine.engine().stats().scheduler;
  return out;
}

void expect_no_faults(const WatchedBackend::Seen& seen) {
  EXPECT_EQ(seen.faults, "");
  EXPECT_TRUE(seen.waiting_calls.empty()) << seen.waiting_calls.begin()->first << " waits in a step";
  EXPECT_GT(seen.steps, 0);
}

void expect_same_bits(const std::vector<Stream>& found, const std::vector<Stream>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].tokens, expected[i].tokens) << "request " << i;
    EXPECT_EQ(found[i].logprobs, expected[i].logprobs) << "request " << i;
    EXPECT_EQ(found[i].end, expected[i].end) << "request " << i << ": " << found[i].error_message;
  }
}

// Up to the first token whose lead over the next is less than rounding may take.
TEST(CudaEngine, DecodesTheTokensOfTheReference) {
  constexpr float kMarginMin = 0.15f;
  const auto decode = [](EngineSetting setting) {
    TestEngine engine(std::move(setting));
    std::vector<SequenceId> ids;
    for (const char* const adapter : {"", "a00_r1", "a22_r16", "", "a28_r47", "a11_r7"}) {
      GenerationRequest request = engine.request(adapter, {7, 14, 21, static_cast<TokenId>(28 + ids.size()), 35, 42}, 10);
      request.sampling.logprob_count = 2;
      ids.push_back(engine.submit(std::move(request)));
    }
    std::vector<Stream> streams;
    for (const SequenceId id : ids) streams.push_back(engine.wait(id));
    return streams;
  };
  WatchedBackend::Seen seen;
  const std::vector<Stream> expected = decode({}), found = decode(on_cuda(seen, 1));
  int compared = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].tokens.size(), expected[i].tokens.size()) << found[i].error_message;
    for (std::size_t k = 0; k < expected[i].tokens.size(); ++k) {
      if (expected[i].top[k][0].logprob - expected[i].top[k][1].logprob < kMarginMin) break;
      EXPECT_EQ(found[i].tokens[k], expected[i].tokens[k]) << "request " << i << ", token " << k;
      EXPECT_NEAR(found[i].logprobs[k], expected[i].logprobs[k], 0.1f);
      ++compared;
    }
  }
  EXPECT_GT(compared, 10);
  EXPECT_GT(seen.replayed, 5) << "steps of one token for each sequence";
  expect_no_faults(seen);
}

TEST(CudaEngine, AnswersHaveTheSameBitsWhetherStepsAreReplayedOrNotAndInWhateverOrderTheDeviceWorks) {
  constexpr std::uint64_t kRequests = 3;
  WatchedBackend::Seen plain;
  const std::vector<Stream> expected = answers(on_cuda(plain, 1, Replays::no), kRequests, 8).streams;
  EXPECT_EQ(plain.replayed, 0);
  expect_no_faults(plain);
  for (const std::uint64_t seed : {2u, 3u}) {
    WatchedBackend::Seen seen;
    expect_same_bits(answers(on_cuda(seen, seed), kRequests, 8).streams, expected);
    EXPECT_GT(seen.replayed, seen.called) << "graphs that were used again";
    expect_no_faults(seen);
  }
}

// A pool in which adapters and prefixes are evicted and sequences preempted.
// Their parts of the RoPE tables are copied while steps are under way.
TEST(CudaEngine, ServesAdaptersForLongerTextsWhenTheOperatorSaysHowLong) {
  WatchedBackend::Seen seen;
  EngineSetting setting = on_cuda(seen, 3);
  setting.model = "families";
  setting.adapters = kGolden / "families" / "adapters";
  {
    TestEngine engine(setting);
    const AdapterStore::Found refused = engine.runtime().adapters().resolve("longlora_context_length");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "E_ROPE");
  }
  setting.max_adapter_len = 300;
  const auto request = [](TestEngine& engine, const std::string& adapter, std::size_t prompt_tokens) {
    std::vector<TokenId> prompt(prompt_tokens);
    for (std::size_t i = 0; i < prompt_tokens; ++i) prompt[i] = static_cast<TokenId>((i * 31 + i / 7) % 96 + 1);
    return engine.submit(engine.request(adapter, std::move(prompt), 6));
  };
  const std::vector<std::pair<std::string, std::size_t>> wanted = {
      {"", 60}, {"longlora_context_length", 270}, {"longlora_model_config", 40}, {"lm_head_lora", 9}};
  std::vector<Stream> alone, together;
  for (const auto& [adapter, prompt_tokens] : wanted) {
    TestEngine engine(setting);
    alone.push_back(engine.wait(request(engine, adapter, prompt_tokens)));
    EXPECT_EQ(alone.back().end, EndReason::length) << adapter << ": " << alone.back().error_message;
  }
  TestEngine engine(setting);
  std::vector<SequenceId> ids;
  for (const auto& [adapter, prompt_tokens] : wanted) ids.push_back(request(engine, adapter, prompt_tokens));
  for (const SequenceId id : ids) together.push_back(engine.wait(id));
  engine.stop();
  expect_same_bits(together, alone);
  expect_no_faults(seen);
}

TEST(CudaEngine, AnswersHaveTheSameBitsWhateverIsEvictedOrPreempted) {
  constexpr std::uint64_t kRequests = 8;
  WatchedBackend::Seen seen;
  const std::vector<Stream> expected = answers(on_cuda(seen, 1), kRequests, 14).streams;
  WatchedBackend::Seen tight;
  EngineSetting setting = on_cuda(tight, 2);
  setting.page_tokens = 2;
  setting.step_tokens_max = 11;
  setting.running_max = 4;
  std::uint32_t largest = 0;
  {
    TestEngine engine({.backend = "cpu", .page_tokens = 2});
    for (const std::string& name : adapter_names()) largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
  }
  setting.page_count = largest + 16;
  const Answers found = answers(setting, kRequests, 14);
  expect_same_bits(found.streams, expected);
  EXPECT_GT(found.stats.adapter_evictions, 0u);
  EXPECT_GT(found.stats.preemptions, 0u);
  expect_no_faults(tight);
}

}  // namespace
}  // namespace slora::testing
