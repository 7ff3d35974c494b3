// Broken GGUF files as base models: each is refused by the name of what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "backend/backends.h"
#include "formats/model_folder.h"
#include "formats/shard_shape.h"
#include "formats/temporary_folder.h"
#include "formats/tokenizer_file.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

template <class T>
std::string bytes_of_value(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
std::string text_bytes(std::string_view text) { return bytes_of_value<std::uint64_t>(text.size()).append(text); }

// A GGUF file that tests make and change before it is written. Values are their type and bytes.
class GgufMaker {
 public:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dimensions;  // innermost first
    std::uint32_t type = 0;
    std::string data;
    std::optional<std::uint64_t> offset;  // instead of where it is put
  };

  static std::string u32(std::uint32_t value) { return bytes_of_value<std::uint32_t>(4) + bytes_of_value(value); }
  static std::string f32(float value) { return bytes_of_value<std::uint32_t>(6) + bytes_of_value(value); }
  static std::string flag(std::uint8_t value) { return bytes_of_value<std::uint32_t>(7) + bytes_of_value(value); }
  static std::string text(std::string_view value) { return bytes_of_value<std::uint32_t>(8) + text_bytes(value); }
  static std::string list(std::uint32_t type, std::uint64_t count, const std::string& elements) {
    return bytes_of_value<std::uint32_t>(9) + bytes_of_value(type) + bytes_of_value(count) + elements;
  }
  static std::string texts(const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += text_bytes(value);
    return list(8, values.size(), elements);
  }
  static std::string integers(const std::vector<std::int32_t>& values) {
    std::string elements;
    for (const std::int32_t value : values) elements += bytes_of_value(value);
    return list(5, values.size(), elements);
  }
  static std::string numbers(const std::vector<float>& values) {
    std::string elements;
    for (const float value : values) elements += bytes_of_value(value);
    return list(6, values.size(), elements);
  }

  // Of a llama with one layer, 2 heads of 16 and 1 head for keys and values.
  GgufMaker() {
    set("general.architecture", text("llama"));
    for (const auto& [key, value] : std::initializer_list<std::pair<const char*, std::uint32_t>>{{"block_count", 1},
                                                                                                 {"context_length", 64},
                                                                                                 {"embedding_length", 32},
                                                                                                 {"feed_forward_length", 64},
                                                                                                 {"attention.head_count", 2},
                                                                                                 {"attention.head_count_kv", 1},
                                                                                                 {"vocab_size", 6}})
      set(std::string("llama.") + key, u32(value));
    set("llama.attention.layer_norm_rms_epsilon", f32(1e-5F));
    set("tokenizer.ggml.model", text("gpt2"));
    set("tokenizer.ggml.pre", text("smollm"));
    set("tokenizer.ggml.tokens", texts({"a", "b", "c", "ab", "<s>", "</s>"}));
    set("tokenizer.ggml.token_type", integers({1, 1, 1, 1, 3, 3}));
    set("tokenizer.ggml.merges", texts({"a b"}));
    set("tokenizer.ggml.eos_token_id", u32(5));
    add("token_embd.weight", {32, 6});
    add("output_norm.weight", {32}, 0);
    add("blk.0.attn_norm.weight", {32}, 0);
    add("blk.0.ffn_norm.weight", {32}, 0);
    add("blk.0.attn_q.weight", {32, 32});
    add("blk.0.attn_k.weight", {32, 16});
    add("blk.0.attn_v.weight", {32, 16});
    add("blk.0.attn_output.weight", {32, 32});
    add("blk.0.ffn_gate.weight", {32, 64});
    add("blk.0.ffn_up.weight", {32, 64});
    add("blk.0.ffn_down.weight", {64, 32});
  }

  void set(const std::string& key, std::string value) {
    const auto at = std::ranges::find(entries, key, &std::pair<std::string, std::string>::first);
    if (at != entries.end()) {
      at->second = std::move(value);
    } else {
      entries.emplace_back(key, std::move(value));
    }
  }
  void erase(const std::string& key) {
    std::erase_if(entries, [&](const auto& entry) { return entry.first == key; });
  }
  // Of Q8_0, or F32 (0).
  void add(const std::string& name, std::vector<std::uint64_t> dimensions, std::uint32_t type = 8) {
    std::uint64_t count = 1;
    for (const std::uint64_t dimension : dimensions) count *= dimension;
    std::string data;
    if (type == 0) {
      for (std::uint64_t i = 0; i < count; ++i) data += bytes_of_value(1.0F);
    } else {
      for (std::uint64_t i = 0; i < count / 32; ++i) data += bytes_of_value<std::uint16_t>(0x3000) + std::string(32, '\1');
    }
    tensors.push_back({name, std::move(dimensions), type, std::move(data), std::nullopt});
  }
  Tensor& tensor(std::string_view name) { return *std::ranges::find(tensors, name, &Tensor::name); }

  [[nodiscard]] std::string bytes() const {
    std::string out = "GGUF" + bytes_of_value(version) + bytes_of_value(tensor_count.value_or(tensors.size())) +
                      bytes_of_value(entry_count.value_or(entries.size()));
    for (const auto& [key, value] : entries) out += text_bytes(key) + value;
    std::uint64_t offset = 0;
    std::string data;
    for (const Tensor& tensor : tensors) {
      out += text_bytes(tensor.name) + bytes_of_value(static_cast<std::uint32_t>(tensor.dimensions.size()));
      for (const std::uint64_t dimension : tensor.dimensions) out += bytes_of_value(dimension);
      out += bytes_of_value(tensor.type) + bytes_of_value(tensor.offset.value_or(offset));
      data += tensor.data;
      data.resize((data.size() + 31) / 32 * 32);
      offset = data.size();
    }
    out.resize((out.size() + 31) / 32 * 32);
    return out + data;
  }

  std::uint32_t version = 3;
  std::optional<std::uint64_t> tensor_count, entry_count;
  std::vector<std::pair<std::string, std::string>> entries;
  std::vector<Tensor> tensors;
};

