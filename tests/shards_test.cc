// Models in shards against transformers, peft, and the model in one piece.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;

// Why a model can't be cut into so many shards; empty when it can.
std::string refusal_of(const std::string& model, std::int32_t shard_count) {
  const Result<ModelConfig> config = read_model_config(golden_folder(model));
  check(config.has_value(), "expected a golden model's config");
  const Result<ShardShape> shape = make_shard_shape(*config, 0, shard_count);
  return shape ? "" : shape.error().code + ": " + shape.error().message;
}

// Of families whose tensors can't be cut.
bool is_of_one_piece(const std::string& refusal) {
  return refusal.starts_with("E_SHARDS: config.json: \"model_type\": ") && refusal.ends_with(" shards");
}

class ShardedLogits : public ::testing::TestWithParam<std::tuple<std::string, BackendCase, std::int32_t>> {
 protected:
  void SetUp() override {
    refusal_ = refusal_of(model_name_, shard_count_);
    if (refusal_.empty() || is_of_one_piece(refusal_)) return;
    const ModelConfig config = *read_model_config(golden_folder(model_name_));
    const bool heads_divide = config.head_count % shard_count_ == 0;
    const std::string key = heads_divide ? "num_key_value_heads" : "num_attention_heads";
    const std::int32_t value = heads_divide ? config.kv_head_count : config.head_count;
    EXPECT_TRUE(refusal_.starts_with("E_SHARDS: config.json: " + key + " is " + std::to_string(value) + "; ")) << refusal_;
    EXPECT_TRUE(refusal_.ends_with(" of the " + std::to_string(shard_count_) + " shards")) << refusal_;
  }
  [[nodiscard]] GoldenModel::Options options() const { return {.backend = backend_.backend, .shards = shard_count_}; }

  const std::string model_name_ = std::get<0>(GetParam());
  const BackendCase backend_ = std::get<1>(GetParam());
  const std::int32_t shard_count_ = std::get<2>(GetParam());
  std::string refusal_;
};

TEST_P(ShardedLogits, EqualTransformersUnlessTheModelIsRefusedByName) {
  if (!refusal_.empty()) return;
  const Expected expected(model_name_);
  GoldenModel model(model_name_, options());
  for (const std::string& ids : expected.names_with("ids.")) {
    const std::string prompt = ids.substr(4);
    if (!expected.has("logits." + prompt)) continue;
    expect_close(model.run_alone(expected.tokens(ids)), expected.floats("logits." + prompt), backend_, "prompt " + prompt);
  }
}

class ShardedAdapters : public ShardedLogits {};

TEST_P(ShardedAdapters, GiveTheLogitsOfPeft) {
  if (!refusal_.empty()) return;
  const Expected expected(model_name_);
  GoldenModel model(model_name_, options());
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(golden_folder(model_name_) + "/adapters")) {
    const std::string adapter = entry.path().filename().string();
    for (const std::string& name : expected.names_with("logits." + adapter + ".")) {
      const std::string prompt = name.substr(name.rfind('.') + 1);
      expect_close(model.run_alone(expected.tokens("ids." + prompt), model.adapter(adapter)), expected.floats(name), backend_, name);
      ++compared;
    }
    if (!expected.has("logits_tail." + adapter)) continue;
    expect_close(model.run_alone(expected.tokens("ids." + adapter), model.adapter(adapter)), expected.floats("logits_tail." + adapter),
                 backend_, adapter);
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

const auto kBackends = ::testing::Values(BackendCase{"reference", true}, BackendCase{"cpu", false});
const auto kShardCounts = ::testing::Values(2, 4);
const auto kName = [](const auto& test) {
  return std::get<0>(test.param) + "_" + std::get<1>(test.param).backend + "_" + std::to_string(std::get<2>(test.param));
};
INSTANTIATE_TEST_SUITE_P(Models, ShardedLogits,
                         ::testing::Combine(::testing::ValuesIn(golden_models_with("expected.safetensors")), kBackends, kShardCounts),
                         kName);
INSTANTIATE_TEST_SUITE_P(Models, ShardedAdapters,
                         ::testing::Combine(::testing::ValuesIn(golden_models_with("adapters")), kBackends, kShardCounts), kName);

TEST(ShardedModels, AreManyThatCanBeCutAndSomeThatCannot) {
  const auto count = [](std::int32_t shard_count) {
    return std::ranges::count_if(golden_models_with("expected.safetensors"),
                                 [&](const std::string& model) { return refusal_of(model, shard_count).empty(); });
  };
  EXPECT_GE(count(2), 8);
  EXPECT_GE(count(4), 5) << "among them models with fewer KV heads than shards";
  EXPECT_LT(count(2), std::ssize(golden_models_with("expected.safetensors")));
}

class ShardedBatch : public ::testing::TestWithParam<BackendCase> {};
const auto kBackendName = [](const auto& test) { return std::string(test.param.backend); };
INSTANTIATE_TEST_SUITE_P(Backends, ShardedBatch, kBackends, kBackendName);

class ShardedMix : public ::testing::TestWithParam<std::tuple<std::string, BackendCase>> {};
INSTANTIATE_TEST_SUITE_P(Models, ShardedMix, ::testing::Combine(::testing::Values("mix32", "families"), kBackends),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param).backend; });

