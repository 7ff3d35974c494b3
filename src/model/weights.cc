#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/check.h"

namespace slora {
namespace {

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string weight_name(const TensorEntry& entry) { return entry.stored_as + ".weight"; }
std::string bias_name(const TensorEntry& entry) { return entry.stored_as + ".bias"; }

using Shapes = std::map<std::string, std::vector<std::int64_t>, std::less<>>;

// Every tensor that the files must have.
Shapes expected_shapes(const ModelTensors& tensors) {
  Shapes shapes;
  for (const TensorEntry& entry : tensors.entries) {
    std::vector<std::int64_t>& shape = shapes[weight_name(entry)];
    shape = {entry.rows};
    if (entry.is_matrix()) shape.push_back(entry.columns);
    if (entry.has_bias) shapes[bias_name(entry)] = {entry.rows};
  }
  return shapes;
}

// Allocates a fused product and adds what belongs there to the reader. Requires: check_weights found nothing.
void place_product(LinearWeight& weight, std::span<const TensorEntry> modules, const ShardShape& shape, Backend& backend,
                   WeightReader& reader) {
  const ProductShape product = product_shape(modules, shape);
  weight = backend.make_linear(product.out, product.in);
  if (std::ranges::any_of(modules, &TensorEntry::has_bias)) weight.bias.assign(static_cast<std::size_t>(product.out), 0.0f);
  std::int64_t row = 0;
  for (const TensorEntry& module : modules) {
    const Slice rows = module.row_slice(shape), outputs = module.output_slice(shape);
    reader.add_matrix(weight, row, weight_name(module), rows, module.column_slice(shape));
    if (module.has_bias) {
      const std::int64_t begin = row + outputs.begin - rows.begin;
      reader.add_vector(std::span(weight.bias).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(outputs.count)),
                        bias_name(module), outputs.begin);
    }
    row += rows.count;
  }
}

}  // namespace

LinearWeight& product_of(ModelWeights& weights, const TensorEntry& entry) {
  check(entry.is_matrix(), "expected a matrix of the table");
  if (entry.role == TensorRole::embedding) return weights.embedding;
  if (entry.site.kind == SiteKind::head) return weights.head;
  LayerWeights& layer = weights.layers[static_cast<std::size_t>(entry.site.layer)];
  switch (entry.site.kind) {
    case SiteKind::qkv:
      return layer.qkv;
    case SiteKind::o:
      return layer.o;
    case SiteKind::gate_up:
      return layer.gate_up;
    case SiteKind::down:
    case SiteKind::head:
      break;
  }
  return layer.down;
}

std::vector<float>& gain_of(ModelWeights& weights, const TensorEntry& entry) {
  check(!entry.is_matrix(), "expected a gain of the table");
  if (entry.role == TensorRole::output_norm) return weights.norm;
  LayerWeights& layer = weights.layers[static_cast<std::size_t>(entry.site.layer)];
  switch (entry.role) {
    case TensorRole::attention_norm:
      return layer.attn_norm;
    case TensorRole::query_norm:
      return layer.q_norm;
    case TensorRole::key_norm:
      return layer.k_norm;
    default:
      return layer.ffn_norm;
  }
}

Status check_weights(const ModelFiles& files, const ModelConfig& config) {
  const ModelTensors tensors = make_model_tensors(config);
  const Shapes shapes = expected_shapes(tensors);
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
    if (shapes.contains(tensor.info.name) || tensors.ignores(tensor.info.name)) continue;
    return error("E_UNKNOWN_TENSOR", "model: tensor '{}' has no place in this architecture; serving without it would give other answers",
                 tensor.info.name);
  }
  return {};
}

Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, const ShardShape& shape, Backend& backend,
                                  const LoadProgress& progress) {
  if (Status checked = check_weights(files, config); !checked) return forward_error(checked);
  const ModelTensors tensors = make_model_tensors(config);
  WeightReader reader(files, backend);
  ModelWeights weights;
  weights.shape = shape;
  weights.layers.resize(static_cast<std::size_t>(config.layer_count));
  for (const std::span<const TensorEntry> modules : tensors.products()) {
    place_product(product_of(weights, modules.front()), modules, shape, backend, reader);
  }
  for (const TensorEntry& entry : tensors.entries) {
    if (entry.is_matrix()) continue;
    std::vector<float>& gain = gain_of(weights, entry);
    gain.resize(static_cast<std::size_t>(entry.rows));
    reader.add_vector(gain, weight_name(entry), 0);
  }
  if (Status read = reader.read(progress); !read) return forward_error(read);
  return weights;
}

std::size_t packed_bytes(const ModelConfig& config, const ShardShape& shape, const Backend& backend) {
  const ModelTensors tensors = make_model_tensors(config);
  std::size_t bytes = 0;
  for (const std::span<const TensorEntry> modules : tensors.products()) {
    const ProductShape product = product_shape(modules, shape);
    bytes += backend.linear_bytes(product.out, product.in);
  }
  return bytes;
}

}  // namespace slora