// Reads all of a file as a server does; the first error.
Status open_as_base(const std::string& path) {
  const Result<ModelFolder> opened = open_model_folder(path);
  if (!opened) return tl::unexpected(opened.error());
  if (Status checked = check_weights(opened->files, opened->config); !checked) return checked;
  const std::unique_ptr<Backend> backend = create_reference_backend();
  const Result<ModelWeights> weights =
      load_weights(opened->files, opened->config, make_shard_shape(opened->config, 0, 1).value(), *backend, {});
  if (!weights) return tl::unexpected(weights.error());
  const Result<TokenizerFiles> files = read_tokenizer_files(path);
  if (!files) return tl::unexpected(files.error());
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*files->tokenizer);
  return tokenizer ? Status() : tl::unexpected(tokenizer.error());
}

Status open_bytes(std::string_view bytes) {
  const TemporaryFolder folder;
  folder.write("model.gguf", bytes);
  return open_as_base(folder.file("model.gguf"));
}

struct Breakage {
  const char* name;
  std::function<void(GgufMaker&)> apply;
  const char* code;
  std::vector<const char*> mentions;
};

void PrintTo(const Breakage& breakage, std::ostream* out) { *out << breakage.name; }

class BrokenGguf : public ::testing::TestWithParam<Breakage> {};

TEST_P(BrokenGguf, IsRefusedByName) {
  GgufMaker maker;
  GetParam().apply(maker);
  const Status opened = open_bytes(maker.bytes());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, GetParam().code) << opened.error().message;
  for (const char* mention : GetParam().mentions) EXPECT_THAT(opened.error().message, HasSubstr(mention));
}

// Entries.
Breakage entry(const char* name, std::string key, std::string value, const char* code, std::vector<const char*> mentions) {
  return {name, [=](GgufMaker& maker) { maker.set(key, value); }, code, std::move(mentions)};
}
Breakage without(const char* name, std::string key, const char* code, std::vector<const char*> mentions) {
  return {name, [=](GgufMaker& maker) { maker.erase(key); }, code, std::move(mentions)};
}
// Tensors.
Breakage tensor(const char* name, std::string of, std::function<void(GgufMaker::Tensor&)> change, const char* code,
                std::vector<const char*> mentions) {
  return {name, [=](GgufMaker& maker) { change(maker.tensor(of)); }, code, std::move(mentions)};
}

using Maker = GgufMaker;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const std::string kLong(2000, 'x');