// Adapters of ranks 1 to 64, or of all families, and base rows in one forward pass.
TEST_P(ShardedMix, OfManyAdaptersAndBaseRowsEqualsEachAlone) {
  const auto& [model_name, backend] = GetParam();
  const Expected expected(model_name);
  GoldenModel model(model_name, {.backend = backend.backend, .shards = 2});
  std::vector<Piece> pieces = {{0, expected.tokens("ids.2"), nullptr}};
  std::vector<std::string> names = {"logits.2"};
  for (const std::string& tail : expected.names_with("logits_tail.")) {
    const std::string adapter = tail.substr(12);
    pieces.push_back({static_cast<int>(pieces.size()), expected.tokens("ids." + adapter), model.adapter(adapter)});
    names.push_back(tail);
  }
  pieces.push_back({static_cast<int>(pieces.size()), expected.tokens("ids.3"), nullptr});
  names.emplace_back("logits.3");
  ASSERT_GE(pieces.size(), 29u + 2u);

  const std::vector<std::vector<float>> rows = model.run(pieces);
  auto row = rows.begin();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto end = row + std::ssize(pieces[i].tokens);
    const std::vector<std::vector<float>> own(row, end);
    row = end;
    expect_close(own, expected.floats(names[i]), backend, names[i]);
    EXPECT_EQ(own, model.run_alone(pieces[i].tokens, pieces[i].adapter)) << names[i] << ": the same bits alone as in the batch";
  }
}

// A model that 4 shards can cut, with KV heads for two of them, and adapters on every module: made here, since no golden model has both.
class MadeModel {
 public:
  static constexpr std::int64_t kHidden = 48, kInner = 64, kVocab = 101, kHeads = 8, kKvHeads = 2, kHeadDim = 6, kLayers = 2;

  MadeModel() {
    std::ofstream(folder_.file("config.json")) << R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
        "hidden_size": 48, "intermediate_size": 64, "vocab_size": 101, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 6,
        "num_hidden_layers": 2, "max_position_embeddings": 256, "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": false})";
    std::vector<TensorToWrite> tensors;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, float scale, float offset = 0) {
      tensors.push_back(tensor_to_write(name, DType::f32, shape, values(shape, scale, offset)));
    };
    add("model.embed_tokens.weight", {kVocab, kHidden}, 1);
    add("lm_head.weight", {kVocab, kHidden}, 0.2f);
    add("model.norm.weight", {kHidden}, 0.1f, 1);
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) add(prefix + norm + ".weight", {kHidden}, 0.1f, 1);
      for (const Module& module : modules()) {
        add(prefix + module.name + ".weight", {module.out, module.in}, 1 / std::sqrt(static_cast<float>(module.in)));
        add(prefix + module.name + ".bias", {module.out}, 0.2f);
      }
    }
    check(write_safetensors(folder_.file("model.safetensors"), tensors).has_value(), "expected a written model");
  }

  [[nodiscard]] std::string folder() const { return folder_.path(); }

  // Adapts all modules of the layers and the head. With biases, all of them are replaced, too.
  [[nodiscard]] std::string make_adapter(std::int32_t rank, std::string name, std::string_view more_config = "", bool has_biases = false) {
    const fs::path folder = fs::path(folder_.path()) / "adapters" / name;
    fs::create_directories(folder);
    std::ofstream(folder / "adapter_config.json")
        << R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "target_modules": "all-linear", "r": )" << rank << R"(, "lora_alpha": )"
        << 2 * rank << more_config << "}";
    std::vector<TensorToWrite> tensors;
    const auto add = [&](const std::string& tensor, std::vector<std::int64_t> shape, float scale) {
      tensors.push_back(tensor_to_write("base_model.model." + tensor, DType::f32, shape, values(shape, scale, 0)));
    };
    const auto add_module = [&](const std::string& path, std::int64_t out, std::int64_t in) {
      add(path + ".lora_A.weight", {rank, in}, 1 / std::sqrt(static_cast<float>(in)));
      add(path + ".lora_B.weight", {out, rank}, 0.3f / std::sqrt(static_cast<float>(rank)));
      if (has_biases) add(path + ".base_layer.bias", {out}, 0.5f);
    };
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      for (const Module& module : modules()) add_module("model.layers." + std::to_string(layer) + "." + module.name, module.out, module.in);
    }
    if (!has_biases) add_module("lm_head", kVocab, kHidden);
    check(write_safetensors((folder / "adapter_model.safetensors").string(), tensors).has_value(), "expected a written adapter");
    return name;
  }

 private:
  struct Module {
    std::string name;
    std::int64_t out, in;
  };
  static std::vector<Module> modules() {
    constexpr std::int64_t kQ = kHeads * kHeadDim, kKv = kKvHeads * kHeadDim;
    return {{"self_attn.q_proj", kQ, kHidden}, {"self_attn.k_proj", kKv, kHidden}, {"self_attn.v_proj", kKv, kHidden},
            {"self_attn.o_proj", kHidden, kQ}, {"mlp.gate_proj", kInner, kHidden}, {"mlp.up_proj", kInner, kHidden},
            {"mlp.down_proj", kHidden, kInner}};
  }
  std::vector<float> values(const std::vector<std::int64_t>& shape, float scale, float offset) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    std::normal_distribution<float> normal(offset, scale);
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& value : out) value = normal(random_);
    return out;
  }

  const TemporaryFolder folder_;
  std::mt19937 random_{11};
};

