// The engine over a backend that computes later, as a device does: nothing may depend on when a step is done. With SLORA_DELAYED_DEPTH=1
// or 2 in the environment all tests of this program run over it, with orders from the seed in SLORA_DELAYED_SEED (else a random one).
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <future>
#include <random>

#include "backend/device_error.h"
#include "backend/testing/delayed_backend.h"
#include "engine/testing/engine_fixture.h"
#include "engine/testing/random_requests.h"

namespace slora::testing {
namespace {

void expect_same(const Stream& found, const Stream& expected) {
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.logprobs, expected.logprobs);
  EXPECT_EQ(found.end, expected.end) << found.error_message;
  ASSERT_EQ(found.prompt_logprobs.size(), expected.prompt_logprobs.size());
  for (std::size_t i = 0; i < found.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(found.prompt_logprobs[i].token.logprob, expected.prompt_logprobs[i].token.logprob);
    EXPECT_EQ(found.prompt_logprobs[i].rank, expected.prompt_logprobs[i].rank);
  }
}

std::uint64_t number_in(const char* text) {
  std::uint64_t number = 0;
  std::from_chars(text, text + std::strlen(text), number);
  return number;
}

[[maybe_unused]] const bool delays_all_tests = [] {
  const char* const depth = std::getenv("SLORA_DELAYED_DEPTH");
  if (depth == nullptr) return false;
  const char* const given = std::getenv("SLORA_DELAYED_SEED");
  const std::uint64_t seed = given != nullptr ? number_in(given) : std::random_device()();
  std::printf("SLORA_DELAYED_SEED=%llu\n", static_cast<unsigned long long>(seed));
  wrap_by_default = [seed, depth = static_cast<int>(number_in(depth))](std::unique_ptr<Backend> inner) {
    return std::make_unique<DelayedBackend>(std::move(inner), DelayedBackend::Options{.depth = depth, .seed = seed});
  };
  return true;
}();

// With the pages of small_setting().
std::uint32_t largest_adapter_pages(const std::string& backend) {
  TestEngine engine({.backend = backend, .page_tokens = 2});
  std::uint32_t largest = 0;
  for (const std::string& name : adapter_names()) largest = std::max(largest, (*engine.runtime().adapters().resolve(name))->page_count());
  return largest;
}

struct DelayCase {
  int depth;
  bool replays;
};
void PrintTo(const DelayCase& test, std::ostream* out) { *out << "depth " << test.depth << (test.replays ? ", replaying" : ""); }

class DelayedEngine : public ::testing::TestWithParam<DelayCase> {
 protected:
  // A pool in which adapters and prefixes are evicted and sequences preempted.
  [[nodiscard]] EngineSetting small_setting(std::uint64_t seed) {
    EngineSetting setting;
    setting.backend = seed % 4 == 3 ? "cpu" : "reference";
    setting.page_tokens = 2;
    setting.page_count = largest_adapter_pages(setting.backend) + 40;
    setting.step_tokens_max = static_cast<std::int32_t>(5 + seed % 3 * 13);
    setting.running_max = 5;
    const DelayedBackend::Options delay{
        .depth = GetParam().depth, .seed = seed, .replayed_count = GetParam().replays ? &replayed_count_ : nullptr};
    setting.wrap_backend = [delay](std::unique_ptr<Backend> inner) { return std::make_unique<DelayedBackend>(std::move(inner), delay); };
    return setting;
  }