const std::vector<Breakage> kHeaders = {
    {"version_1", [](Maker& maker) { maker.version = 1; }, "E_GGUF", {"version", "found 1"}},
    {"version_of_big_endian", [](Maker& maker) { maker.version = 0x03000000; }, "E_GGUF", {"version", "little-endian"}},
    {"tensors_huge", [](Maker& maker) { maker.tensor_count = std::uint64_t{1} << 60; }, "E_GGUF", {"tensors", "1152921504606846976"}},
    {"entries_huge", [](Maker& maker) { maker.entry_count = ~std::uint64_t{0}; }, "E_GGUF", {"entries"}},
    {"more_tensors_than_there_are", [](Maker& maker) { maker.tensor_count = 60000; }, "E_GGUF", {"tensor"}},
    {"more_entries_than_there_are", [](Maker& maker) { maker.entry_count = 60000; }, "E_GGUF", {}},
    {"key_twice", [](Maker& maker) { maker.entries.push_back(maker.entries[2]); }, "E_GGUF", {"llama.context_length", "twice"}},
    {"key_long", [](Maker& maker) { maker.set(kLong, Maker::u32(1)); }, "E_GGUF", {"at most 512 bytes", "2000"}},
    entry("value_of_type_13", "x", bytes_of_value<std::uint32_t>(13), "E_GGUF", {"\"x\"", "found 13"}),
    entry("list_of_lists", "x", Maker::list(9, 1, std::string(12, '\0')), "E_GGUF", {"\"x\"", "found 9"}),
    entry("list_of_type_99", "x", Maker::list(99, 1, "abcd"), "E_GGUF", {"\"x\"", "found 99"}),
    entry("list_huge", "x", Maker::list(4, std::uint64_t{1} << 61, ""), "E_GGUF", {"\"x\"", "elements"}),
    entry("list_beyond_file", "x", Maker::list(8, 4000000, ""), "E_GGUF", {"\"x\"", "header"}),
    entry("text_beyond_file", "x", bytes_of_value<std::uint32_t>(8) + bytes_of_value(~std::uint64_t{0}), "E_GGUF", {"\"x\"", "header"}),
    entry("alignment_0", "general.alignment", Maker::u32(0), "E_GGUF", {"general.alignment", "found 0"}),
    entry("alignment_odd", "general.alignment", Maker::u32(24), "E_GGUF", {"general.alignment", "power of two", "found 24"}),
    entry("alignment_huge", "general.alignment", Maker::u32(1U << 31), "E_GGUF", {"general.alignment"}),
    entry("alignment_text", "general.alignment", Maker::text("32"), "E_GGUF", {"general.alignment", "a text"}),
};

