#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <string>

#include "base/check.h"
#include "formats/json.h"
#include "model/weight_plan.h"

namespace slora {
namespace {

std::string shape_text(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string weight_name(const TensorEntry& entry) { return entry.stored_as + ".weight"; }
std::string bias_name(const TensorEntry& entry) { return entry.stored_as + ".bias"; }

// What the config says about a tensor.
struct ExpectedTensor {
  std::vector<std::int64_t> shape;
  std::string keys;  // of config.json, that give the shape
};
using ExpectedTensors = std::map<std::string, ExpectedTensor, std::less<>>;

// Every tensor that the files must have.
ExpectedTensors expected_tensors(const ModelTensors& tensors) {
  ExpectedTensors expected;
  for (const TensorEntry& entry : tensors.entries) {
    ExpectedTensor vector{{entry.rows}, fmt::format("[{}]", config_keys_of(entry.row_extent))};
    if (entry.has_bias) expected[bias_name(entry)] = vector;
    ExpectedTensor matrix{{entry.rows, entry.columns},
                          fmt::format("[{}, {}]", config_keys_of(entry.row_extent), config_keys_of(entry.column_extent))};
    expected[weight_name(entry)] = entry.is_matrix() ? std::move(matrix) : std::move(vector);
  }
  return expected;
}

// Why a tensor may be in no file.
std::string quantised_hint(const ModelFiles& files, std::string_view name) {
  if (!name.ends_with(".weight")) return {};
  name.remove_suffix(std::string_view("weight").size());
  for (const std::string_view part : {"qweight", "weight_packed"}) {
    const std::string stored = fmt::format("{}{}", name, part);
    if (files.find(stored) != nullptr)
      return fmt::format("; '{}' is, which is served if \"quantization_config\" of config.json says how it is quantised", stored);
  }
  return {};
}

// Why a tensor may have no place.
std::string place_hint(std::string_view name, const ModelConfig& config) {
  constexpr std::string_view kLayers = "model.layers.";
  constexpr std::array<std::string_view, 7> kQuantised = {".qweight",       ".qzeros",       ".scales",          ".absmax",
                                                          ".weight_packed", ".weight_scale", ".weight_scale_inv"};
  if (std::ranges::any_of(kQuantised, [&](std::string_view end) { return name.ends_with(end); })) {
    return "weights that are so quantised are served if \"quantization_config\" of config.json says how";
  }
  if (name.starts_with(kLayers) && config.layer_count > 0) {
    const std::string first_beyond = fmt::format("{}{}.", kLayers, config.layer_count);
    if (name.starts_with(first_beyond)) return fmt::format("config.json has \"num_hidden_layers\" {}", config.layer_count);
  }
  return "serving without it would give other answers";
}

// Gains and biases in host memory, from where they are uploaded once the files have been read.
class StagedVectors {
 public:
  // Zeros, for the reader to overwrite; they stay where they are.
  std::span<float> add(DeviceVector& target, std::int64_t count) {
    return staged_.emplace_back(Staged{&target, std::vector<float>(static_cast<std::size_t>(count))}).numbers;
  }
  // Adds a number to all of them.
  void add_to_all(float number) {
    for (Staged& staged : staged_) {
      for (float& value : staged.numbers) value += number;
    }
  }
  void upload(Backend& backend) const {
    for (const Staged& staged : staged_) *staged.target = backend.make_vector(staged.numbers);
  }

 private:
  struct Staged {
    DeviceVector* target;
    std::vector<float> numbers;
  };
  std::deque<Staged> staged_;
};

// Adds what belongs in a fused product to the reader. Requires: check_weights found nothing.
void place_product(LinearWeight& weight, std::span<const TensorEntry> modules, const ShardShape& shape, WeightReader& reader,
                   StagedVectors& vectors) {
  std::span<float> bias;
  if (std::ranges::any_of(modules, &TensorEntry::has_bias)) bias = vectors.add(weight.bias, weight.out);
  std::int64_t row = 0;
  for (const TensorEntry& module : modules) {
    const Slice rows = module.row_slice(shape), outputs = module.output_slice(shape);
    reader.add_matrix(weight, row, weight_name(module), rows, module.column_slice(shape));
    if (module.has_bias) {
      const std::int64_t begin = row + outputs.begin - rows.begin;
      reader.add_vector(bias.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(outputs.count)), bias_name(module),
                        outputs.begin);
    }
    row += rows.count;
  }
}

}  // namespace

ModelWeights make_model_weights(const ModelConfig& config, const ShardShape& shape) {
  ModelWeights weights;
  weights.shape = shape;
  weights.layers.resize(static_cast<std::size_t>(config.layer_count));
  for (std::int32_t layer = 0; layer < config.layer_count; ++layer) {
    const std::int32_t experts = config.has_mixture(layer) ? config.mixture.expert_count : 0;
    weights.layers[static_cast<std::size_t>(layer)].mlps.resize(1 + static_cast<std::size_t>(experts));
  }
  return weights;
}

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
    case SiteKind::router:
      return layer.router;
    case SiteKind::gate_up:
      return layer.mlps[static_cast<std::size_t>(entry.site.expert)].gate_up;
    default:
      return layer.mlps[static_cast<std::size_t>(entry.site.expert)].down;
  }
}

