#include <unistd.h>

#include <fstream>
#include <future>
#include <thread>

#include "engine/testing/engine_fixture.h"

namespace slora::testing {
namespace {

// In fp32 shards differ from the model in one piece by rounding only, which changes no greedy choice of these models.
TEST(Engine, GivesTheSameTokensInShards) {
  const EngineSetting four_heads{
      .model = "llama_bias", .page_tokens = 16, .adapters = kGolden / "llama_bias" / "adapters"};  // 4 shards share 2 KV heads
  for (const auto& [setting, shard_count] : {std::pair(EngineSetting{}, 2), std::pair(four_heads, 4)}) {
    EngineSetting cut = setting;
    cut.shards = shard_count;
    TestEngine whole(setting), shards(cut);
    std::vector<std::string> adapters = names_in(setting.adapters);
    adapters.emplace_back();
    std::vector<SequenceId> ids;
    const std::vector<TokenId> prompt = {4, 8, 15, 16, 23, 42};
    for (const std::string& adapter : adapters) ids.push_back(shards.submit(shards.request(adapter, prompt, 20)));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Stream expected = whole.wait(whole.submit(whole.request(adapters[i], prompt, 20)));
      const Stream found = shards.wait(ids[i]);
      EXPECT_EQ(found.tokens, expected.tokens) << adapters[i];
      ASSERT_EQ(found.logprobs.size(), expected.logprobs.size()) << found.error_message;
      for (std::size_t k = 0; k < expected.logprobs.size(); ++k) EXPECT_NEAR(found.logprobs[k], expected.logprobs[k], 1e-4);
      const Stream alone = shards.wait(shards.submit(shards.request(adapters[i], prompt, 20)));
      EXPECT_EQ(alone.logprobs, found.logprobs) << adapters[i] << ": the same bits alone as mixed";
    }
  }
}

TEST(Engine, SharesThePoolAmongItsShards) {
  for (const std::int32_t shard_count : {1, 2}) {
    RuntimeOptions options;
    options.model_folder = kGolden / "mix32";
    options.backend = "reference";
    options.page_tokens = 8;
    options.shard_count = shard_count;
    options.pool_bytes = 1000003;
    const ModelConfig config = *read_model_config(options.model_folder.string());
    const std::size_t page_bytes = make_kv_geometry(config, *make_shard_shape(config, 0, shard_count), DType::f32, 8).page_bytes();
    const auto runtime = Runtime::create(options, [](std::vector<TokenEvent>&&) {});
    ASSERT_TRUE(runtime) << runtime.error().message;
    EXPECT_EQ((*runtime)->engine().stats().scheduler.pages_total, 1000003 / (page_bytes * static_cast<std::size_t>(shard_count)));
  }
}

TEST(Engine, IsNotMadeInShardsThatDoNotDivideTheModel) {
  RuntimeOptions options;
  options.model_folder = kGolden / "mix32";
  for (const auto& [shard_count, message] :
       {std::pair(4, "--shards: config.json: num_attention_heads is 6; expected a multiple of the 4 shards"),
        std::pair(3, "--shards: config.json: num_key_value_heads is 2; expected a multiple or a divisor of the 3 shards"),
        std::pair(0, "--shards: expected 1 to 64, found 0")}) {
    options.shard_count = shard_count;
    const auto runtime = Runtime::create(options, {});
    ASSERT_FALSE(runtime);
    EXPECT_EQ(runtime.error().code, "E_SHARDS");
    EXPECT_EQ(runtime.error().message, message);
  }
}

TEST(Engine, EndsASequenceThatIsCancelled) {
  TestEngine engine({});
  const SequenceId id = engine.submit(engine.request("", {1, 2, 3}, 90));
  engine.collector().wait_for_tokens(id, 2);
  engine.engine().cancel(id);
  const Stream stream = engine.wait(id);
  EXPECT_TRUE(stream.end == EndReason::cancelled || stream.end == EndReason::length);
}

TEST(Engine, CountsTheTimeToTheFirstTokenFromTheClientsRequest) {
  PolicyOptions policy;
  policy.name = "deadline";
  policy.deadlines.first_token_slo = std::chrono::hours(1);
  TestEngine engine({.policy = policy});
  const auto submit = [&](Timestamp arrival) {
    GenerationRequest request = engine.request("", {1, 2, 3}, 4);
    request.arrival = arrival;
    return engine.wait(engine.submit(std::move(request)));
  };
  const Stream late = submit(SteadyClock().now() - std::chrono::minutes(61));
  EXPECT_EQ(late.end, EndReason::given_up);
  EXPECT_EQ(late.error_code, "first_token_slo_missed");
  EXPECT_EQ(submit(SteadyClock().now() - std::chrono::minutes(59)).end, EndReason::length);
  EXPECT_EQ(submit(Timestamp{}).end, EndReason::length) << "one that says nothing comes when the engine takes it";
}

bool clear_caches(Engine& engine) {
  std::promise<bool> done;
  engine.clear_caches([&](bool was_done) { done.set_value(was_done); });
  return done.get_future().get();
}

TEST(Engine, ClearsItsCachesWhenNothingRuns) {
  TestEngine engine({});
  const std::vector<TokenId> prompt(40, 7);
  const std::string adapter = adapter_names().back();
  const Stream first = engine.wait(engine.submit(engine.request(adapter, prompt, 4)));
  EXPECT_GT(engine.wait(engine.submit(engine.request(adapter, prompt, 4))).cached_tokens, 0);

  std::vector<SequenceId> running;  // many, so that they are still running when the engine receives the next call
  for (int i = 0; i < 200; ++i) running.push_back(engine.submit(engine.request(adapter, prompt, 50)));
  EXPECT_FALSE(clear_caches(engine.engine()));
  for (const SequenceId id : running) engine.engine().cancel(id);
  for (const SequenceId id : running) (void)engine.wait(id);

  EXPECT_TRUE(clear_caches(engine.engine()));
  const Stream again = engine.wait(engine.submit(engine.request(adapter, prompt, 4)));
  EXPECT_EQ(again.cached_tokens, 0);
  EXPECT_TRUE(again == first);
}

TEST(Engine, LetsOthersLookAtItsPagesBetweenSteps) {
  TestEngine engine({});
  const auto look = [&] {
    std::promise<std::pair<std::uint32_t, std::uint32_t>> seen;  // pages in all, and of adapters
    engine.engine().look_at_pages([&](const PagePool* pool) { seen.set_value({pool->page_count(), pool->count(PageUse::adapter)}); });
    return seen.get_future().get();
  };
  const SchedulerStats stats = engine.engine().stats().scheduler;
  EXPECT_EQ(look(), std::pair(stats.pages_total, 0U));
  const Stream stream = engine.wait(engine.submit(engine.request(adapter_names().back(), {4, 8, 15}, 2)));
  EXPECT_EQ(stream.tokens.size(), 2u);
  EXPECT_GT(look().second, 0u);
}

TEST(Engine, EndsAtAnEndTokenAndNotBeforeMinTokens) {
  TestEngine engine({});
  const Stream free = engine.wait(engine.submit(engine.request("", {5, 6, 7}, 20)));
  GenerationRequest request = engine.request("", {5, 6, 7}, 20);
  request.sampling.end_tokens = {free.tokens[4]};
  const Stream stopped = engine.wait(engine.submit(std::move(request)));
  EXPECT_EQ(stopped.end, EndReason::stop);
  const auto first = std::ranges::find(free.tokens, free.tokens[4]);
  EXPECT_EQ(stopped.tokens, std::vector<TokenId>(free.tokens.begin(), first + 1));

  request = engine.request("", {5, 6, 7}, 20);
  request.sampling.end_tokens = {free.tokens[4]};
  request.sampling.min_tokens = 15;
  EXPECT_GE(engine.wait(engine.submit(std::move(request))).tokens.size(), 15u);
}

TEST(Engine, RefusesWhatCanNeverFit) {
  TestEngine engine({});
  GenerationRequest request = engine.request("", std::vector<TokenId>(50, 1), 1 << 20);
  EXPECT_EQ(engine.engine().submit(std::move(request)).error().code, "never_fits");
  EXPECT_EQ(engine.engine().submit(engine.request("", {}, 1)).error().code, "never_fits");
  EXPECT_EQ(engine.engine().submit(engine.request("", {1, 1 << 20}, 1)).error().code, "bad_token");
  EXPECT_EQ(engine.engine().submit(engine.request("", {-1}, 1)).error().code, "bad_token");
}

TEST(Engine, AnswersFullWhenItsQueueIs) {
  TestEngine engine({.waiting_max = 3});
  std::vector<SequenceId> accepted;
  std::string code;
  for (int i = 0; i < 50 && code.empty(); ++i) {
    GenerationRequest request = engine.request("", {1, 2, 3}, 60);
    const SequenceId id = request.id;
    if (const Status submitted = engine.engine().submit(std::move(request)); submitted) {
      accepted.push_back(id);
    } else {
      code = submitted.error().code;
    }
  }
  EXPECT_EQ(code, "queue_full");
  for (const SequenceId id : accepted) EXPECT_EQ(engine.wait(id).end, EndReason::length);
}

TEST(Engine, HasAPlaceForOthersWhenOneClientFloodsIt) {
  TestEngine engine({.waiting_max = 8, .waiting_per_client_max = 8});
  const auto submit = [&](std::uint64_t client, SequenceId& id) {
    GenerationRequest request = engine.request("", {1, 2, 3}, 60);
    id = request.id;
    request.client = ClientId{client};
    return engine.engine().submit(std::move(request));
  };
  for (int round = 0; round < 3; ++round) {  // what ended or was cancelled is counted no more
    std::vector<SequenceId> accepted;
    std::string code;
    for (int i = 0; i < 50 && code.empty(); ++i) {
      SequenceId id;
      const Status submitted = submit(1, id);
      if (submitted) accepted.push_back(id);
      if (!submitted) code = submitted.error().code;
    }
    EXPECT_EQ(code, "client_queue_full");
    EXPECT_GE(accepted.size(), 4u);
    SequenceId other;
    ASSERT_TRUE(submit(2, other));
    for (std::size_t i = 0; i < accepted.size(); i += 2) engine.engine().cancel(accepted[i]);
    for (const SequenceId id : accepted) EXPECT_TRUE(engine.wait(id).end);
    EXPECT_EQ(engine.wait(other).end, EndReason::length);
  }
}

TEST(Engine, AnswersTheSameOnAQuarterOfThePagesThatAllWant) {
  constexpr int kCount = 200, kPromptTokens = 20, kOutputTokens = 32, kPageTokens = 4;
  constexpr std::uint32_t kWantedPages = kCount * (kPromptTokens + kOutputTokens) / kPageTokens;
  const auto run_all = [&](std::uint32_t page_count) {
    TestEngine engine({.backend = "cpu", .page_count = page_count, .step_tokens_max = 256, .running_max = 200, .adapters = {}});
    std::vector<SequenceId> ids;
    for (int i = 0; i < kCount; ++i) {
      std::vector<TokenId> prompt;
      for (int k = 0; k < kPromptTokens; ++k) prompt.push_back(1 + (i * 7 + k * 3) % 90);
      GenerationRequest request = engine.request("", std::move(prompt), kOutputTokens);
      request.client = ClientId{static_cast<std::uint64_t>(i % 3)};
      ids.push_back(engine.submit(std::move(request)));
    }
    std::vector<Stream> streams;
    for (const SequenceId id : ids) streams.push_back(engine.wait(id));
    return std::pair(std::move(streams), engine.engine().stats().scheduler.preemptions);
  };
  const auto [expected, none] = run_all(2 * kWantedPages);
  const auto [streams, preemptions] = run_all(kWantedPages / 4);
  EXPECT_GT(preemptions, 0u);
  for (std::size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i], expected[i]) << i;
    EXPECT_TRUE(streams[i].end);
  }
}

