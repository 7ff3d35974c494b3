#include "model/weights.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{8} << 20;

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

using Shapes = std::map<std::string, std::vector<std::int64_t>, std::less<>>;

void expect_linear(Shapes& shapes, const std::string& module, std::int64_t out, std::int64_t in, bool bias) {
  shapes[module + ".weight"] = {out, in};
  if (bias) shapes[module + ".bias"] = {out};
}

// Every tensor that the architecture has.
Shapes expected_shapes(const ModelConfig& config) {
  const std::int64_t hidden = config.hidden_size, inner = config.intermediate_size, q = config.q_width(), kv = config.kv_width();
  Shapes shapes;
  expect_linear(shapes, "model.embed_tokens", config.vocab_size, hidden, false);
  if (!config.tie_embeddings) expect_linear(shapes, "lm_head", config.vocab_size, hidden, false);
  shapes["model.norm.weight"] = {hidden};
  for (std::int32_t i = 0; i < config.layer_count; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i), attn = layer + "self_attn.", mlp = layer + "mlp.";
    shapes[layer + "input_layernorm.weight"] = {hidden};
    shapes[layer + "post_attention_layernorm.weight"] = {hidden};
    expect_linear(shapes, attn + "q_proj", q, hidden, config.qkv_bias);
    expect_linear(shapes, attn + "k_proj", kv, hidden, config.qkv_bias);
    expect_linear(shapes, attn + "v_proj", kv, hidden, config.qkv_bias);
    expect_linear(shapes, attn + "o_proj", hidden, q, config.o_bias);
    if (config.qk_norm) shapes[attn + "q_norm.weight"] = shapes[attn + "k_norm.weight"] = {config.head_dim};
    expect_linear(shapes, mlp + "gate_proj", inner, hidden, config.mlp_bias);
    expect_linear(shapes, mlp + "up_proj", inner, hidden, config.mlp_bias);
    expect_linear(shapes, mlp + "down_proj", hidden, inner, config.mlp_bias);
  }
  return shapes;
}

// Rotary frequencies, which old checkpoints carry, are derived from the config; a tied model's copy of its head is the embedding.
bool is_superfluous(std::string_view name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") || (config.tie_embeddings && name == "lm_head.weight");
}

// Reads tensors one by one. Requires: check_weights found nothing.
class WeightLoader {
 public:
  WeightLoader(const ModelFiles& files, Backend& backend, const LoadProgress& progress) : files_(files), backend_(backend), progress_(progress) {}

  // Tensor `name` as fp32.
  Status read_vector(std::vector<float>& out, const std::string& name) {
    const ModelTensor& tensor = find(name);
    scratch_.resize(tensor.info.bytes);
    if (Status read = files_.read(tensor, scratch_); !read) return read;
    out.resize(scratch_.size() / bytes_of(tensor.info.dtype));
    convert_to_float(out.data(), scratch_.data(), tensor.info.dtype, out.size());
    report(scratch_.size());
    return {};
  }

  // Rows [row_begin, row_begin + rows) of `weight` from tensor `name` [rows, weight.in].
  Status read_rows(LinearWeight& weight, std::int64_t row_begin, const std::string& name) {
    const ModelTensor& tensor = find(name);
    const DType dtype = tensor.info.dtype;
    const std::int64_t rows = tensor.info.shape[0];
    const std::size_t row_bytes = static_cast<std::size_t>(weight.in) * bytes_of(dtype);
    // Whole groups of 64 rows, so that a backend packs full panels.
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(64, static_cast<std::int64_t>(kChunkBytes / row_bytes) / 64 * 64);
    for (std::int64_t begin = 0; begin < rows; begin += rows_per_chunk) {
      const std::int64_t count = std::min(rows_per_chunk, rows - begin);
      scratch_.resize(static_cast<std::size_t>(count) * row_bytes);
      if (Status read = files_.read_part(tensor, static_cast<std::uint64_t>(begin) * row_bytes, scratch_); !read) return read;
      backend_.pack_rows(weight, row_begin + begin, Tensor{scratch_.data(), dtype, count, weight.in, weight.in});
      report(scratch_.size());
    }
    return {};
  }

 private:
  [[nodiscard]] const ModelTensor& find(const std::string& name) const {
    const ModelTensor* tensor = files_.find(name);
    check(tensor != nullptr, "a tensor that check_weights saw");
    return *tensor;
  }

  void report(std::size_t bytes) {
    done_ += bytes;
    if (progress_) progress_(done_, files_.total_bytes());
  }

  const ModelFiles& files_;
  Backend& backend_;
  const LoadProgress& progress_;
  std::vector<std::byte> scratch_;
  std::uint64_t done_ = 0;
};

// One module of a fused product: tensor `name`.weight [rows, in], and `name`.bias [rows] when `bias`.
struct Part {
  std::string name;
  std::int64_t rows;
  bool bias;
};

