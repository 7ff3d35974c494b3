#include "model/random_weights.h"

#include <algorithm>
#include <cmath>

namespace slora {
namespace {

constexpr std::int64_t kChunkRows = 512;  // packed at once
constexpr std::int64_t kRowShift = 4099;  // from where a row begins in the list to where the next does
constexpr std::int64_t kPlaces = 1 << 16;

// splitmix64, by Sebastiano Vigna: any seed will do.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Makes the products of one model.
class WeightSource {
 public:
  WeightSource(const ModelConfig& config, Backend& backend, std::uint64_t seed, const LoadProgress& progress)
      : backend_(backend), progress_(progress), total_bytes_(packed_bytes(config, backend)), state_(seed) {}

  LinearWeight product(std::int64_t out, std::int64_t in, bool has_bias) {
    LinearWeight weight = backend_.make_linear(out, in);
    fill_numbers(in);
    for (std::int64_t row = 0; row < out; row += kChunkRows) {
      const std::int64_t place = static_cast<std::int64_t>(next_random(state_) % kPlaces);
      auto* begin = reinterpret_cast<std::byte*>(numbers_.data() + place);
      backend_.pack_rows(weight, row, {begin, DType::bf16, std::min(kChunkRows, out - row), in, kRowShift});
    }
    if (has_bias) {
      weight.bias.resize(static_cast<std::size_t>(out));
      for (float& value : weight.bias) value = 0.1f * uniform();
    }
    done_bytes_ += weight.packed.bytes();
    if (progress_) progress_(done_bytes_, total_bytes_);
    return weight;
  }

 private:
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

  Backend& backend_;
  const LoadProgress& progress_;
  const std::uint64_t total_bytes_;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t state_;
  std::int64_t in_ = 0;
  std::vector<Bfloat16> numbers_;
};

}  // namespace

ModelWeights random_weights(const ModelConfig& config, Backend& backend, std::uint64_t seed, const LoadProgress& progress) {
  WeightSource source(config, backend, seed, progress);
  const auto gains = [](std::int32_t count) { return std::vector<float>(static_cast<std::size_t>(count), 1.0f); };
  ModelWeights weights;
  weights.head = source.product(config.vocab_size, config.hidden_size, false);
  if (!config.tie_embeddings) weights.embedding = source.product(config.vocab_size, config.hidden_size, false);
  for (std::int32_t i = 0; i < config.layer_count; ++i) {
    LayerWeights& layer = weights.layers.emplace_back();
    layer.attn_norm = gains(config.hidden_size);
    layer.qkv = source.product(config.q_width() + 2 * config.kv_width(), config.hidden_size, config.qkv_bias);
    if (config.qk_norm) layer.q_norm = layer.k_norm = gains(config.head_dim);
    layer.o = source.product(config.hidden_size, config.q_width(), config.o_bias);
    layer.ffn_norm = gains(config.hidden_size);
    layer.gate_up = source.product(2 * std::int64_t{config.intermediate_size}, config.hidden_size, config.mlp_bias);
    layer.down = source.product(config.hidden_size, config.intermediate_size, config.mlp_bias);
  }
  weights.norm = gains(config.hidden_size);
  return weights;
}

}  // namespace slora