const std::vector<Breakage> kTensors = {
    tensor("name_long", "blk.0.attn_q.weight", [](auto& of) { of.name = kLong; }, "E_GGUF", {"name of at most 512 bytes", "2000"}),
    tensor("name_twice", "blk.0.attn_q.weight", [](auto& of) { of.name = "blk.0.attn_k.weight"; }, "E_GGUF", {"blk.0.attn_k", "twice"}),
    tensor("name_nonsense", "blk.0.attn_q.weight", [](auto& of) { of.name = "\xff\x01{}%s"; }, "E_UNKNOWN_TENSOR", {"llama"}),
    tensor("of_another_family", "blk.0.attn_q.weight", [](auto& of) { of.name = "blk.0.ssm_in.weight"; }, "E_UNKNOWN_TENSOR", {"ssm_in"}),
    tensor("of_a_layer_too_many", "blk.0.attn_q.weight", [](auto& of) { of.name = "blk.1.attn_q.weight"; }, "E_MISSING_TENSOR", {"q_proj"}),
    tensor("dimensions_5", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {32, 1, 1, 1, 32};
           },
           "E_GGUF", {"attn_q", "found 5"}),
    tensor("dimensions_3", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {32, 16, 2};
           },
           "E_SHAPE", {"attn_q", "[2, 16, 32]"}),
    tensor("dimension_0", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {32, 0};
           },
           "E_SHAPE", {"attn_q", "[0, 32]"}),
    tensor("size_overflows", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {1ULL << 40, 1ULL << 40};
           },
           "E_GGUF", {"attn_q", "size"}),
    tensor("dimension_negative", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {~0ULL, 32};
           },
           "E_GGUF", {"attn_q", "size"}),
    tensor("rows_of_half_blocks", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {16, 64};
           },
           "E_GGUF", {"attn_q", "32", "Q8_0"}),
    tensor("type_unknown", "blk.0.attn_q.weight", [](auto& of) { of.type = 99; }, "E_DTYPE", {"attn_q", "type 99"}),
    tensor("type_removed", "blk.0.attn_q.weight", [](auto& of) { of.type = 4; }, "E_DTYPE", {"attn_q", "type 4"}),
    tensor("type_of_integers", "blk.0.attn_q.weight", [](auto& of) { of.type = 26; }, "E_DTYPE", {"attn_q", "I32"}),
    tensor("type_not_served", "blk.0.attn_q.weight", [](auto& of) { of.type = 16; }, "E_DTYPE", {"attn_q", "IQ2_XXS"}),
    tensor("offset_beyond_file", "blk.0.attn_q.weight", [](auto& of) { of.offset = 1 << 20; }, "E_GGUF", {"attn_q", "1048576"}),
    tensor("offset_overflows", "blk.0.attn_q.weight", [](auto& of) { of.offset = ~31ULL; }, "E_GGUF", {"attn_q", "data bytes"}),
    tensor("offset_not_aligned", "blk.0.attn_q.weight", [](auto& of) { of.offset = 33; }, "E_GGUF", {"attn_q", "multiple of 32", "33"}),
    tensor("bytes_shared", "blk.0.attn_q.weight", [](auto& of) { of.offset = 0; }, "E_GGUF", {"token_embd", "attn_q", "its own"}),
    tensor("shape_wrong", "blk.0.ffn_up.weight",
           [](auto& of) {
             of.dimensions = {64, 32};
           },
           "E_SHAPE", {"up_proj", "[32, 64]"}),
    tensor("heads_odd", "blk.0.attn_q.weight",
           [](auto& of) {
             of.dimensions = {32, 30};
           },
           "E_SHAPE", {"attn_q", "2 heads", "30"}),
    tensor("vector_instead_of_matrix", "blk.0.attn_v.weight", [](auto& of) { of.dimensions = {512}; }, "E_SHAPE", {"v_proj"}),
    tensor("scale_nan", "blk.0.attn_q.weight", [](auto& of) { of.data.replace(0, 2, "\x00\x7e", 2); }, "E_NONFINITE", {"q_proj", "nan"}),
    tensor("scale_infinite", "blk.0.ffn_down.weight", [](auto& of) { of.data.replace(0, 2, "\x00\x7c", 2); }, "E_NONFINITE", {"down_proj"}),
    tensor("gain_nan", "output_norm.weight", [](auto& of) { of.data.replace(0, 4, bytes_of_value(kNan)); }, "E_NONFINITE", {"model.norm"}),
    {"bias_alone", [](Maker& maker) { maker.add("blk.0.attn_v.bias", {16}, 0); }, "E_UNKNOWN_TENSOR", {"v_proj.bias"}},
    {"without_a_norm",
     [](Maker& maker) { std::erase_if(maker.tensors, [](const auto& of) { return of.name == "output_norm.weight"; }); },
     "E_MISSING_TENSOR",
     {"model.norm"}},
    {"rope_factors_of_another_rule",
     [](Maker& maker) {
       maker.add("rope_freqs.weight", {8}, 0);
       maker.tensor("rope_freqs.weight").data.replace(0, 4, bytes_of_value(2.0F));
     },
     "E_UNSUPPORTED_MODEL",
     {"rope_freqs.weight", "llama3"}},
    {"long_factors_alone",
     [](Maker& maker) { maker.add("rope_factors_long.weight", {8}, 0); },
     "E_MISSING_TENSOR",
     {"rope_factors_short.weight", "none"}},
    {"longrope_of_llama",
     [](Maker& maker) {
       maker.add("rope_factors_short.weight", {8}, 0);
       maker.set("llama.rope.scaling.original_context_length", Maker::u32(32));
     },
     "E_UNSUPPORTED_MODEL",
     {"rope_type", "longrope"}},
    {"rope_factors_too_few", [](Maker& maker) { maker.add("rope_freqs.weight", {4}, 0); }, "E_SHAPE", {"rope_freqs.weight", "8"}},
};

