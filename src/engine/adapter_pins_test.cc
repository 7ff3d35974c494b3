// Adapters that the operator keeps in the pool, and the tier of images between disk and pool, with a whole engine.
#include "engine/adapter_pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/testing/allocation_failure.h"
#include "engine/testing/engine_fixture.h"
#include "scheduler/policies/fcfs.h"

namespace slora::testing {
namespace {

using ::testing::Contains;
using ::testing::EndsWith;

constexpr std::int32_t kOutputTokens = 8;
constexpr const char* kPinned = "a14_r8";
const std::vector<TokenId> kPrompt = {4, 8, 15, 16, 23, 42};

Status change(TestEngine& engine, const std::string& name, void (Engine::*what)(std::string, std::function<void(Status)>)) {
  std::promise<Status> done;
  (engine.engine().*what)(name, [&](Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}
Status pin(TestEngine& engine, const std::string& name) { return change(engine, name, &Engine::pin_adapter); }
Status unpin(TestEngine& engine, const std::string& name) { return change(engine, name, &Engine::unpin_adapter); }

bool is_resident(TestEngine& engine, const std::string& name) { return (*engine.runtime().adapters().resolve(name))->is_resident(); }

std::uint32_t pages_of(TestEngine& engine, const std::string& name) { return (*engine.runtime().adapters().resolve(name))->page_count(); }

// Within seconds.
template <class Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 3000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return condition();
}

std::vector<Stream> ask_all(TestEngine& engine) {
  std::vector<Stream> streams;
  for (const std::string& name : adapter_names())
    streams.push_back(engine.wait(engine.submit(engine.request(name, kPrompt, kOutputTokens))));
  return streams;
}

// The pages of the largest adapter and some more: each adapter that comes evicts others.
EngineSetting small_setting() {
  EngineSetting setting{.page_tokens = 4};
  std::uint32_t largest = 0;
  TestEngine engine(setting);
  for (const std::string& name : adapter_names()) largest = std::max(largest, pages_of(engine, name));
  setting.page_count = largest + pages_of(engine, kPinned) + 20;
  return setting;
}

TEST(AdapterTiers, AnswerTheSameWithImagesInHostMemory) {
  EngineSetting setting = small_setting();
  TestEngine plain(setting);
  setting.pool_use.host_adapter_bytes = std::uint64_t{64} << 20;
  TestEngine tiered(setting);
  for (int round = 0; round < 2; ++round) EXPECT_EQ(ask_all(tiered), ask_all(plain)) << "round " << round;
  const SchedulerStats stats = tiered.engine().stats().scheduler;
  EXPECT_GT(stats.adapter_evictions, 0u);
  const HostImages::Counts host = tiered.runtime().adapters().host_counts();
  EXPECT_GT(host.hits, 0u);
  EXPECT_EQ(host.hits + host.misses, stats.adapter_loads);
  EXPECT_EQ(host.misses, adapter_names().size());
  EXPECT_EQ(plain.runtime().adapters().host_counts().bytes, 0u);
}

TEST(AdapterPins, KeepAnAdapterInThePoolFromTheStart) {
  EngineSetting setting = small_setting();
  setting.pinned = {"a14_r8"};
  TestEngine engine(setting);
  ASSERT_TRUE(comes_true([&] { return is_resident(engine, "a14_r8"); }));
  const std::uint64_t loads = engine.engine().stats().scheduler.adapter_loads;
  EXPECT_EQ(loads, 1u);
  ask_all(engine);
  EXPECT_GT(engine.engine().stats().scheduler.adapter_evictions, 0u);
  EXPECT_TRUE(is_resident(engine, "a14_r8"));
  EXPECT_TRUE((*engine.runtime().adapters().resolve("a14_r8"))->is_pinned());
  EXPECT_EQ(engine.engine().stats().scheduler.adapters_pinned, 1u);
  EXPECT_TRUE(unpin(engine, "a14_r8"));
  EXPECT_EQ(unpin(engine, "a14_r8").error().code, "not_pinned");
  EXPECT_FALSE((*engine.runtime().adapters().resolve("a14_r8"))->is_pinned());
}

TEST(AdapterPins, RefuseWhatIsUnknownOrLeavesTooFewPages) {
  EngineSetting setting{.page_tokens = 4};
  {
    TestEngine engine(setting);
    setting.page_count = pages_of(engine, kPinned) + 2;
  }
  TestEngine engine(setting);
  EXPECT_EQ(pin(engine, "nobody").error().code, "not_found");
  EXPECT_GT(pages_of(engine, kPinned), 0u);  // its folder has been looked at
  EXPECT_EQ(pin(engine, kPinned).error().code, "pin_does_not_fit");
  EXPECT_EQ(engine.engine().stats().scheduler.adapters_pinned, 0u);
}

TEST(AdapterPins, SayWhenTheyShortenTheContext) {
  EngineSetting setting{.page_tokens = 4, .page_count = 3999};
  {
    TestEngine engine(setting);
    setting.page_count = pages_of(engine, kPinned) + 30;
  }
  const std::string unpinned = std::to_string(TestEngine(setting).runtime().max_model_len());
  setting.pinned = {kPinned};
  TestEngine engine(setting);
  const std::string context = std::to_string(engine.runtime().max_model_len());
  ASSERT_NE(context, unpinned);
  EXPECT_THAT(engine.runtime().summary(),
              Contains(EndsWith("; context " + context + " tokens, " + unpinned + " without the pinned adapters")));
  setting.page_count = 4000;  // both have all that the model was made for
  TestEngine large(setting);
  EXPECT_THAT(large.runtime().summary(), Contains(EndsWith("; context " + std::to_string(large.runtime().max_model_len()) + " tokens")));
}

TEST(AdapterPins, FollowTheirNameToANewContent) {
  const fs::path folder = fs::path(::testing::TempDir()) / ("slora_adapter_pins_test_" + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const char* name : {"a21_r16", "a14_r8"}) fs::copy(kGolden / "mix32" / "adapters" / name, folder / name);
  TestEngine engine({.adapters = folder, .pinned = {"a21_r16"}});
  ASSERT_TRUE(comes_true([&] { return is_resident(engine, "a21_r16"); }));
  const AdapterId before = (*engine.runtime().adapters().resolve("a21_r16"))->id();
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
    fs::copy_file(folder / "a14_r8" / file, folder / "new_file");
    fs::rename(folder / "new_file", folder / "a21_r16" / file);
  }
  EXPECT_TRUE(engine.runtime().adapters().look_at_resident());
  const auto is_renewed = [&] {
    const AdapterStore::Found version = engine.runtime().adapters().resolve("a21_r16");
    return version && (*version)->id() != before && (*version)->is_resident() && (*version)->is_pinned();
  };
  EXPECT_TRUE(comes_true(is_renewed));
  engine.runtime().adapters().remove("a21_r16");
  EXPECT_TRUE(comes_true([&] { return engine.engine().stats().scheduler.adapters_pinned == 0; }));
  fs::remove_all(folder);
}

// An allocation that fails while pins are followed ends with a scheduler and a use of adapters that know of none (EngineLoop::start_anew).
TEST(AdapterPins, AreAllThereAgainAfterFollowingThemFailed) {
  TestEngine engine({});
  AdapterStore& store = engine.runtime().adapters();
  const std::vector<std::string> names = {"a14_r8", "an_adapter_that_is_gone", "a16_r9", "a21_r16"};
  for (const std::string& name : names) (void)store.resolve(name);  // their folders are looked at
  SchedulerOptions options;
  options.page_count = 4000;
  std::size_t failure_count = 0;
  for (bool has_failed = true; has_failed;) {
    has_failed = false;
    std::optional<AdapterUse> use(std::in_place);
    std::optional<Scheduler> scheduler(std::in_place, options, std::make_unique<FcfsPolicy>());
    AdapterPins pins(store, *use, names);
    fail_allocations(failure_count + 1, 1);
    try {
      pins.follow(*scheduler, Timestamp{});
    } catch (const std::bad_alloc&) {
      has_failed = true;
      ++failure_count;
    }
    (void)end_failures();
    *use = {};
    pins.begin_anew();
    scheduler.emplace(options, std::make_unique<FcfsPolicy>());
    EXPECT_EQ(pins.unpin("", *scheduler).error().code, "not_pinned") << "a pin of no name after failure " << failure_count;
    pins.follow(*scheduler, Timestamp{});
    EXPECT_EQ(scheduler->stats().adapters_pinned, 3u) << "after failure " << failure_count;
    for (const std::string& name : names) EXPECT_EQ(pins.unpin(name, *scheduler).has_value(), name != names[1]) << name;
  }
  EXPECT_GT(failure_count, 5u);
}

TEST(AdapterPins, LetOthersLeaveWhenNobodyUsedThem) {
  TestEngine engine({.pinned = {"a14_r8"}, .adapter_idle_time = std::chrono::milliseconds(200)});
  ask_all(engine);
  EXPECT_TRUE(comes_true([&] { return engine.engine().stats().adapters_resident == 1; }));
  EXPECT_TRUE(is_resident(engine, "a14_r8"));
}

TEST(AdapterPins, LetOthersLeaveWhileNothingIsPlanned) {
  TestEngine engine(EngineSetting{});
  const std::string name = adapter_names().front();
  engine.wait(engine.submit(engine.request(name, kPrompt, kOutputTokens)));
  std::promise<Status> paused;
  engine.engine().pause([&](Status status) { paused.set_value(std::move(status)); });
  ASSERT_TRUE(paused.get_future().get());
  ASSERT_TRUE(is_resident(engine, name));
  ASSERT_TRUE(engine.runtime().adapters().set_idle_time(name, std::chrono::milliseconds(50)));
  ASSERT_TRUE(change(engine, name, &Engine::note_idle_time));
  EXPECT_TRUE(comes_true([&] { return engine.engine().stats().adapters_resident == 0; }));
  EXPECT_FALSE(is_resident(engine, name));
}

}  // namespace
}  // namespace slora::testing
