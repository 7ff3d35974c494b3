#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

namespace slora {
namespace {

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

// One module of a fused product: tensor `name`.weight [rows, in], and `name`.bias [rows] when `bias`.
struct Part {
  std::string name;
  std::int64_t rows;
  bool bias;
};

// Makes room for weights and tells a reader which tensors go there. Requires: check_weights found nothing.
class WeightPlacer {
 public:
  WeightPlacer(WeightReader& reader, Backend& backend) : reader_(reader), backend_(backend) {}

  void place_vector(std::vector<float>& out, std::int64_t size, const std::string& name) {
    out.resize(static_cast<std::size_t>(size));
    reader_.add_vector(out, name);
  }

  void place_product(LinearWeight& weight, std::int64_t in, const std::vector<Part>& parts) {
    std::int64_t out = 0;
    for (const Part& part : parts) out += part.rows;
    weight = backend_.make_linear(out, in);
    if (std::ranges::any_of(parts, &Part::bias)) weight.bias.assign(static_cast<std::size_t>(out), 0.0f);
    std::int64_t row = 0;
    for (const Part& part : parts) {
      reader_.add_rows(weight, row, part.name + ".weight");
      if (part.bias) {
        const std::span<float> biases(weight.bias);
        reader_.add_vector(biases.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(part.rows)), part.name + ".bias");
      }
      row += part.rows;
    }
  }

  void place_layer(LayerWeights& layer, const ModelConfig& config, std::int32_t index) {
    const std::string prefix = fmt::format("model.layers.{}.", index);
    const std::string attn = prefix + "self_attn.", mlp = prefix + "mlp.";
    const std::int64_t hidden = config.hidden_size, inner = config.intermediate_size, q = config.q_width(), kv = config.kv_width();
    place_vector(layer.attn_norm, hidden, prefix + "input_layernorm.weight");
    place_product(layer.qkv, hidden,
                  {{attn + "q_proj", q, config.qkv_bias}, {attn + "k_proj", kv, config.qkv_bias}, {attn + "v_proj", kv, config.qkv_bias}});
    if (config.qk_norm) {
      place_vector(layer.q_norm, config.head_dim, attn + "q_norm.weight");
      place_vector(layer.k_norm, config.head_dim, attn + "k_norm.weight");
    }
    place_product(layer.o, q, {{attn + "o_proj", hidden, config.o_bias}});
    place_vector(layer.ffn_norm, hidden, prefix + "post_attention_layernorm.weight");
    place_product(layer.gate_up, hidden, {{mlp + "gate_proj", inner, config.mlp_bias}, {mlp + "up_proj", inner, config.mlp_bias}});
    place_product(layer.down, inner, {{mlp + "down_proj", hidden, config.mlp_bias}});
  }

 private:
  WeightReader& reader_;
  Backend& backend_;
};

}  // namespace

Status check_weights(const ModelFiles& files, const ModelConfig& config) {
  const Shapes shapes = expected_shapes(config);
  for (const auto& [name, shape] : shapes) {
    const ModelTensor* tensor = files.find(name);
    if (tensor == nullptr) return error("E_MISSING_TENSOR", "model: tensor '{}' {} is missing", name, shape_text(shape));
    if (tensor->info.shape != shape) {
      return error("E_SHAPE", "model: tensor '{}': expected shape {} (from config.json), found {}", name, shape_text(shape),
                   shape_text(tensor->info.shape));
    }
    const DType dtype = tensor->info.dtype;
    if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
      return error("E_DTYPE", "model: tensor '{}': expected F32, F16 or BF16, found {}", name, name_of(dtype));
    }
  }
  for (const ModelTensor& tensor : files.tensors()) {
    if (shapes.contains(tensor.info.name) || is_superfluous(tensor.info.name, config)) continue;
    return error("E_UNKNOWN_TENSOR", "model: tensor '{}' has no place in this architecture; serving without it would give other answers",
                 tensor.info.name);
  }
  return {};
}

Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, Backend& backend, const LoadProgress& progress) {
  if (Status checked = check_weights(files, config); !checked) return forward_error(checked);
  WeightReader reader(files, backend);
  WeightPlacer placer(reader, backend);
  ModelWeights weights;
  placer.place_product(config.tie_embeddings ? weights.head : weights.embedding, config.hidden_size,
                       {{"model.embed_tokens", config.vocab_size, false}});
  if (!config.tie_embeddings) placer.place_product(weights.head, config.hidden_size, {{"lm_head", config.vocab_size, false}});
  weights.layers.resize(static_cast<std::size_t>(config.layer_count));
  for (std::int32_t i = 0; i < config.layer_count; ++i) placer.place_layer(weights.layers[static_cast<std::size_t>(i)], config, i);
  placer.place_vector(weights.norm, config.hidden_size, "model.norm.weight");
  if (Status read = reader.read(progress); !read) return forward_error(read);
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