const std::vector<Breakage> kConfigs = {
    entry("an_adapter", "general.type", Maker::text("adapter"), "E_UNSUPPORTED_MODEL", {"general.type", "adapter"}),
    entry("another_architecture", "general.architecture", Maker::text("mamba"), "E_UNSUPPORTED_MODEL", {"general.architecture", "mamba"}),
    entry("architecture_of_a_number", "general.architecture", Maker::u32(1), "E_MODEL_CONFIG", {"general.architecture", "an integer"}),
    without("no_architecture", "general.architecture", "E_MODEL_CONFIG", {"general.architecture", "none"}),
    without("no_layers", "llama.block_count", "E_MODEL_CONFIG", {"llama.block_count", "none"}),
    without("no_epsilon", "llama.attention.layer_norm_rms_epsilon", "E_MODEL_CONFIG", {"layer_norm_rms_epsilon", "none"}),
    entry("layers_0", "llama.block_count", Maker::u32(0), "E_MODEL_CONFIG", {"llama.block_count", "found 0"}),
    entry("layers_many", "llama.block_count", Maker::u32(100000), "E_MODEL_CONFIG", {"num_hidden_layers", "100000"}),
    entry("width_text", "llama.embedding_length", Maker::text("32"), "E_MODEL_CONFIG", {"llama.embedding_length", "a text"}),
    entry("heads_by_layer", "llama.attention.head_count", Maker::integers({2}), "E_MODEL_CONFIG", {"head_count", "a list of integers"}),
    entry("heads_not_a_divisor", "llama.attention.head_count", Maker::u32(3), "E_MODEL_CONFIG", {"llama.embedding_length", "3"}),
    entry("kv_heads_many", "llama.attention.head_count_kv", Maker::u32(4), "E_MODEL_CONFIG", {"num_attention_heads", "4"}),
    entry("rotation_of_a_part", "llama.rope.dimension_count", Maker::u32(8), "E_UNSUPPORTED_MODEL", {"rope.dimension_count", "16", "8"}),
    entry("values_of_another_length", "llama.attention.value_length", Maker::u32(8), "E_UNSUPPORTED_MODEL", {"value_length", "8"}),
    entry("vocabulary_contradicts", "llama.vocab_size", Maker::u32(7), "E_MODEL_CONFIG", {"llama.vocab_size", "6", "7"}),
    entry("epsilon_nan", "llama.attention.layer_norm_rms_epsilon", Maker::f32(kNan), "E_MODEL_CONFIG", {"rms_norm_eps"}),
    entry("theta_negative", "llama.rope.freq_base", Maker::f32(-1), "E_MODEL_CONFIG", {"rope_theta", "-1"}),
    entry("scaling_unknown", "llama.rope.scaling.type", Maker::text("longrope"), "E_UNSUPPORTED_MODEL", {"rope.scaling.type", "longrope"}),
    entry("scaling_without_factor", "llama.rope.scaling.type", Maker::text("linear"), "E_MODEL_CONFIG", {"rope.scaling.factor", "none"}),
    entry("experts", "llama.expert_count", Maker::u32(8), "E_UNSUPPORTED_MODEL", {"llama.expert_count", "8"}),
    entry("another_scale", "llama.attention.scale", Maker::f32(0.3F), "E_UNSUPPORTED_MODEL", {"llama.attention.scale", "scale"}),
    entry("not_causal", "llama.attention.causal", Maker::flag(0), "E_UNSUPPORTED_MODEL", {"llama.attention.causal", "true"}),
    entry("shards_many", "split.count", Maker::u32(100000), "E_GGUF", {"split.count", "100000"}),
    entry("shard_of_another_name", "split.count", Maker::u32(2), "E_GGUF", {"-00001-of-00002.gguf"}),
};