TEST(Engine, DrainsWhatItAcceptedAndRefusesTheRest) {
  TestEngine engine({});
  const SequenceId id = engine.submit(engine.request("", {1, 2, 3}, 40));
  engine.engine().begin_drain();
  EXPECT_EQ(engine.engine().submit(engine.request("", {1}, 1)).error().code, "draining");
  EXPECT_EQ(engine.wait(id).end, EndReason::length);
}

class EngineWithOwnAdapters : public ::testing::Test {
 protected:
  EngineWithOwnAdapters() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (const char* name : {"a21_r16", "a14_r8"}) fs::copy(kGolden / "mix32" / "adapters" / name, folder_ / name);
  }
  ~EngineWithOwnAdapters() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("slora_engine_test_" + std::to_string(::getpid()));
};

TEST_F(EngineWithOwnAdapters, FailsOnlyTheRequestsOfAnAdapterThatCannotBeLoaded) {
  TestEngine engine({.adapters = folder_});
  GenerationRequest broken = engine.request("a21_r16", {1, 2, 3}, 5);
  fs::resize_file(folder_ / "a21_r16" / "adapter_model.safetensors", 1000);
  const SequenceId broken_id = engine.submit(std::move(broken));
  const SequenceId fine_id = engine.submit(engine.request("a14_r8", {1, 2, 3}, 5));
  const Stream failed = engine.wait(broken_id);
  EXPECT_EQ(failed.end, EndReason::adapter_failed);
  EXPECT_FALSE(failed.error_message.empty());
  EXPECT_EQ(engine.wait(fine_id).end, EndReason::length);
  EXPECT_FALSE(engine.runtime().adapters().resolve("a21_r16").has_value());
}

