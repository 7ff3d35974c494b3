// What weights in 8 bits change: log-probabilities on the cpu backend, with weights in bf16 and in int8, against fp32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "api/text_model.h"
#include "base/testing/source_path.h"
#include "formats/file.h"
#include "formats/json.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

// Rounding a group of normal numbers to 255 levels errs by 2.7 / 127 / sqrt(12) = 0.6 % of their standard deviation (2.7: the largest of
// 128); rounding each to bf16 by 2^-8 / sqrt(3) / 1.4 = 0.16 %, a quarter. Weights and activations err alike, but a file in bf16 has
// weights that bf16 doesn't round: there int8 should err by sqrt(2) more.
constexpr double kInt8OverBf16 = 4 * 1.42;
constexpr double kSlack = 1.3;  // what is rounded is not quite normal

struct Text {
  std::string adapter;  // empty: the base
  std::vector<TokenId> tokens;
};

// Differences of log-probabilities to fp32: of the tokens that follow, and of every token of the vocabulary.
struct Differences {
  double next_sum = 0, next_max = 0, all_sum = 0, all_max = 0;
  std::int64_t next_count = 0, all_count = 0, same_likeliest = 0;

  [[nodiscard]] double next_mean() const { return next_sum / static_cast<double>(next_count); }
  [[nodiscard]] double all_mean() const { return all_sum / static_cast<double>(all_count); }
  [[nodiscard]] double likeliest_share() const { return static_cast<double>(same_likeliest) / static_cast<double>(next_count); }
};

std::vector<double> log_probabilities(const std::vector<float>& logits) {
  const double highest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  std::vector<double> out;
  for (const float logit : logits) out.push_back(logit - highest - std::log(sum));
  return out;
}

std::ptrdiff_t likeliest(const std::vector<double>& values) { return std::ranges::max_element(values) - values.begin(); }

using Rows = std::vector<std::vector<float>>;

Rows run(GoldenModel& model, const Text& text) {
  return model.run_alone(text.tokens, text.adapter.empty() ? nullptr : model.adapter(text.adapter));
}

Differences measure(const std::vector<Rows>& exact, const std::string& name, const GoldenModel::Options& options,
                    const std::vector<Text>& texts) {
  GoldenModel model(name, options);
  Differences out;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Rows rows = run(model, texts[i]);
    for (std::size_t position = 0; position + 1 < rows.size(); ++position) {
      const std::vector<double> want = log_probabilities(exact[i][position]), got = log_probabilities(rows[position]);
      const auto next = static_cast<std::size_t>(texts[i].tokens[position + 1]);
      out.next_sum += std::abs(got[next] - want[next]);
      out.next_max = std::max(out.next_max, std::abs(got[next] - want[next]));
      out.same_likeliest += likeliest(got) == likeliest(want) ? 1 : 0;
      ++out.next_count;
      for (std::size_t token = 0; token < want.size(); ++token) {
        out.all_sum += std::abs(got[token] - want[token]);
        out.all_max = std::max(out.all_max, std::abs(got[token] - want[token]));
      }
      out.all_count += static_cast<std::int64_t>(want.size());
    }
  }
  return out;
}

void print(const std::string& name, const char* weights, const Differences& found) {
  fmt::print(
      "{:<20} {:<5} {:>5} positions, likeliest token kept {:6.2f} %; |difference| to fp32 of the token that follows: mean {:.4f}, "
      "largest {:.3f}; of every token: mean {:.4f}, largest {:.3f}\n",
      name, weights, found.next_count, 100 * found.likeliest_share(), found.next_mean(), found.next_max, found.all_mean(), found.all_max);
}

struct Pair {
  Differences bf16, int8;
};

Pair compare(const std::string& name, const std::string& folder, const std::vector<Text>& texts, std::int32_t shards = 1) {
  GoldenModel reference(folder, {.backend = "reference"});
  std::vector<Rows> exact;
  for (const Text& text : texts) exact.push_back(run(reference, text));
  const int threads = 2 / shards;
  const Pair found{measure(exact, folder, {.backend = "cpu", .threads = threads, .shards = shards}, texts),
                   measure(exact, folder, {.backend = "cpu", .threads = threads, .shards = shards, .weights = WeightStorage::int8}, texts)};
  print(name, "bf16", found.bf16);
  print(name, "int8", found.int8);
  return found;
}