constexpr std::int32_t kPageTokens = 16;  // for adapters, pages of one small KV head must not be too small

std::vector<float> flat(const std::vector<std::vector<float>>& rows) {
  std::vector<float> out;
  for (const std::vector<float>& row : rows) out.insert(out.end(), row.begin(), row.end());
  return out;
}

// Unequal ranks, below the number of shards and not divisible by it, in one batch, with biases that are added or replaced.
TEST_P(ShardedBatch, OfUnequalRanksEqualsTheModelInOnePiece) {
  MadeModel made;
  std::vector<std::string> names = {""};
  for (const std::int32_t rank : {1, 2, 3, 4, 5, 8, 13, 33}) names.push_back(made.make_adapter(rank, "r" + std::to_string(rank)));
  names.push_back(made.make_adapter(3, "biases", R"(, "bias": "all")", true));
  names.emplace_back("");
  const auto run = [&](GoldenModel& model) {
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < names.size(); ++i) {
      std::vector<TokenId> tokens;
      for (std::size_t t = 0; t < 5 + i; ++t) tokens.push_back(static_cast<TokenId>((7 * i + 13 * t) % MadeModel::kVocab));
      pieces.push_back({static_cast<int>(i), tokens, names[i].empty() ? nullptr : model.adapter(names[i])});
    }
    return model.run(pieces);
  };
  GoldenModel whole(made.folder(), {.backend = GetParam().backend, .page_tokens = kPageTokens});
  const std::vector<std::vector<float>> expected = run(whole);
  for (const std::int32_t shard_count : {2, 4}) {
    GoldenModel model(made.folder(), {.backend = GetParam().backend, .shards = shard_count, .page_tokens = kPageTokens});
    expect_close(run(model), flat(expected), GetParam(), std::to_string(shard_count) + " shards");
  }
}

TEST_P(ShardedBatch, HasTheSameBitsEveryTime) {
  MadeModel made;
  const std::string name = made.make_adapter(6, "r6");
  std::vector<std::vector<float>> first;
  for (int round = 0; round < 3; ++round) {
    GoldenModel model(made.folder(), {.backend = GetParam().backend, .threads = 1 + round % 2, .shards = 4, .page_tokens = kPageTokens});
    const auto rows = model.run({{0, {1, 2, 3, 4, 5}, nullptr}, {1, {9, 8, 7}, model.adapter(name)}});
    if (round == 0) first = rows;
    EXPECT_EQ(rows, first);
  }
}

