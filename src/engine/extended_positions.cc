#include "engine/extended_positions.h"

#include <algorithm>

namespace slora {

std::int64_t extended_positions(const RuntimeOptions& options, const ModelConfig& config, const Backend& backend,
                                std::int64_t pool_tokens) {
  constexpr std::int64_t kDefaultMax = 1 << 20;
  const bool can_extend = !config.window_rope && (config.rope.kind == RopeKind::default_ || config.rope.kind == RopeKind::linear);
  if (!can_extend) return 0;
  if (options.max_adapter_len) return std::max(*options.max_adapter_len, 0);
  if (!backend.shares_host_memory()) return 0;
  const double most = kRopeFactorMax * config.rope.factor * static_cast<double>(config.max_position_embeddings);
  return std::min({static_cast<std::int64_t>(most), pool_tokens, kDefaultMax});
}

Status check_max_adapter_len(const RuntimeOptions& options, std::int64_t pool_tokens) {
  const std::int32_t wanted = options.max_adapter_len.value_or(0);
  if (wanted == 0 || (wanted >= 2 && wanted <= pool_tokens)) return {};
  return error("E_MAX_ADAPTER_LEN", "--max-adapter-len: expected 0, or 2 to the {} tokens that the pool holds, found {}", pool_tokens,
               wanted);
}

}  // namespace slora
