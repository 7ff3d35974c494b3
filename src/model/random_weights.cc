#include "model/random_weights.h"

#include <algorithm>
#include <cmath>

#include "model/weight_plan.h"

namespace slora {
namespace {

constexpr std::int64_t kChunkRows = 512;  // packed at once
constexpr std::int64_t kRowShift = 4099;  // elements from the begin of a row in the list to that of the next
constexpr std::int64_t kPlaces = 1 << 16;

// splitmix64, by Sebastiano Vigna: any seed will do.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Makes the products of one shard. What is drawn depends on the whole model only.
class WeightSource {
 public:
  WeightSource(const ModelConfig& config, const ShardShape& shape, Backend& backend, std::uint64_t seed)
      : shape_(shape), backend_(backend), plan_(config, nullptr, shape), state_(seed) {}

  LinearWeight product(std::span<const TensorEntry> modules) {
    LinearWeight weight = plan_.make(modules, backend_);
    const std::int64_t in = modules.front().columns;
    fill_numbers(in);
    const std::int64_t out = modules.back().slice_begin + modules.back().rows;
    for (std::int64_t row = 0; row < out; row += kChunkRows) {
      const std::int64_t place = static_cast<std::int64_t>(next_random(state_) % kPlaces);
      auto* begin = reinterpret_cast<std::byte*>(numbers_.data() + place);
      pack_chunk(weight, modules, row, {begin, DType::bf16, std::min(kChunkRows, out - row), in, kRowShift});
    }
    if (modules.front().has_bias) draw_bias(weight, modules);
    return weight;
  }

 private:
  // Packs the rows and columns that the shard has of rows [row_begin, row_begin + chunk.rows) of the whole product.
  void pack_chunk(LinearWeight& weight, std::span<const TensorEntry> modules, std::int64_t row_begin, Tensor chunk) {
    std::int64_t local_begin = 0;  // of the module in `weight`
    for (const TensorEntry& module : modules) {
      const Slice rows = module.row_slice(shape_), columns = module.column_slice(shape_);
      const std::int64_t first = module.slice_begin + rows.begin;
      const std::int64_t begin = std::max(first, row_begin), end = std::min(first + rows.count, row_begin + chunk.rows);
      if (begin < end) {
        backend_.pack_rows(weight, local_begin + begin - first,
                           chunk.rows_from(begin - row_begin, end - begin).cols_from(columns.begin, columns.count));
      }
      local_begin += rows.count;
    }
  }

  void draw_bias(LinearWeight& weight, std::span<const TensorEntry> modules) {
    std::vector<float> bias(static_cast<std::size_t>(weight.out), 0.0f);
    std::int64_t local_begin = 0;
    for (const TensorEntry& module : modules) {
      const Slice rows = module.row_slice(shape_), outputs = module.output_slice(shape_);
      for (std::int64_t row = 0; row < module.rows; ++row) {
        const float value = 0.1f * uniform();
        if (row < outputs.begin || row >= outputs.end()) continue;
        bias[static_cast<std::size_t>(local_begin + row - rows.begin)] = value;
      }
      local_begin += rows.count;
    }
    weight.bias = backend_.make_vector(bias);
  }

  // In (-sqrt(3), sqrt(3)): variance 1.
  float uniform() {
    constexpr float kStep = 1.0f / static_cast<float>(1 << 23);
    return (static_cast<float>(next_random(state_) >> 40) * kStep - 1) * std::sqrt(3.0f);
  }

  // Enough for a chunk of rows [in] from any place on, of variance 1 / in.
  void fill_numbers(std::int64_t in) {
    if (in == in_) return;
    in_ = in;
    numbers_.resize(static_cast<std::size_t>(kPlaces + kChunkRows * kRowShift + in));
    const float scale = 1 / std::sqrt(static_cast<float>(in));
    for (Bfloat16& number : numbers_) number = to_bfloat16(scale * uniform());
  }

  const ShardShape& shape_;
  Backend& backend_;
  const WeightPlan plan_;
  std::uint64_t state_;
  std::int64_t in_ = 0;
  std::vector<Bfloat16> numbers_;
};

}  // namespace

ModelWeights random_weights(const ModelConfig& config, const ShardShape& shape, Backend& backend, std::uint64_t seed,
                            const LoadProgress& progress) {
  const ModelTensors tensors = make_model_tensors(config);
  WeightSource source(config, shape, backend, seed);
  const std::uint64_t total_bytes = packed_bytes(config, nullptr, shape, backend);
  std::uint64_t done_bytes = 0;
  ModelWeights weights = make_model_weights(config, shape);
  for (const std::span<const TensorEntry> modules : tensors.products()) {
    LinearWeight& weight = product_of(weights, modules.front());
    weight = source.product(modules);
    done_bytes += weight.packed.bytes();
    if (progress) progress(done_bytes, total_bytes);
  }
  for (const TensorEntry& entry : tensors.entries) {
    if (!entry.is_matrix()) gain_of(weights, entry) = backend.make_vector(std::vector<float>(static_cast<std::size_t>(entry.rows), 1.0f));
  }
  return weights;
}

}  // namespace slora