const std::vector<Breakage> kVocabularies = {
    without("no_tokens", "tokenizer.ggml.tokens", "E_MODEL_CONFIG", {"tokenizer.ggml.tokens", "none"}),
    without("no_model", "tokenizer.ggml.model", "E_TOKENIZER", {"tokenizer.ggml.model", "none"}),
    without("no_merges", "tokenizer.ggml.merges", "E_TOKENIZER", {"tokenizer.ggml.merges", "none"}),
    entry("model_t5", "tokenizer.ggml.model", Maker::text("t5"), "E_TOKENIZER", {"tokenizer.ggml.model", "t5"}),
    entry("words_unknown", "tokenizer.ggml.pre", Maker::text("something"), "E_TOKENIZER", {"tokenizer.ggml.pre", "something"}),
    entry("token_twice", "tokenizer.ggml.tokens", Maker::texts({"a", "b", "a", "ab", "<s>", "</s>"}), "E_TOKENIZER",
          {"token 2", "token 0"}),
    entry("token_empty", "tokenizer.ggml.tokens", Maker::texts({"a", "b", "", "ab", "<s>", "</s>"}), "E_TOKENIZER", {"token 2", "empty"}),
    entry("token_no_utf8", "tokenizer.ggml.tokens", Maker::texts({"a", "b", "\xff", "ab", "<s>", "</s>"}), "E_TOKENIZER",
          {"token 2", "UTF-8"}),
    entry("token_long", "tokenizer.ggml.tokens", Maker::texts({"a", "b", kLong, "ab", "<s>", "</s>"}), "E_TOKENIZER", {"token 2", "1024"}),
    entry("types_too_few", "tokenizer.ggml.token_type", Maker::integers({1, 1}), "E_TOKENIZER", {"token_type", "6", "2"}),
    entry("type_7", "tokenizer.ggml.token_type", Maker::integers({1, 1, 7, 1, 3, 3}), "E_TOKENIZER", {"token_type", "token 2", "7"}),
    entry("types_of_texts", "tokenizer.ggml.token_type", Maker::texts({"1"}), "E_TOKENIZER", {"token_type", "a list of texts"}),
    entry("merge_without_space", "tokenizer.ggml.merges", Maker::texts({"ab"}), "E_TOKENIZER", {"merge 0", "ab"}),
    entry("merge_to_no_token", "tokenizer.ggml.merges", Maker::texts({"a b", "b c"}), "E_TOKENIZER", {"merge 1", "b c"}),
    entry("end_token_outside", "tokenizer.ggml.eos_token_id", Maker::u32(6), "E_TOKENIZER", {"eos_token_id", "0 to 5", "found 6"}),
    entry("bos_added_but_none", "tokenizer.ggml.add_bos_token", Maker::flag(1), "E_TOKENIZER", {"bos_token_id", "none"}),
    entry("template_of_a_number", "tokenizer.chat_template", Maker::u32(1), "E_TOKENIZER", {"tokenizer.chat_template", "an integer"}),
    entry("scores_missing", "tokenizer.ggml.model", Maker::text("llama"), "E_TOKENIZER", {"tokenizer.ggml.scores", "none"}),
    {"score_nan",
     [](Maker& maker) {
       maker.set("tokenizer.ggml.model", Maker::text("llama"));
       maker.set("tokenizer.ggml.scores", Maker::numbers({0, 0, kNan, 0, 0, 0}));
     },
     "E_TOKENIZER",
     {"tokenizer.ggml.scores", "token 2"}},
};

const auto kBreakageName = [](const auto& test) { return std::string(test.param.name); };
INSTANTIATE_TEST_SUITE_P(Headers, BrokenGguf, ::testing::ValuesIn(kHeaders), kBreakageName);
INSTANTIATE_TEST_SUITE_P(Tensors, BrokenGguf, ::testing::ValuesIn(kTensors), kBreakageName);
INSTANTIATE_TEST_SUITE_P(Configs, BrokenGguf, ::testing::ValuesIn(kConfigs), kBreakageName);
INSTANTIATE_TEST_SUITE_P(Vocabularies, BrokenGguf, ::testing::ValuesIn(kVocabularies), kBreakageName);

TEST(WholeGguf, IsServed) {
  const Status opened = open_bytes(GgufMaker().bytes());
  EXPECT_TRUE(opened) << opened.error().message;
}

// A file that ends anywhere is refused; nothing is read beyond its end.
TEST(CutGguf, IsRefusedWhereverItEnds) {
  const std::string whole = GgufMaker().bytes();
  const std::string_view bytes = whole;
  for (std::size_t length = 0; length < bytes.size() - 32; length += length < 1500 ? 1 : 97) {
    const Status opened = open_bytes(bytes.substr(0, length));
    ASSERT_FALSE(opened) << length;
    EXPECT_THAT(opened.error().code, ::testing::AnyOf("E_GGUF", "E_READ")) << length << ": " << opened.error().message;
  }
}

TEST(GgufPath, OfNoFileIsRefused) {
  const TemporaryFolder folder;
  const Status opened = open_as_base(folder.file("none.gguf"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "E_NO_FILE");
}

}  // namespace
}  // namespace slora