  std::atomic<std::uint64_t> replayed_count_{0};
};

TEST_P(DelayedEngine, GivesTheSameAnswersWhateverIsEvictedPreemptedStoppedOrCancelled) {
  const std::uint64_t first_seed = std::random_device()();
  SchedulerStats seen;
  for (std::uint64_t seed = first_seed; seed < first_seed + 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const EngineSetting setting = small_setting(seed);
    std::vector<Stream> expected;
    {
      TestEngine plain({.backend = setting.backend});
      for (GenerationRequest& request : RandomRequests(seed).make(plain)) expected.push_back(plain.wait(plain.submit(std::move(request))));
    }
    TestEngine engine(setting);
    std::vector<SequenceId> ids;
    for (GenerationRequest& request : RandomRequests(seed).make(engine)) ids.push_back(engine.submit(std::move(request)));
    const std::size_t cancelled = seed % ids.size();
    engine.collector().wait_for_tokens(ids[cancelled], 1 + seed % 3);
    engine.engine().cancel(ids[cancelled]);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      SCOPED_TRACE("request " + std::to_string(i));
      const Stream found = engine.wait(ids[i]);
      if (i != cancelled) expect_same(found, expected[i]);
    }
    const SchedulerStats stats = engine.engine().stats().scheduler;
    seen.adapter_evictions += stats.adapter_evictions;
    seen.prefix_evictions += stats.prefix_evictions;
    seen.preemptions += stats.preemptions;
  }
  EXPECT_GT(seen.adapter_evictions, 0u);
  EXPECT_GT(seen.prefix_evictions, 0u);
  EXPECT_GT(seen.preemptions, 0u);
  EXPECT_EQ(replayed_count_ > 100, GetParam().replays) << replayed_count_;
}

TEST_P(DelayedEngine, ClearsCachesWhenNoSequenceIsLeft) {
  TestEngine engine(small_setting(1));
  for (int round = 0; round < 10; ++round) {
    GenerationRequest request = engine.request("", {5, 6, 7, 8, 9}, 8);
    request.sampling.end_tokens = {static_cast<TokenId>(round)};
    const Stream stream = engine.wait(engine.submit(std::move(request)));
    EXPECT_TRUE(stream.end == EndReason::length || stream.end == EndReason::stop);
    std::promise<bool> done;
    engine.engine().clear_caches([&](bool was_done) { done.set_value(was_done); });
    EXPECT_TRUE(done.get_future().get());
  }
}

// Has its pages in memory of its own, as a device does.
class ApartBackend final : public ForwardingBackend {
 public:
  struct Seen {
    std::mutex mutex;
    std::map<const std::byte*, std::size_t> host_memory;  // that it gave
    std::size_t copied_bytes = 0;
  };
  ApartBackend(std::unique_ptr<Backend> inner, Seen& seen) : ForwardingBackend(std::move(inner)), seen_(seen) {}

  bool shares_host_memory() const override { return false; }
  Buffer host_memory(std::size_t bytes) override {
    Buffer memory = inner().host_memory(bytes);
    const std::lock_guard lock(seen_.mutex);
    seen_.host_memory[memory.data()] = bytes;
    return memory;
  }
  Fence copy_in(std::span<const CopyIn> copies) override {
    const std::lock_guard lock(seen_.mutex);
    for (const CopyIn& copy : copies) {
      EXPECT_TRUE(std::ranges::any_of(seen_.host_memory, [&](const auto& memory) {
        return copy.from >= memory.first && copy.from + copy.bytes <= memory.first + memory.second;
      }));
      seen_.copied_bytes += copy.bytes;
    }
    return inner().copy_in(copies);
  }

 private:
  Seen& seen_;
};

TEST(Engine, CopiesImagesToADeviceFromMemoryThatTheDeviceGave) {
  const auto serve = [](TestEngine& engine) {
    std::vector<Stream> streams;
    for (int round = 0; round < 2; ++round) {
      for (const std::string& name : adapter_names()) streams.push_back(engine.wait(engine.submit(engine.request(name, {5, 6, 7}, 4))));
    }
    return streams;
  };
  for (const std::int32_t shards : {1, 2}) {
    std::uint64_t loads = 0;
    std::vector<Stream> expected;
    {
      TestEngine plain({.shards = shards});
      expected = serve(plain);
    }
    for (const std::uint64_t tier_bytes : {std::uint64_t{0}, std::uint64_t{1} << 30}) {
      SCOPED_TRACE(std::to_string(shards) + " shards, " + std::to_string(tier_bytes) + " bytes of images");
      ApartBackend::Seen seen;
      EngineSetting setting{.shards = shards};
      setting.page_count = largest_adapter_pages("reference") + 40;
      setting.pool_use.host_adapter_bytes = tier_bytes;
      setting.wrap_backend = [&](std::unique_ptr<Backend> inner) { return std::make_unique<ApartBackend>(std::move(inner), seen); };
      TestEngine engine(setting);
      EXPECT_EQ(serve(engine), expected);
      loads = engine.engine().stats().scheduler.adapter_loads;
      EXPECT_GE(seen.copied_bytes, loads * engine.runtime().adapters().base().page_bytes);
      EXPECT_EQ(engine.runtime().adapters().host_counts().images > 0, tier_bytes > 0);
    }
    EXPECT_GE(loads, adapter_names().size());
  }
}

