#include "model/kv_geometry.h"

#include <cmath>

namespace slora {

KvGeometry make_kv_geometry(const ModelConfig& config, const ShardShape& shape, DType dtype, std::int32_t page_tokens) {
  return {config.layer_count, static_cast<std::int32_t>(shape.kv_heads.count), config.head_dim, page_tokens, dtype};
}

KvGeometry make_kv_geometry(const ModelConfig& config, DType dtype, std::int32_t page_tokens) {
  return make_kv_geometry(config, whole_shape(config), dtype, page_tokens);
}

std::int32_t default_page_tokens(const ModelConfig& config, const ShardShape& shape, DType dtype) {
  constexpr double kTargetBytes = 1 << 20;
  std::int32_t best = 2;
  double best_distance = HUGE_VAL;
  for (std::int32_t tokens = 2; tokens <= 32; tokens *= 2) {
    const double bytes = static_cast<double>(make_kv_geometry(config, shape, dtype, tokens).page_bytes());
    const double distance = std::abs(std::log2(bytes / kTargetBytes));
    if (distance < best_distance) {
      best = tokens;
      best_distance = distance;
    }
  }
  return best;
}

std::int32_t default_page_tokens(const ModelConfig& config, DType dtype) { return default_page_tokens(config, whole_shape(config), dtype); }

}  // namespace slora
