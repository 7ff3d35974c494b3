#include "model/kv_geometry.h"

#include <cmath>

namespace slora {

KvGeometry make_kv_geometry(const ModelConfig& config, DType dtype, std::int32_t page_tokens) {
  return {config.layer_count, config.kv_head_count, config.head_dim, page_tokens, dtype};
}

std::int32_t default_page_tokens(const ModelConfig& config, DType dtype) {
  constexpr double kTargetBytes = 1 << 20;
  std::int32_t best = 2;
  double best_distance = HUGE_VAL;
  for (std::int32_t tokens = 2; tokens <= 32; tokens *= 2) {
    const double bytes = static_cast<double>(make_kv_geometry(config, dtype, tokens).page_bytes());
    const double distance = std::abs(std::log2(bytes / kTargetBytes));
    if (distance < best_distance) {
      best = tokens;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace slora