class FailingCopies final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  bool shares_host_memory() const override { return false; }
  Fence copy_in(std::span<const CopyIn>) override { throw DeviceError("the link is gone"); }
};

TEST(Engine, HasFailedWhenItsDeviceFailsInALoad) {
  EngineSetting setting;
  setting.wrap_backend = [](std::unique_ptr<Backend> inner) { return std::make_unique<FailingCopies>(std::move(inner)); };
  TestEngine engine(setting);
  engine.submit(engine.request(adapter_names().front(), {5, 6, 7}, 4));
  while (!engine.engine().failure()) std::this_thread::yield();
  EXPECT_THAT(engine.engine().failure()->message, ::testing::HasSubstr("the link is gone"));
}

// Its waits end without result while it is stopped, as those for a device that hangs.
class StoppableBackend final : public ForwardingBackend {
 public:
  StoppableBackend(std::unique_ptr<Backend> inner, std::atomic<bool>& is_stopped, std::atomic<int>& wait_count)
      : ForwardingBackend(std::move(inner)), is_stopped_(is_stopped), wait_count_(wait_count) {}

  bool wait(Fence fence, std::chrono::milliseconds limit) override {
    if (!is_stopped_) return inner().wait(fence, limit);
    ++wait_count_;
    wait_count_.notify_all();
    std::this_thread::yield();
    return false;
  }

 private:
  std::atomic<bool>& is_stopped_;
  std::atomic<int>& wait_count_;
};

TEST(Engine, ShowsNoProgressWhileItWaitsForADeviceThatHangs) {
  std::atomic<bool> is_stopped = false;
  std::atomic<int> wait_count = 0;
  EngineSetting setting;
  setting.wrap_backend = [&](std::unique_ptr<Backend> inner) {
    return std::make_unique<StoppableBackend>(std::move(inner), is_stopped, wait_count);
  };
  TestEngine engine(setting);
  is_stopped = true;
  const SequenceId id = engine.submit(engine.request("", {1, 2, 3}, 60));
  const auto wait_for_more = [&] {
    for (int seen = wait_count, end = seen + 3; seen < end; seen = wait_count) wait_count.wait(seen);
  };
  wait_for_more();
  const std::uint64_t progress = engine.engine().progress();
  wait_for_more();
  EXPECT_EQ(engine.engine().progress(), progress);
  is_stopped = false;
  EXPECT_EQ(engine.wait(id).end, EndReason::length);
  EXPECT_GT(engine.engine().progress(), progress);
}

TEST_P(DelayedEngine, EndsWhileStepsAreUnderWay) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    TestEngine engine(small_setting(seed));
    std::vector<SequenceId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(engine.submit(engine.request("", {1, 2, 3}, 60)));
    engine.collector().wait_for_tokens(ids.back(), seed);
    engine.stop();
    for (const SequenceId id : ids) {
      const Stream stream = engine.wait(id);
      EXPECT_EQ(stream.end, stream.tokens.size() < 60 ? EndReason::cancelled : EndReason::length);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Depths, DelayedEngine,
                         ::testing::Values(DelayCase{1, false}, DelayCase{2, false}, DelayCase{1, true}, DelayCase{2, true}));

}  // namespace
}  // namespace slora::testing
