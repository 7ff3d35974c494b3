#include "bench/simulation/model_shape.h"

#include <algorithm>
#include <cmath>

namespace slora::bench {
namespace {

constexpr ModelShape kModelShapes[] = {
    {"Llama-7B", 32, 4096, 11008, 32, 32, 128, 32000},
    {"Llama-13B", 40, 5120, 13824, 40, 40, 128, 32000},
    {"Llama-3-8B", 32, 4096, 14336, 32, 8, 128, 128256},
    {"Qwen2.5-0.5B", 24, 896, 4864, 14, 2, 64, 151936},
};

}  // namespace

double ModelShape::attention_parameters() const { return layer_count * (2.0 * hidden * q_width() + 2.0 * hidden * kv_width()); }

double ModelShape::layer_parameters() const { return attention_parameters() + layer_count * 3.0 * hidden * intermediate; }

double ModelShape::adapter_parameters(std::int32_t rank) const {
  const double q = hidden + q_width(), k_and_v = 2 * (hidden + kv_width()), o = q_width() + hidden;
  return rank * layer_count * (q + k_and_v + o);
}

std::int32_t ModelShape::page_tokens() const {
  const double wanted = std::log2(1024.0 * 1024.0 / kv_bytes_per_token());
  return 1 << static_cast<int>(std::clamp(std::round(wanted), 1.0, 5.0));
}

std::uint32_t ModelShape::adapter_pages(std::int32_t rank) const {
  return static_cast<std::uint32_t>(std::ceil(adapter_bytes(rank) / page_bytes()));
}

std::span<const ModelShape> model_shapes() { return kModelShapes; }

std::optional<ModelShape> find_model_shape(std::string_view name) {
  const auto found = std::ranges::find(kModelShapes, name, &ModelShape::name);
  return found == std::end(kModelShapes) ? std::nullopt : std::optional(*found);
}

}  // namespace slora::bench
