#include "model/weights.h"

#include <algorithm>
#include <set>
#include <string>

namespace slora {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{8} << 20;

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// Takes tensors out of the files one by one and remembers which were taken.
class WeightLoader {
 public:
  WeightLoader(const ModelFiles& files, Backend& backend, const LoadProgress& progress) : files_(files), backend_(backend), progress_(progress) {}

  // Tensor `name` [count] as fp32.
  Status read_vector(std::vector<float>& out, const std::string& name, std::int64_t count) {
    const Result<const ModelTensor*> tensor = take(name, {count});
    if (!tensor) return forward_error(Result<const ModelTensor*>(tensor));
    const TensorInfo& info = (*tensor)->info;
    scratch_.resize(info.bytes);
    if (Status read = files_.read(**tensor, scratch_); !read) return read;
    out.resize(static_cast<std::size_t>(count));
    convert_to_float(out.data(), scratch_.data(), info.dtype, out.size());
    report(info.bytes);
    return {};
  }

  // Rows [row_begin, row_begin + rows) of `weight` from tensor `name` [rows, weight.in].
  Status read_rows(LinearWeight& weight, std::int64_t row_begin, const std::string& name, std::int64_t rows) {
    const Result<const ModelTensor*> tensor = take(name, {rows, weight.in});
    if (!tensor) return forward_error(Result<const ModelTensor*>(tensor));
    const TensorInfo& info = (*tensor)->info;
    const std::size_t row_bytes = static_cast<std::size_t>(weight.in) * bytes_of(info.dtype);
    // Whole groups of 64 rows, so that a backend packs full panels.
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(64, static_cast<std::int64_t>(kChunkBytes / row_bytes) / 64 * 64);
    for (std::int64_t begin = 0; begin < rows; begin += rows_per_chunk) {
      const std::int64_t count = std::min(rows_per_chunk, rows - begin);
      scratch_.resize(static_cast<std::size_t>(count) * row_bytes);
      if (Status read = files_.read_part(**tensor, static_cast<std::uint64_t>(begin) * row_bytes, scratch_); !read) return read;
      pack(weight, row_begin + begin, info.dtype, count);
      report(scratch_.size());
    }
    return {};
  }

  // E_UNKNOWN_TENSOR when the files hold something that no part of the model took. Rotary frequencies, which old
  // checkpoints carry, are derived from the config; a tied model's copy of its head is the embedding.
  Status check_all_taken(bool tied) const {
    for (const ModelTensor& tensor : files_.tensors()) {
      const std::string& name = tensor.info.name;
      if (taken_.contains(name) || name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight")) continue;
      return error("E_UNKNOWN_TENSOR", "model: tensor '{}' has no place in this architecture; serving without it would give other answers", name);
    }
    return {};
  }

 private:
  Result<const ModelTensor*> take(const std::string& name, std::vector<std::int64_t> shape) {
    const ModelTensor* tensor = files_.find(name);
    if (tensor == nullptr) return error("E_MISSING_TENSOR", "model: tensor '{}' {} is missing", name, shape_text(shape));
    if (tensor->info.shape != shape) {
      return error("E_SHAPE", "model: tensor '{}': expected shape {} (from config.json), found {}", name, shape_text(shape),
                   shape_text(tensor->info.shape));
    }
    const DType dtype = tensor->info.dtype;
    if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
      return error("E_DTYPE", "model: tensor '{}': expected F32, F16 or BF16, found {}", name, name_of(dtype));
    }
    taken_.insert(name);
    return tensor;
  }

  void pack(LinearWeight& weight, std::int64_t row_begin, DType dtype, std::int64_t rows) {
    backend_.pack_rows(weight, row_begin, Tensor{scratch_.data(), dtype, rows, weight.in, weight.in});
  }

  void report(std::size_t bytes) {
    done_ += bytes;
    if (progress_) progress_(done_, files_.total_bytes());
  }

  const ModelFiles& files_;
  Backend& backend_;
  const LoadProgress& progress_;
  std::vector<std::byte> scratch_;
  std::set<std::string, std::less<>> taken_;
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
    if (Status read = loader.read_rows(weight, row, part.name + ".weight", part.rows); !read) return forward_error(read);
    if (part.bias) {
      std::vector<float> bias;
      if (Status read = loader.read_vector(bias, part.name + ".bias", part.rows); !read) return forward_error(read);
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
  const auto vector = [&](std::vector<float>& out, const std::string& name, std::int64_t count) { return loader.read_vector(out, name, count); };
  const auto product = [&](LinearWeight& out, std::int64_t in, const std::vector<Part>& parts) -> Status {
    Result<LinearWeight> loaded = load_product(loader, backend, in, parts);
    if (!loaded) return forward_error(loaded);
    out = std::move(*loaded);
    return {};
  };

  Status status = vector(layer.attn_norm, prefix + "input_layernorm.weight", config.hidden_size);
  if (status) status = product(layer.qkv, config.hidden_size,
                               {{attn + "q_proj", q, config.qkv_bias}, {attn + "k_proj", kv, config.qkv_bias}, {attn + "v_proj", kv, config.qkv_bias}});
  if (status && config.qk_norm) status = vector(layer.q_norm, attn + "q_norm.weight", config.head_dim);
  if (status && config.qk_norm) status = vector(layer.k_norm, attn + "k_norm.weight", config.head_dim);
  if (status) status = product(layer.o, q, {{attn + "o_proj", config.hidden_size, config.o_bias}});
  if (status) status = vector(layer.ffn_norm, prefix + "post_attention_layernorm.weight", config.hidden_size);
  if (status) status = product(layer.gate_up, config.hidden_size,
                               {{mlp + "gate_proj", config.intermediate_size, config.mlp_bias}, {mlp + "up_proj", config.intermediate_size, config.mlp_bias}});
  if (status) status = product(layer.down, config.intermediate_size, {{mlp + "down_proj", config.hidden_size, config.mlp_bias}});
  if (!status) return forward_error(status);
  return layer;
}

}  // namespace

Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, Backend& backend, const LoadProgress& progress) {
  WeightLoader loader(files, backend, progress);
  ModelWeights weights;
  weights.head = backend.make_linear(config.vocab_size, config.hidden_size);
  LinearWeight* embedding = &weights.head;
  if (!config.tie_embeddings) {
    weights.embedding = backend.make_linear(config.vocab_size, config.hidden_size);
    embedding = &weights.embedding;
  }
  Status status = loader.read_rows(*embedding, 0, "model.embed_tokens.weight", config.vocab_size);
  if (status && !config.tie_embeddings) status = loader.read_rows(weights.head, 0, "lm_head.weight", config.vocab_size);
  for (std::int32_t i = 0; status && i < config.layer_count; ++i) {
    Result<LayerWeights> layer = load_layer(loader, backend, config, i);
    if (!layer) return forward_error(layer);
    weights.layers.push_back(std::move(*layer));
  }
  if (status) status = loader.read_vector(weights.norm, "model.norm.weight", config.hidden_size);
  if (status) status = loader.check_all_taken(config.tie_embeddings);
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
