#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/testing/source_path.h"
#include "engine/runtime.h"

// What tests of the engine share: an engine that serves a golden model with its adapters, and a collector of its events.
namespace slora::testing {

namespace fs = std::filesystem;

inline const fs::path kGolden = source_path("tests/golden");

// All events of one sequence together.
struct Stream {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::vector<std::vector<TokenLogprob>> top;
  std::vector<PromptLogprob> prompt_logprobs;
  std::vector<float> embedding;
  std::int32_t cached_tokens = 0;
  std::optional<EndReason> end;
  std::string error_code, error_message;
  bool operator==(const Stream& other) const { return tokens == other.tokens && logprobs == other.logprobs && end == other.end; }
};

// Gathers events and lets tests wait for ends.
class Collector {
 public:
  Engine::EventSink sink() {
    return [this](std::vector<TokenEvent>&& events) {
      const std::lock_guard lock(mutex_);
      for (TokenEvent& event : events) {
        Stream& stream = streams_[event.sequence];
        EXPECT_FALSE(stream.end.has_value()) << "an event after the end";
        if (!event.prompt_logprobs.empty()) {
          EXPECT_TRUE(event.token.id >= 0 && stream.tokens.empty()) << "they come with the first token";
          stream.prompt_logprobs = std::move(event.prompt_logprobs);
        }
        if (!event.embedding.empty()) stream.embedding = std::move(event.embedding);
        if (event.token.id >= 0) {
          stream.tokens.push_back(event.token.id);
          stream.logprobs.push_back(event.token.logprob);
          stream.top.push_back(std::move(event.token.top));
        }
        stream.cached_tokens = std::max(stream.cached_tokens, event.cached_tokens);
        stream.end = event.end;
        stream.error_code = event.error_code;
        stream.error_message = event.error_message;
      }
      changed_.notify_all();
    };
  }
  Stream wait(SequenceId id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(120), [&] { return streams_[id].end.has_value(); })) << "no end came";
    return streams_[id];
  }
  void wait_for_tokens(SequenceId id, std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(120), [&] { return streams_[id].tokens.size() >= count || streams_[id].end; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<SequenceId, Stream> streams_;
};

using WrapBackend = std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)>;

// For engines in one piece whose tests do not say: how all tests of a program run on another backend.
inline WrapBackend wrap_by_default;

struct EngineSetting {
  std::string model = "mix32";
  std::string backend = "reference";
  int threads = 1;
  std::int32_t shards = 1;
  std::int32_t page_tokens = 4;
  std::uint32_t page_count = 4000;
  std::int32_t step_tokens_max = 64;
  std::int32_t running_max = 64;
  std::size_t waiting_max = 1024;
  std::optional<std::size_t> waiting_per_client_max{};
  fs::path adapters = kGolden / "mix32" / "adapters";
  PoolUse pool_use{};
  std::vector<std::string> pinned{};
  Timestamp adapter_idle_time{0};
  std::optional<std::int32_t> max_adapter_len{};
  PolicyOptions policy{};
  WrapBackend wrap_backend{};
};

class TestEngine {
 public:
  explicit TestEngine(EngineSetting setting) {
    const EngineSetting defaults;
    const bool chooses_pages = setting.page_tokens != defaults.page_tokens || setting.page_count != defaults.page_count;
    if (kStressMode == StressMode::tiny_pages && !chooses_pages) {
      setting.page_tokens = 2 * setting.shards;  // fewer would not fill a page of any shard
      setting.page_count *= 2;
    }
    RuntimeOptions options;
    options.model_folder = kGolden / setting.model;
    options.model_name = setting.model;
    options.backend = setting.backend;
    options.threads = setting.threads;
    options.shard_count = setting.shards;
    options.page_tokens = setting.page_tokens;
    options.step_tokens_max = setting.step_tokens_max;
    options.running_max = setting.running_max;
    options.waiting_max = setting.waiting_max;
    options.waiting_per_client_max = setting.waiting_per_client_max;
    options.pool_use = setting.pool_use;
    options.pinned_adapters = setting.pinned;
    options.adapter_idle_time = setting.adapter_idle_time;
    options.max_adapter_len = setting.max_adapter_len;
    options.policy = setting.policy;
    options.wrap_backend = setting.wrap_backend || setting.shards > 1 ? setting.wrap_backend : wrap_by_default;
    if (!setting.adapters.empty()) options.adapter_folders = {setting.adapters};
    const Result<ModelConfig> config = read_model_config(options.model_folder.string());
    const DType kv = setting.backend == "reference" ? DType::f32 : DType::bf16;
    const ShardShape shape = *make_shard_shape(*config, 0, setting.shards);
    options.pool_bytes = setting.page_count * static_cast<std::uint64_t>(setting.shards) *
                         make_kv_geometry(*config, shape, kv, setting.page_tokens).page_bytes();
    Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), collector_.sink());
    if (!runtime) ADD_FAILURE() << runtime.error().message;
    runtime_ = std::move(*runtime);
  }

  [[nodiscard]] GenerationRequest request(const std::string& adapter, std::vector<TokenId> prompt, std::int32_t output_tokens) {
    GenerationRequest request;
    request.id = runtime_->engine().next_sequence_id();
    request.prompt = std::move(prompt);
    request.output_tokens_max = output_tokens;
    request.sampling.temperature = 0;
    request.sampling.logprob_count = 0;
    if (!adapter.empty()) {
      Result<std::shared_ptr<const AdapterVersion>> version = runtime_->adapters().resolve(adapter);
      if (!version) ADD_FAILURE() << version.error().message;
      request.adapter = *version;
    }
    return request;
  }
  SequenceId submit(GenerationRequest request) {
    const SequenceId id = request.id;
    const Status submitted = runtime_->engine().submit(std::move(request));
    EXPECT_TRUE(submitted) << submitted.error().message;
    return id;
  }
  Stream wait(SequenceId id) { return collector_.wait(id); }
  // Ends the engine; its events can still be read.
  void stop() { runtime_.reset(); }
  Collector& collector() { return collector_; }
  Engine& engine() { return runtime_->engine(); }
  Runtime& runtime() { return *runtime_; }

 private:
  Collector collector_;
  std::unique_ptr<Runtime> runtime_;
};

// Of the folders in a folder.
inline std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

inline std::vector<std::string> adapter_names() { return names_in(kGolden / "mix32" / "adapters"); }

}  // namespace slora::testing
