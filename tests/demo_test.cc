// Every demo adapter does what it was trained for on inputs that it never saw: alone, and all of them mixed in one batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "engine/runtime.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr double kRightMin = 0.95;
constexpr std::int32_t kAnswerTokensMax = 96;

struct Example {
  std::string adapter, prompt, expected;
};

std::string demo_folder(const std::string& part) { return source_path("demo/" + part); }

// The held-out examples of adapters; those of the base, under an empty name, are left out.
std::vector<Example> read_examples() {
  const Result<std::string> text = read_text_file(demo_folder("eval.json"), 16 << 20);
  check(text.has_value(), "demo/eval.json that can be read");
  const Result<Json> json = parse_json(*text);
  check(json.has_value(), "demo/eval.json that is JSON");
  std::vector<Example> examples;
  for (const Json& example : (*json)["examples"]) {
    if (!example["adapter"].is_string() || example["adapter"] == "" || example["adapter"] == "base") continue;
    examples.push_back({example["adapter"], example["prompt"], example["expected"]});
  }
  return examples;
}

class DemoTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    RuntimeOptions options;
    options.model_folder = demo_folder("model");
    options.model_name = "demo";
    options.backend = "cpu";
    options.pool_bytes = std::uint64_t{256} << 20;
    options.adapter_folders = {demo_folder("adapters")};
    Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), [](std::vector<TokenEvent>&& events) {
      const std::lock_guard lock(mutex_);
      for (const TokenEvent& event : events) {
        Answer& answer = answers_[event.sequence];
        if (event.token.id >= 0) answer.tokens.push_back(event.token.id);
        answer.ended = event.end.has_value();
      }
      changed_.notify_all();
    });
    ASSERT_TRUE(runtime.has_value()) << runtime.error().message;
    runtime_ = std::move(*runtime);
    const Result<std::shared_ptr<const TextModel>> text =
        TextModel::load(demo_folder("model"), {.vocabulary_size = runtime_->model_config().vocab_size});
    ASSERT_TRUE(text.has_value()) << text.error().message;
    text_ = *text;
  }
  static void TearDownTestSuite() {
    runtime_.reset();
    text_.reset();
  }

  static SequenceId submit(const Example& example) {
    const Json messages = Json::array({{{"role", "user"}, {"content", example.prompt}}});
    const Result<std::string> prompt = text_->render({.messages = messages});
    check(prompt.has_value(), "a chat template that renders a message");
    GenerationRequest request;
    request.id = runtime_->engine().next_sequence_id();
    request.prompt = text_->tokenizer().encode(*prompt, SpecialTokens::omit).value();
    request.output_tokens_max = kAnswerTokensMax;
    request.sampling.temperature = 0;
    request.sampling.end_tokens = text_->sampling().end_tokens;
    auto adapter = runtime_->adapters().resolve(example.adapter);
    check(adapter.has_value(), "an adapter that is served");
    request.adapter = *adapter;
    const SequenceId id = request.id;
    check(runtime_->engine().submit(std::move(request)).has_value(), "room for the examples");
    return id;
  }
  static std::string wait(SequenceId id) {
    std::unique_lock lock(mutex_);
    check(changed_.wait_for(lock, std::chrono::seconds(300), [&] { return answers_[id].ended; }), "an answer within minutes");
    return text_->tokenizer().decode(answers_[id].tokens, SpecialText::skip);
  }
  // The share of right answers by adapter when all examples run in one batch.
  static std::map<std::string, double> rates(const std::vector<Example>& examples) {
    std::vector<SequenceId> ids;
    for (const Example& example : examples) ids.push_back(submit(example));
    std::map<std::string, int> right, asked;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      ++asked[examples[i].adapter];
      if (wait(ids[i]) == examples[i].expected) ++right[examples[i].adapter];
    }
    std::map<std::string, double> rates;
    for (const auto& [adapter, count] : asked) rates[adapter] = static_cast<double>(right[adapter]) / count;
    return rates;
  }

 private:
  struct Answer {
    std::vector<TokenId> tokens;
    bool ended = false;
  };
  static inline std::mutex mutex_;
  static inline std::condition_variable changed_;
  static inline std::map<SequenceId, Answer> answers_;  // guarded by mutex_
  static inline std::unique_ptr<Runtime> runtime_;
  static inline std::shared_ptr<const TextModel> text_;
};

TEST_F(DemoTest, HasAtLeastSixAdaptersThatAnswerRightAlone) {
  std::map<std::string, std::vector<Example>> by_adapter;
  for (const Example& example : read_examples()) by_adapter[example.adapter].push_back(example);
  EXPECT_GE(by_adapter.size(), 6u);
  for (const auto& [adapter, examples] : by_adapter) {
    EXPECT_GE(examples.size(), 20u) << adapter;
    EXPECT_GE(rates(examples)[adapter], kRightMin) << adapter;
  }
}

TEST_F(DemoTest, HasAdaptersThatAnswerRightMixedInOneBatch) {
  std::vector<Example> examples = read_examples();
  // Neighbours of different adapters.
  std::ranges::stable_sort(examples, {}, [](const Example& example) { return example.prompt; });
  for (const auto& [adapter, rate] : rates(examples)) EXPECT_GE(rate, kRightMin) << adapter;
}

}  // namespace
}  // namespace slora