Result<LinearWeight> load_product(WeightLoader& loader, Backend& backend, std::int64_t in, const std::vector<Part>& parts) {
  std::int64_t out = 0;
  for (const Part& part : parts) out += part.rows;
  LinearWeight weight = backend.make_linear(out, in);
  if (std::ranges::any_of(parts, &Part::bias)) weight.bias.assign(static_cast<std::size_t>(out), 0.0f);
  std::int64_t row = 0;
  for (const Part& part : parts) {
    if (Status read = loader.read_rows(weight, row, part.name + ".weight"); !read) return forward_error(read);
    if (part.bias) {
      std::vector<float> bias;
      if (Status read = loader.read_vector(bias, part.name + ".bias"); !read) return forward_error(read);
      std::ranges::copy(bias, weight.bias.begin() + row);
    }
    row += part.rows;
  }
  return weight;
}

Result<LayerWeights> load_layer(WeightLoader& loader, Backend& backend, const ModelConfig& config, std::int32_t index) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const std::string attn = prefix + "self_attn.", mlp = prefix + "mlp.";
  const std::int64_t q = config.q_width(), kv = config.kv_width();
  LayerWeights layer;
  const auto product = [&](LinearWeight& out, std::int64_t in, const std::vector<Part>& parts) -> Status {
    Result<LinearWeight> loaded = load_product(loader, backend, in, parts);
    if (!loaded) return forward_error(loaded);
    out = std::move(*loaded);
    return {};
  };

  Status status = loader.read_vector(layer.attn_norm, prefix + "input_layernorm.weight");
  if (status) status = product(layer.qkv, config.hidden_size,
                               {{attn + "q_proj", q, config.qkv_bias}, {attn + "k_proj", kv, config.qkv_bias}, {attn + "v_proj", kv, config.qkv_bias}});
  if (status && config.qk_norm) status = loader.read_vector(layer.q_norm, attn + "q_norm.weight");
  if (status && config.qk_norm) status = loader.read_vector(layer.k_norm, attn + "k_norm.weight");
  if (status) status = product(layer.o, q, {{attn + "o_proj", config.hidden_size, config.o_bias}});
  if (status) status = loader.read_vector(layer.ffn_norm, prefix + "post_attention_layernorm.weight");
  if (status) status = product(layer.gate_up, config.hidden_size,
                               {{mlp + "gate_proj", config.intermediate_size, config.mlp_bias}, {mlp + "up_proj", config.intermediate_size, config.mlp_bias}});
  if (status) status = product(layer.down, config.intermediate_size, {{mlp + "down_proj", config.hidden_size, config.mlp_bias}});
  if (!status) return forward_error(status);
  return layer;
}

}  // namespace

Status check_weights(const ModelFiles& files, const ModelConfig& config) {
  const Shapes shapes = expected_shapes(config);
  for (const auto& [name, shape] : shapes) {
    const ModelTensor* tensor = files.find(name);
    if (tensor == nullptr) return error("E_MISSING_TENSOR", "model: tensor '{}' {} is missing", name, shape_text(shape));
    if (tensor->info.shape != shape) {
      return error("E_SHAPE", "model: tensor '{}': expected shape {} (from config.json), found {}", name, shape_text(shape), shape_text(tensor->info.shape));
    }
    const DType dtype = tensor->info.dtype;
    if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
      return error("E_DTYPE", "model: tensor '{}': expected F32, F16 or BF16, found {}", name, name_of(dtype));
    }
  }
  for (const ModelTensor& tensor : files.tensors()) {
    if (shapes.contains(tensor.info.name) || is_superfluous(tensor.info.name, config)) continue;
    return error("E_UNKNOWN_TENSOR", "model: tensor '{}' has no place in this architecture; serving without it would give other answers", tensor.info.name);
  }
  return {};
}

Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, Backend& backend, const LoadProgress& progress) {
  if (Status checked = check_weights(files, config); !checked) return forward_error(checked);
  WeightLoader loader(files, backend, progress);
  ModelWeights weights;
  weights.head = backend.make_linear(config.vocab_size, config.hidden_size);
  LinearWeight* embedding = &weights.head;
  if (!config.tie_embeddings) {
    weights.embedding = backend.make_linear(config.vocab_size, config.hidden_size);
    embedding = &weights.embedding;
  }
  Status status = loader.read_rows(*embedding, 0, "model.embed_tokens.weight");
  if (status && !config.tie_embeddings) status = loader.read_rows(weights.head, 0, "lm_head.weight");
  for (std::int32_t i = 0; status && i < config.layer_count; ++i) {
    Result<LayerWeights> layer = load_layer(loader, backend, config, i);
    if (!layer) return forward_error(layer);
    weights.layers.push_back(std::move(*layer));
  }
  if (status) status = loader.read_vector(weights.norm, "model.norm.weight");
  if (!status) return forward_error(status);
  return weights;
}

std::size_t packed_bytes(const ModelConfig& config, const Backend& backend) {
  const std::int64_t q = config.q_width(), kv = config.kv_width();
  const std::size_t layer = backend.linear_bytes(q + 2 * kv, config.hidden_size) + backend.linear_bytes(config.hidden_size, q) +
                            backend.linear_bytes(2 * std::int64_t{config.intermediate_size}, config.hidden_size) +
                            backend.linear_bytes(config.hidden_size, config.intermediate_size);
  const std::size_t tables = backend.linear_bytes(config.vocab_size, config.hidden_size) * (config.tie_embeddings ? 1 : 2);
  return layer * static_cast<std::size_t>(config.layer_count) + tables;
}

}  // namespace slora