// The prompts of a random model whose logits are known.
std::vector<Text> golden_texts(const std::string& name) {
  const Expected expected(name);
  std::vector<Text> texts;
  for (const std::string& ids : expected.names_with("ids.")) {
    const std::string prompt = ids.substr(4);
    if (expected.has("logits." + prompt) && expected.tokens(ids).size() > 1) texts.push_back({"", expected.tokens(ids)});
  }
  return texts;
}

TEST(Int8, ErrsAsMuchMoreThanBf16AsItsLevelsAreFewerOnRandomModels) {
  for (const std::string& name : golden_models_with("expected.safetensors")) {
    const Pair found = compare(name, name, golden_texts(name));
    EXPECT_LE(found.int8.all_mean(), kSlack * kInt8OverBf16 * found.bf16.all_mean()) << name;
    EXPECT_GT(found.int8.all_mean(), found.bf16.all_mean()) << name << ": weights in 8 bits were asked for";
  }
}

// Each shard's groups begin at its own inputs of o and down, so they are other groups than those of the model in one piece.
TEST(Int8, ErrsNoMoreInShards) {
  int compared = 0;
  for (const std::string& name : golden_models_with("expected.safetensors")) {
    if (!make_shard_shape(*read_model_config(golden_folder(name)), 0, 2)) continue;
    const std::vector<Text> texts = golden_texts(name);
    const Pair whole = compare(name, name, texts), shards = compare(name + ", 2 shards", name, texts, 2);
    EXPECT_LE(shards.int8.all_mean(), kSlack * kInt8OverBf16 * whole.bf16.all_mean()) << name;
    ++compared;
  }
  EXPECT_GE(compared, 8);
}

// Compared with plain loops over the same values, int4 errs by rounding inputs to 8 bits and by the head in 8 bits: no more than int8 does.
TEST(Int4, IsTheModelOfTheValuesThatItKeeps) {
  for (const std::string& name : golden_models_with("expected.safetensors")) {
    const std::vector<Text> texts = golden_texts(name);
    GoldenModel fp32(name, {.backend = "reference"});
    GoldenModel kept(name, {.backend = "reference", .weights = WeightStorage::int4});
    std::vector<Rows> exact, exact_kept;
    for (const Text& text : texts) {
      exact.push_back(run(fp32, text));
      exact_kept.push_back(run(kept, text));
    }
    const Differences bf16 = measure(exact, name, {.backend = "cpu", .threads = 2}, texts);
    const Differences int4 = measure(exact_kept, name, {.backend = "cpu", .threads = 2, .weights = WeightStorage::int4}, texts);
    const Differences lost = measure(exact, name, {.backend = "cpu", .threads = 2, .weights = WeightStorage::int4}, texts);
    print(name, "int4", lost);
    EXPECT_LE(int4.all_mean(), kSlack * kInt8OverBf16 * bf16.all_mean()) << name;
    EXPECT_GT(lost.all_mean(), int4.all_mean()) << name << ": weights in 4 bits were asked for";
  }
}

// Prompts with their right answers, for the base and every adapter.
std::vector<Text> demo_texts(const std::string& demo) {
  const Result<std::shared_ptr<const TextModel>> model = TextModel::load(demo + "/model", {});
  check(model.has_value(), "a demo model with its tokenizer");
  const Result<std::string> eval = read_text_file(demo + "/eval.json", 16 << 20);
  check(eval.has_value(), "demo/eval.json that can be read");
  std::vector<Text> texts;
  std::map<std::string, int> taken;
  const Result<Json> json = parse_json(*eval);
  check(json.has_value(), "demo/eval.json that is JSON");
  for (const Json& example : (*json)["examples"]) {
    const std::string adapter = example["adapter"].is_string() && example["adapter"] != "base" ? example["adapter"] : "";
    if (++taken[adapter] > 10) continue;
    const Result<std::string> prompt = (*model)->render({.messages = Json::array({{{"role", "user"}, {"content", example["prompt"]}}})});
    check(prompt.has_value(), "a chat template that renders a message");
    texts.push_back({adapter.empty() ? "" : demo + "/adapters/" + adapter,
                     (*model)->tokenizer().encode(*prompt + example["expected"].get<std::string>(), SpecialTokens::omit).value()});
  }
  return texts;
}

TEST(Int8, KeepsTheAnswersOfTheDemoAndNearlyTheirProbabilities) {
  const std::string demo = source_path("demo");
  const Pair found = compare("demo", demo + "/model", demo_texts(demo));
  EXPECT_LE(found.int8.next_mean(), kSlack * kInt8OverBf16 * found.bf16.next_mean());
  EXPECT_GE(found.int8.likeliest_share(), 0.98);
}

}  // namespace
}  // namespace slora::testing