// Each layer has the base's two all-reduces; adapters add two gathers, of q, k, v and of gate, up, and two small all-reduces. Per shard and
// attention block the base sends 2 (N - 1) T h / N elements, and adapters of rank r on B of the T rows send 5 (N - 1) B r / N.
TEST(Collectives, OfALayerAreAsManyAndAsLargeAsSLoRASays) {
  constexpr std::int64_t kRank = 8, kBaseRows = 6, kAdapterRows = 5, kRows = kBaseRows + kAdapterRows;
  MadeModel made;
  const std::string name = made.make_adapter(kRank, "r8");
  for (const std::int32_t shard_count : {2, 4}) {
    GoldenModel model(made.folder(), {.shards = shard_count, .page_tokens = kPageTokens});
    const AdapterView* const adapter = model.adapter(name);
    std::vector<CollectiveCounts> after;
    model.set_after_layer([&] { after.push_back(model.counts()); });

    CollectiveCounts before = model.counts();
    (void)model.run({{0, {1, 2, 3, 4, 5, 6}, nullptr}});
    ASSERT_EQ(after.size(), 2u);
    EXPECT_EQ(after[0].all_reduces - before.all_reduces, 1u + 2u) << "one of them is the embedding's";
    EXPECT_EQ(after[1].all_reduces - after[0].all_reduces, 2u);
    EXPECT_EQ(after[1].all_reduce_bytes - after[0].all_reduce_bytes, 2u * kBaseRows * MadeModel::kHidden * sizeof(float));
    EXPECT_EQ(after[1].gathers, before.gathers) << "nothing for adapters";
    EXPECT_EQ(model.counts().gathers, before.gathers);
    EXPECT_EQ(model.counts().gathers_to_first - before.gathers_to_first, 1u) << "the logits";
    const std::int64_t logits = kBaseRows * shard_count * ((MadeModel::kVocab + shard_count - 1) / shard_count);
    EXPECT_EQ(model.counts().gather_to_first_bytes - before.gather_to_first_bytes, logits * sizeof(float));

    after.clear();
    (void)model.run({{1, {1, 2, 3, 4, 5, 6}, nullptr}, {2, {7, 8, 9, 10, 11}, adapter}});
    ASSERT_EQ(after.size(), 2u);
    const CollectiveCounts& first = after[0];
    const CollectiveCounts& second = after[1];
    EXPECT_EQ(second.all_reduces - first.all_reduces, 2u + 2u);
    EXPECT_EQ(second.gathers - first.gathers, 2u);
    const CollectiveCounts layer{0, second.all_reduce_bytes - first.all_reduce_bytes, 0, second.gather_bytes - first.gather_bytes};
    const double share = static_cast<double>(shard_count - 1) / shard_count;
    const double attention = share * (2 * kRows * MadeModel::kHidden + 5 * kAdapterRows * kRank);
    const double mlp = share * (2 * kRows * MadeModel::kHidden + 4 * kAdapterRows * kRank);
    EXPECT_DOUBLE_EQ(layer.sent_bytes(shard_count), sizeof(float) * (attention + mlp));
    EXPECT_EQ(model.counts().gathers - second.gathers, 1u) << "the head's ranks";
    EXPECT_EQ(model.counts().gathers_to_first - second.gathers_to_first, 1u) << "the logits";
  }
}

// Shrink results have as many columns as the largest rank of the batch needs, for the rows of all adapters: shards exchange them in one
// collective per site, however unequal the ranks are.
TEST(Collectives, OfABatchOfUnequalRanksHaveTheColumnsOfTheLargest) {
  constexpr std::int64_t kRank = 33, kAdapterRows = 4 + 3, kRows = kAdapterRows + 2;
  MadeModel made;
  const std::string small = made.make_adapter(3, "r3"), large = made.make_adapter(kRank, "r33");
  for (const std::int32_t shard_count : {2, 4}) {
    GoldenModel model(made.folder(), {.shards = shard_count, .page_tokens = kPageTokens});
    std::vector<CollectiveCounts> after;
    model.set_after_layer([&] { after.push_back(model.counts()); });
    (void)model.run({{0, {1, 2}, nullptr}, {1, {1, 2, 3, 4}, model.adapter(small)}, {2, {7, 8, 9}, model.adapter(large)}});
    ASSERT_EQ(after.size(), 2u);
    const auto rounded_up = [&](std::int64_t ranks) { return (ranks + shard_count - 1) / shard_count * shard_count; };
    EXPECT_EQ(after[1].all_reduces - after[0].all_reduces, 2u + 2u);
    EXPECT_EQ(after[1].all_reduce_bytes - after[0].all_reduce_bytes,
              2 * (kRows * MadeModel::kHidden + kAdapterRows * kRank) * sizeof(float));
    EXPECT_EQ(after[1].gathers - after[0].gathers, 2u);
    EXPECT_EQ(after[1].gather_bytes - after[0].gather_bytes, kAdapterRows * (rounded_up(3 * kRank) + rounded_up(2 * kRank)) * sizeof(float))
        << "q, k, v and gate, up";
  }
}

}  // namespace
}  // namespace slora::testing