DeviceVector& gain_of(ModelWeights& weights, const TensorEntry& entry) {
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
    case TensorRole::attention_out_norm:
      return layer.attn_out_norm;
    case TensorRole::mlp_out_norm:
      return layer.ffn_out_norm;
    default:
      return layer.ffn_norm;
  }
}

Status check_weights(const ModelFiles& files, const ModelConfig& config) {
  const ExpectedTensors expected = expected_tensors(make_model_tensors(config));
  for (const auto& [name, tensor] : expected) {
    const ModelTensor* found = files.find(name);
    if (found == nullptr) {
      return error("E_MISSING_TENSOR", "model: tensor '{}' {}, which config.json implies, is in no file{}", name, shape_text(tensor.shape),
                   quantised_hint(files, name));
    }
    if (found->info.shape != tensor.shape) {
      return error("E_SHAPE", "{}: tensor '{}': expected shape {} ({} of config.json), found {}", files.file_of(*found), name,
                   shape_text(tensor.shape), tensor.keys, shape_text(found->info.shape));
    }
    const DType dtype = found->info.dtype;
    if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
      return error("E_DTYPE", "{}: tensor '{}': expected F32, F16 or BF16, found {}", files.file_of(*found), name, name_of(dtype));
    }
  }
  for (const ModelTensor& tensor : files.tensors()) {
    if (expected.contains(tensor.info.name)) continue;
    return error("E_UNKNOWN_TENSOR", "{}: tensor {} has no place in this architecture; {}", files.file_of(tensor), quote(tensor.info.name),
                 place_hint(tensor.info.name, config));
  }
  return {};
}

Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, const ShardShape& shape, Backend& backend,
                                  const LoadProgress& progress, const InputSquares* squares) {
  if (Status checked = check_weights(files, config); !checked) return forward_error(checked);
  const ModelTensors tensors = make_model_tensors(config);
  WeightReader reader(files, backend);
  StagedVectors biases, gains;
  ModelWeights weights = make_model_weights(config, shape);
  const WeightPlan plan(config, &files, shape);
  for (const std::span<const TensorEntry> modules : tensors.products()) {
    LinearWeight& weight = product_of(weights, modules.front());
    weight = plan.make(modules, backend);
    if (squares != nullptr) weight.input_squares = squares->of(modules.front().site);
    place_product(weight, modules, shape, reader, biases);
  }
  for (const TensorEntry& entry : tensors.entries) {
    if (entry.is_matrix()) continue;
    reader.add_vector(gains.add(gain_of(weights, entry), entry.rows), weight_name(entry), 0);
  }
  if (Status read = reader.read(progress); !read) return forward_error(read);
  for (const std::span<const TensorEntry> modules : tensors.products()) product_of(weights, modules.front()).input_squares = {};
  gains.add_to_all(traits_of(config.family).gain_offset);
  gains.upload(backend);
  biases.upload(backend);
  return weights;
}

std::size_t packed_bytes(const ModelConfig& config, const ModelFiles* files, const ShardShape& shape, const Backend& backend) {
  const ModelTensors tensors = make_model_tensors(config);
  const WeightPlan plan(config, files, shape);
  std::size_t bytes = 0;
  for (const std::span<const TensorEntry> modules : tensors.products()) bytes += plan.bytes(modules, backend);
  return bytes;
}

}  // namespace slora
