// Adapters that share a projection: VeRA of one key, which an engine holds once.
#include <unistd.h>

#include <fstream>
#include <set>

#include "engine/testing/engine_fixture.h"
#include "formats/safetensors.h"

namespace slora::testing {
namespace {

const std::vector<TokenId> kSharedPrompt = {3, 14, 15, 9, 26, 5, 35, 8};
constexpr std::int32_t kSharedOutput = 10;

class SharedAdapters : public ::testing::TestWithParam<std::int32_t> {
 protected:
  SharedAdapters() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (const char* name : {"vera_shared_1", "vera_shared_2", "vera_prng_123", "dora"})
      fs::copy(kGolden / "families" / "adapters" / name, folder_ / name);
  }
  ~SharedAdapters() override { fs::remove_all(folder_); }

  [[nodiscard]] EngineSetting setting() const {
    return {.model = "families", .backend = "cpu", .shards = GetParam(), .page_tokens = 4 * GetParam(), .adapters = folder_};
  }
  static SequenceId ask(TestEngine& engine, const std::string& name) {
    return engine.submit(engine.request(name, kSharedPrompt, kSharedOutput));
  }
  // The answer of an engine that nobody else asks.
  [[nodiscard]] Stream alone(const std::string& name) const {
    TestEngine engine(setting());
    return engine.wait(ask(engine, name));
  }
  // Pages that these adapters take together.
  static std::uint32_t pages_of(TestEngine& engine, const std::vector<std::string>& names) {
    std::uint32_t count = 0;
    std::set<SharedImage> shared;
    for (const std::string& name : names) {
      const auto version = engine.runtime().adapters().resolve(name).value();
      count += version->page_count();
      shared.insert(version->shared().begin(), version->shared().end());
    }
    for (const SharedImage& image : shared) count += image.page_count;
    return count;
  }
  static std::uint32_t pages_held(TestEngine& engine) {
    engine.wait(engine.submit(engine.request("", {1}, 1)));  // so that the figures are those after what was asked before
    return engine.engine().stats().scheduler.pages_adapter;
  }
  void replace(const std::string& name, const std::string& by) const {
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      fs::copy_file(folder_ / by / file, folder_ / "new_file");
      fs::rename(folder_ / "new_file", folder_ / name / file);
    }
  }
  // Its first vector is no number.
  void spoil(const std::string& name) const {
    const std::string path = (folder_ / name / "adapter_model.safetensors").string();
    const std::uint64_t first = SafetensorsFile::open(path).value().tensors().front().offset;
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(first));
    file << "\xff\xff\xff\xff";
    ASSERT_TRUE(file.flush());
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("slora_shared_adapters_test_" + std::to_string(::getpid()));
};

TEST_P(SharedAdapters, HoldTheirProjectionOnce) {
  TestEngine engine(setting());
  const auto first = engine.runtime().adapters().resolve("vera_shared_1").value();
  ASSERT_EQ(first->shared().size(), 1u);
  for (const char* name : {"vera_shared_1", "vera_shared_2", "vera_prng_123"}) EXPECT_EQ(engine.wait(ask(engine, name)), alone(name));
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_1", "vera_shared_2", "vera_prng_123"}));
  EXPECT_EQ(pages_of(engine, {"vera_shared_1", "vera_shared_2"}), 2 * first->page_count() + first->shared().front().page_count);
}

TEST_P(SharedAdapters, MayBeLoadedAtTheSameTime) {
  TestEngine engine(setting());
  const SequenceId one = ask(engine, "vera_shared_1"), two = ask(engine, "vera_shared_2");
  EXPECT_EQ(engine.wait(one), alone("vera_shared_1"));
  EXPECT_EQ(engine.wait(two), alone("vera_shared_2"));
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_1", "vera_shared_2"}));
}

TEST_P(SharedAdapters, AreNotAffectedByOneThatCannotBeLoaded) {
  const Stream expected = alone("vera_shared_2");
  TestEngine engine(setting());
  spoil("vera_shared_1");
  const SequenceId broken = ask(engine, "vera_shared_1"), fine = ask(engine, "vera_shared_2");
  EXPECT_EQ(engine.wait(broken).end, EndReason::adapter_failed);
  EXPECT_EQ(engine.wait(fine), expected);
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_2"}));
}

TEST_P(SharedAdapters, LeaveNothingWhenTheOnlyOneCannotBeLoaded) {
  TestEngine engine(setting());
  spoil("vera_shared_1");
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_1")).end, EndReason::adapter_failed);
  EXPECT_EQ(pages_held(engine), 0u);
}

TEST_P(SharedAdapters, AnswerAsBeforeWhenTheirProjectionComesBack) {
  std::vector<Stream> expected;
  const std::vector<std::string> names = {"vera_shared_1", "dora", "vera_shared_2", "vera_prng_123"};
  for (const std::string& name : names) expected.push_back(alone(name));
  for (const std::uint64_t host_bytes : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
    EngineSetting small = setting();
    std::uint32_t largest = 0;
    {
      TestEngine engine(small);
      for (const std::string& name : names) largest = std::max(largest, pages_of(engine, {name}));
    }
    small.page_count = largest + 12;
    small.pool_use.host_adapter_bytes = host_bytes;
    TestEngine engine(small);
    for (int round = 0; round < 3; ++round) {
      std::vector<SequenceId> ids;
      for (const std::string& name : names) ids.push_back(ask(engine, name));
      for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(engine.wait(ids[i]), expected[i]) << names[i] << ", round " << round;
    }
    EXPECT_GT(engine.engine().stats().scheduler.adapter_evictions, 0u);
    if (host_bytes > 0) {
      EXPECT_GT(engine.runtime().adapters().host_counts().hits, 0u);
    }
  }
}

TEST_P(SharedAdapters, MayHaveAnotherProjectionUnderTheSameName) {
  const Stream before = alone("vera_shared_1"), after = alone("vera_prng_123"), other = alone("vera_shared_2");
  TestEngine engine(setting());
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_1")), before);
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_2")), other);
  replace("vera_shared_1", "vera_prng_123");
  EXPECT_TRUE(engine.runtime().adapters().look_at_resident());
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_1")), after);
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_2")), other);
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_1", "vera_shared_2"})) << "nothing is left of the old content";
}

TEST_P(SharedAdapters, OfABlendAreHeldOnce) {
  const Stream first = alone("vera_shared_1");
  TestEngine engine(setting());
  AdapterStore& store = engine.runtime().adapters();
  for (const char* name : {"vera_shared_1", "vera_shared_2", "vera_prng_123"}) ASSERT_TRUE(store.resolve(name));
  const std::vector<WeightedAdapter> names = {{"vera_shared_1", 1.0f}, {"vera_shared_2", 1e-30f}};
  GenerationRequest request = engine.request("", kSharedPrompt, kSharedOutput);
  request.adapter = store.find_blend(names).value();
  EXPECT_EQ(request.adapter->shared().size(), 1u);
  EXPECT_EQ(engine.wait(engine.submit(std::move(request))), first);
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_1", "vera_shared_2"})) << "its components are not there by themselves";
  EXPECT_EQ(engine.wait(ask(engine, "vera_shared_1")), first);
  EXPECT_EQ(pages_held(engine), pages_of(engine, {"vera_shared_1", "vera_shared_2"}) +
                                    engine.runtime().adapters().resolve("vera_shared_1").value()->page_count());
}

INSTANTIATE_TEST_SUITE_P(Shards, SharedAdapters, ::testing::Values(1, 2));

}  // namespace
}  // namespace slora::testing