// The last rows of q's B are on the second shard only, and are the only ones that can't be stored.
TEST_F(EngineWithOwnAdapters, FailsAnAdapterThatOneShardCannotStoreAndUsesItsPagesAgain) {
  for (const char* name : {"a21_r16", "a14_r8"}) {
    const std::string path = (folder_ / name / "adapter_model.safetensors").string();
    std::uint64_t last = 0;
    {
      const Result<SafetensorsFile> file = SafetensorsFile::open(path);
      ASSERT_TRUE(file);
      for (const TensorInfo& info : file->tensors()) {
        if (info.name.ends_with("q_proj.lora_B.weight")) last = info.offset + info.bytes - sizeof(float);
      }
    }
    ASSERT_GT(last, 0u) << name;
    fs::copy(folder_ / name, folder_ / (std::string("broken_") + name));
    std::fstream broken(folder_ / (std::string("broken_") + name) / "adapter_model.safetensors",
                        std::ios::binary | std::ios::in | std::ios::out);
    broken.seekp(static_cast<std::streamoff>(last));
    broken << "\xff\xff\xff\xff";
    ASSERT_TRUE(broken.flush());
  }
  EngineSetting setting{.shards = 2, .adapters = folder_};
  std::uint32_t largest = 0;
  {
    TestEngine engine(setting);
    for (const std::string& name : names_in(folder_)) largest = std::max(largest, engine.request(name, {1}, 1).adapter->page_count());
  }
  setting.page_count = largest + 8;  // for one adapter and one sequence at a time
  TestEngine engine(setting);
  for (const char* name : {"broken_a21_r16", "broken_a14_r8"}) {
    const SequenceId broken = engine.submit(engine.request(name, {1, 2, 3}, 5));
    const SequenceId base = engine.submit(engine.request("", {1, 2, 3}, 5));
    const Stream failed = engine.wait(broken);
    EXPECT_EQ(failed.end, EndReason::adapter_failed);
    EXPECT_EQ(failed.error_code, "E_NONFINITE") << failed.error_message;
    EXPECT_EQ(engine.wait(base).end, EndReason::length);
  }
  for (const char* name : {"a21_r16", "a14_r8"}) {
    EXPECT_EQ(engine.wait(engine.submit(engine.request(name, {1, 2, 3}, 5))).end, EndReason::length) << name;
  }
  EXPECT_TRUE(clear_caches(engine.engine()));
  const auto free_pages = [&] { return engine.engine().stats().scheduler.pages_free; };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);  // for the statistics of the next iteration
  while (free_pages() < setting.page_count && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(free_pages(), setting.page_count);
}

TEST_F(EngineWithOwnAdapters, ServesANewContentUnderAnOldNameToNewRequestsOnly) {
  TestEngine engine({.adapters = folder_});
  const std::vector<TokenId> prompt = {4, 8, 15, 16, 23, 42};
  const Stream before = engine.wait(engine.submit(engine.request("a21_r16", prompt, 30)));
  const Stream other = engine.wait(engine.submit(engine.request("a14_r8", prompt, 30)));
  ASSERT_NE(before.tokens, other.tokens);
  const SequenceId running = engine.submit(engine.request("a21_r16", prompt, 30));
  engine.collector().wait_for_tokens(running, 1);
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
    fs::copy_file(folder_ / "a14_r8" / file, folder_ / "new_file");
    fs::rename(folder_ / "new_file", folder_ / "a21_r16" / file);
  }
  EXPECT_TRUE(engine.runtime().adapters().look_at_resident());
  const SequenceId renewed = engine.submit(engine.request("a21_r16", prompt, 30));
  EXPECT_EQ(engine.wait(running).tokens, before.tokens);
  EXPECT_EQ(engine.wait(renewed).tokens, other.tokens);
}

}  // namespace
}  // namespace slora::testing
